"""Not run: the old automatic runner, deprecated.

It migrated at every start of the server, where starts raced each other and each mistake in a
migration became a server that would not start.  `migrate.py` is run by hand in its place.
"""
