"""What a developer asks: differences, new migrations, proofs, pictures."""
