"""Looking after a database: check, doctor, rehearse."""
