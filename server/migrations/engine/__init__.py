"""Safe schema changes for Peewee applications; knows no table, no command line and no server."""
