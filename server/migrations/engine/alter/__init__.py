"""What becomes of a table when a verb changes it."""
