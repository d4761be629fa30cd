"""Examine a PostgreSQL database and its server, for doctor.  Reads only.

A look is one query that spells sentences and remedies.  It sees what the role may see.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg
from psycopg.sql import SQL, Identifier, Literal

from guarded.backends.interface import Origin
from guarded.backends.postgresql import programs, sequences
from guarded.errors import BackupFailed
from guarded.findings import Finding, Severity
from guarded.project import Project

if TYPE_CHECKING:
    from guarded.backends.postgresql.connect import PostgresqlServer

OURS = "relnamespace = quote_ident(current_schema())::regnamespace"
LONG = "interval '30 s'"  # a transaction that a run would have to wait for, unless it ends soon


class Look(NamedTuple):
    """``query`` gives a sentence and a remedy for each finding."""

    severity: Severity
    subject: str
    query: str


LOOKS = (
    Look(
        Severity.FINE,
        "server",
        """
SELECT concat('PostgreSQL ', current_setting('server_version'), ', as ', current_user,
    ', up since ', pg_postmaster_start_time()::timestamp(0)), ''""",
    ),
    Look(
        Severity.PROBLEM,
        "server",
        """
SELECT 'is a standby, which nobody can write', 'name the primary server'
WHERE pg_is_in_recovery()
UNION ALL SELECT 'does not count rows (track_counts), so a run would not know what it lost',
    'ALTER SYSTEM SET track_counts = on'
WHERE current_setting('track_counts') = 'off'
UNION ALL SELECT concat(checksum_failures, ' pages failed their checksum'), 'restore a backup'
FROM pg_stat_database WHERE datname = current_database() AND checksum_failures > 0""",
    ),
    Look(
        Severity.WARNING,
        "server",
        """
SELECT 'fsync is off: a crash of the machine can destroy the database',
    'ALTER SYSTEM SET fsync = on'
WHERE current_setting('fsync') = 'off'
UNION ALL SELECT concat('the collations are of version ', datcollversion, ',
    and those of the system of ',
    pg_database_collation_actual_version(oid), ': indexes on texts may be out of order'),
    concat('REINDEX DATABASE ', quote_ident(datname), '; ALTER DATABASE ', quote_ident(datname),
        ' REFRESH COLLATION VERSION')
FROM pg_database WHERE datname = current_database()
    AND datcollversion <> pg_database_collation_actual_version(oid)""",
    ),
    Look(
        Severity.PROBLEM,
        "rights",
        f"""
SELECT 'the search path names no schema that exists', 'CREATE SCHEMA, or set another search_path'
WHERE current_schema() IS NULL
UNION ALL SELECT concat('may not create tables in schema ', quote_ident(current_schema())),
    concat('GRANT CREATE ON SCHEMA ', quote_ident(current_schema()), ' TO ',
    quote_ident(current_user))
WHERE NOT has_schema_privilege(current_schema(), 'CREATE')
UNION ALL SELECT concat('may not alter table ', quote_ident(relname), ', which ',
    quote_ident(pg_get_userbyid(relowner)), ' owns'),
    concat('ALTER TABLE ', quote_ident(relname), ' OWNER TO ', quote_ident(current_user))
FROM pg_class WHERE relkind IN ('r', 'p') AND {OURS} AND NOT pg_has_role(relowner, 'USAGE')""",
    ),
    Look(
        Severity.NOTE,
        "rights",
        """
SELECT 'may not create a schema, which plan and up need to look ahead',
    concat('GRANT CREATE ON DATABASE ', quote_ident(current_database()), ' TO ',
    quote_ident(current_user))
WHERE NOT has_database_privilege(current_database(), 'CREATE')
UNION ALL SELECT 'may not create a database, which rehearse, verify and restore need',
    concat('ALTER ROLE ', quote_ident(current_user), ' CREATEDB, or --scratch URL')
FROM pg_roles WHERE rolname = current_user AND NOT (rolcreatedb OR rolsuper)
UNION ALL SELECT 'may not see what others run, and so not tell what blocks a run',
    concat('GRANT pg_read_all_stats TO ', quote_ident(current_user))
WHERE NOT pg_has_role('pg_read_all_stats', 'USAGE')""",
    ),
    Look(
        Severity.WARNING,
        "in use",
        f"""
SELECT concat('pid ', pid, ' (', usename, ', ', nullif(application_name, '') || ', ', state,
    ') has had a transaction open since ', xact_start::timestamp(0), ' and may block a run'),
    concat('end it, or SELECT pg_terminate_backend(', pid, ')')
FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
    AND backend_type = 'client backend' AND xact_start < now() - {LONG}
UNION ALL SELECT concat('the prepared transaction ', quote_literal(gid), ' is open since ',
    prepared::timestamp(0)), concat('COMMIT PREPARED or ROLLBACK PREPARED ', quote_literal(gid))
FROM pg_prepared_xacts WHERE database = current_database()""",
    ),
    Look(
        Severity.FINE,
        "in use",
        """
SELECT concat(count(*), ' other sessions'), '' FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
    AND backend_type = 'client backend' HAVING count(*) > 0""",
    ),
    Look(
        Severity.WARNING,
        "replication",
        """
SELECT concat('standby ', coalesce(nullif(application_name, ''), client_addr::text), ' is ',
    pg_size_pretty(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)), ' behind'),
    'wait for it: what a run writes comes on top'
FROM pg_stat_replication WHERE NOT pg_is_in_recovery()
    AND pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn) > 64 * 1024 * 1024
