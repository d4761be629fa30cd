"""A meeting server on one SQLite file whose schema changes by hand, never at start."""

__version__ = "1.0.0"
