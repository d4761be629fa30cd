"""Change the schema of a Peewee application: playhouse's migrator, guarded by introspection."""
