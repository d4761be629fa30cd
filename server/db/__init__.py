"""The database: how it is opened, and every table in its newest shape."""
