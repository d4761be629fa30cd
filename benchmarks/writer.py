"""A bystander that writes all the time: ``writer.py DATABASE``.

Prints its longest wait, in seconds, once its input ends.
"""

from __future__ import annotations

import select
import sqlite3
import sys
import time

PAUSE = 0.02  # seconds between two writes

connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=600)
connection.execute("PRAGMA synchronous = OFF")  # only the others' locks count
connection.execute("CREATE TABLE IF NOT EXISTS bystander (n)")
print("ready", flush=True)  # noqa: T201
longest = 0.0
while not select.select([sys.stdin], [], [], PAUSE)[0]:
    started = time.perf_counter()
    connection.execute("INSERT INTO bystander VALUES (1)")
    longest = max(longest, time.perf_counter() - started)
print(longest)  # noqa: T201
