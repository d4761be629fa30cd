"""SQL as text: read and edited, without a database."""
