"""The kinds of database: each is one package behind the interface."""
