"""Every verb on every table of real databases, looked at from outside of the engine."""
