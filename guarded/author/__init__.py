"""Writing migrations: new, verify, and pictures of the schema."""