UNION ALL SELECT concat('nobody reads the replication slot ', quote_literal(slot_name),
    ', and the server keeps all WAL for it'),
    concat('SELECT pg_drop_replication_slot(', quote_literal(slot_name), '), or start its reader')
FROM pg_replication_slots WHERE NOT active AND NOT pg_is_in_recovery()""",
    ),
    Look(
        Severity.WARNING,
        "indexes",
        f"""
SELECT concat('index ', quote_ident(i.relname), ' of table ', quote_ident(t.relname),
    ' is invalid: no query uses it, and every write pays for it'),
    concat('REINDEX INDEX CONCURRENTLY ', quote_ident(i.relname), ', or drop it')
FROM pg_index AS x JOIN pg_class AS i ON i.oid = x.indexrelid
JOIN pg_class AS t ON t.oid = x.indrelid
WHERE NOT x.indisvalid AND t.{OURS} AND i.relkind = 'i'""",
    ),
    Look(
        Severity.WARNING,
        "constraints",
        f"""
SELECT concat('constraint ', quote_ident(conname), ' of table ', quote_ident(t.relname),
    ' was never checked for the rows of before'),
    concat('ALTER TABLE ', quote_ident(t.relname), ' VALIDATE CONSTRAINT ', quote_ident(conname))
FROM pg_constraint AS c JOIN pg_class AS t ON t.oid = c.conrelid
WHERE NOT convalidated AND t.{OURS}""",
    ),
    Look(
        Severity.NOTE,
        "extensions",
        """
SELECT concat('extension ', quote_ident(name), ' is of version ', installed_version, ', and ',
    default_version, ' is installed on the server'), concat('ALTER EXTENSION ',
    quote_ident(name), ' UPDATE')
FROM pg_available_extensions WHERE installed_version <> default_version
UNION ALL SELECT concat('extension ', quote_ident(extname),
    ' is not installed on the server any more'),
    'install its package'
FROM pg_extension WHERE extname NOT IN (SELECT name FROM pg_available_extensions)""",
    ),
    Look(
        Severity.WARNING,
        "leftover",
        """
SELECT concat('database ', quote_ident(datname), ' was made to try things, and nobody uses it'),
    concat('DROP DATABASE ', quote_ident(datname))
FROM pg_database AS d WHERE (datname LIKE 'guarded\\_scratch\\_%'
    OR datname LIKE current_database() || '\\_restoring\\_%')
    AND NOT EXISTS (SELECT 1 FROM pg_stat_activity AS a WHERE a.datname = d.datname)
UNION ALL SELECT concat('schema ', quote_ident(nspname), ' was made to try things'),
    concat('DROP SCHEMA ', quote_ident(nspname), ' CASCADE')
FROM pg_namespace WHERE nspname LIKE 'guarded\\_scratch\\_%'""",
    ),
    Look(
        Severity.NOTE,
        "leftover",
        """
SELECT concat('database ', quote_ident(datname), ' is what a restore replaced'),
    concat('DROP DATABASE ', quote_ident(datname), ' once nobody misses it')
FROM pg_database WHERE datname LIKE current_database() || '\\_replaced\\_%'""",
    ),
)


def examine(server: PostgresqlServer, project: Project) -> Iterator[Finding]:
    """Yield findings about the server, the rights of the role, and what is in the database."""
    with server.connected() as connection:
        connection.execute("SET default_transaction_read_only = on; SET lock_timeout = '1s'")
        for look in LOOKS:
            yield from _look(connection, look)
        yield from _survived("ids", _sequences, connection)
    yield from _survived("backups", _backups, server, project)


def _look(connection: psycopg.Connection[Any], look: Look) -> Iterator[Finding]:
    def found() -> Iterator[Finding]:
        for sentence, remedy in connection.execute(look.query).fetchall():
            yield Finding(look.severity, look.subject, sentence, remedy)

    return _survived(look.subject, found)


def _survived(subject: str, look: Any, *arguments: Any) -> Iterator[Finding]:
    """One examination; that it failed is a finding, too."""
    try:
        yield from look(*arguments)
    except Exception as exc:  # a patient in any state
        why = f"could not be examined: {' '.join(str(exc).split())}"
        yield Finding(Severity.PROBLEM, subject, why, "see the other findings")


def _sequences(connection: psycopg.Connection[Any]) -> Iterator[Finding]:
    """A sequence behind its column gives out an id that is there already."""
    for one in sequences.numbered(connection):
        highest = sequences.highest(connection, one)
        if highest is not None and highest > one.last:
            sentence = (
                f"the sequence of {one.table}.{one.column} stands at {one.last or 'its start'}, "
                f"and {highest} is given out already"
            )
            remedy = SQL("SELECT setval({}, max({})) FROM {}").format(
                Literal(one.sequence), Identifier(one.column), Identifier(one.table)
            )
            yield Finding(Severity.WARNING, "ids", sentence, remedy.as_string(connection))


def _backups(server: PostgresqlServer, project: Project) -> Iterator[Finding]:
    try:
        programs.find("pg_dump", server)
    except BackupFailed as exc:
        yield Finding(Severity.WARNING, "backups", exc.why.partition(": ")[0], exc.why)
    taken = [copy for copy in server.copies() if copy.origin is not Origin.RESTORE]
    if taken:
        size = sum(copy.size for copy in taken) / 1e6
        sentence = f"{len(taken)}, {size:.1f} MB, the newest is '{taken[-1].path}'"
        yield Finding(Severity.FINE, "backups", sentence)
    else:
        yield Finding(Severity.NOTE, "backups", "there is none", f"{project.command} backup")
