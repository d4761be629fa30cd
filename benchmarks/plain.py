"""SQL statements by Python's sqlite3 in one transaction: ``plain.py DATABASE STATEMENTS.json``."""

from __future__ import annotations

import json
import sqlite3
import sys
from pathlib import Path

connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA foreign_keys = OFF")
connection.execute("BEGIN IMMEDIATE")
for statement in json.loads(Path(sys.argv[2]).read_text()):
    connection.execute(statement)
connection.execute("COMMIT")
