"""The command line of the migrations: what a person types and sees."""
