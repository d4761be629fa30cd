"""Timings against plain SQLite and against other tools, in one run on one machine: `make bench`."""
