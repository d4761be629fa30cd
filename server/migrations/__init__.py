"""Schema changes, run by hand: ``python migrations/migrate.py``."""
