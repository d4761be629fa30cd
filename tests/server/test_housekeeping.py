"""Expired rows go, and nothing else does; and migrations run beside it all."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from contextlib import closing

from tests.conftest import MIGRATE
from tests.server.load import beside_a_migration
from tests.server.world import migrate, traffic

ROWS = """
    INSERT INTO nonce_cache VALUES ('old', '2025-12-12 10:00:00.000 +00:00'),
        ('older', '2025-12-12T10:00:00.000Z'), ('odd', 'CURRENT_TIMESTAMP'),
        ('new', datetime('now', '-9 minutes'));
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1300)
        INSERT INTO nonce_cache SELECT 'n' || i, '2025-12-12 10:00:00' FROM n;
    INSERT INTO client_sessions (client_id, session_secret, user_id, expires_at) VALUES
        ('a', 's', 'u', '2025-12-12 10:00:00'), ('b', 's', 'u', datetime('now', '+1 day')),
        ('c', 's', 'u', NULL);
    INSERT INTO Invitations (email, token, expires_at, used, invited_by) VALUES
        ('a', '1', datetime('now', '+1 day'), 1, 'u'),
        ('b', '2', '2025-12-12 10:00:00.000 +00:00', 0, 'u'),
        ('c', '3', datetime('now', '+1 day'), 0, 'u');
"""
WANTED = {
    "SELECT nonce FROM nonce_cache ORDER BY 1": ["new", "odd"],
    "SELECT client_id FROM client_sessions ORDER BY 1": ["b", "c"],
    "SELECT token FROM Invitations ORDER BY 1": ["1", "3"],
}


def test_expired_rows_go_and_used_invitations_stay_until_then(serve, path):
    migrate(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(ROWS)
        api = serve(PURGE_INTERVAL="0.2").ready()
        for _ in range(100):
            found = {sql: [r[0] for r in connection.execute(sql)] for sql in WANTED}
            if found == WANTED:
                break
            time.sleep(0.05)
    assert found == WANTED
    assert api.stop()[0] == 0


def test_a_down_under_load_is_503_at_once_and_never_500(api, path):
    user = api.user()
    with traffic(user, reads=True) as seen:
        time.sleep(0.5)
        down = [sys.executable, str(MIGRATE), "--database", str(path), "down", "--yes"]
        done = subprocess.run(
            [*down, "update_meetings_hybrid_storage"], capture_output=True, text=True
        )
        api.until(503, 3)
    assert done.returncode == 0, done.stderr
    assert set(seen.statuses) == {200, 201, 503}
    assert api("GET", "/readyz").code == "not_ready"
    assert "Traceback" not in api.log.read_text()
    migrate(path)
    api.until(200, 3)
    assert user("GET", "/meetings").status == 200


def test_no_write_is_lost_while_an_old_database_is_migrated(tmp_path):
    """The server waits for the schema, then serves; every acknowledged write is there."""
    beside_a_migration(tmp_path, meetings=2000, writes=100)
