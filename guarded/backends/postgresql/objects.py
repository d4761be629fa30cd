"""Everything that a run may not change unannounced, each object with all that is said about it."""

from __future__ import annotations

from guarded.backends.postgresql.inspect import Inspector, target_of
from guarded.steps import Kind, Target

GRANTS = """
SELECT t.relname, t.relacl::text || coalesce((
    SELECT string_agg(a.attname || a.attacl::text, ' ' ORDER BY a.attnum) FROM pg_attribute AS a
    WHERE a.attrelid = t.oid AND a.attacl IS NOT NULL AND NOT a.attisdropped), '')
FROM pg_class AS t
WHERE t.relnamespace = quote_ident(current_schema())::regnamespace AND t.relacl IS NOT NULL
    AND t.relkind IN ('r', 'p', 'f', 'v', 'm')"""
CONSTRAINTS = ("constraint", "foreign key", "foreign key outside")
Objects = dict[Target, str]


def objects(inspector: Inspector) -> Objects:
    """A constraint is an object of its own here; a comment, a grant, the state of a trigger, row
    security and statistics belong to what they are about."""
    found: dict[Target, list[str]] = {}
    more: list[tuple[Target, str]] = []
    for definition in inspector.definitions():
        target = target_of(definition)
        if definition.kind == "sequence" and definition.table:
            continue  # it comes and goes with its column
        if definition.kind in CONSTRAINTS:
            target = Target(Kind.CONSTRAINT, definition.table, definition.name)
        if target is not None:  # functions of one name are one object
            found.setdefault(target, []).append(definition.sql)
        elif definition.kind == "trigger state":
            more.append((Target(Kind.TRIGGER, definition.table, definition.name), definition.sql))
        else:
            more.append((Target(Kind.TABLE, definition.table), definition.sql))
    more += [(Target(Kind.TABLE, name), text) for name, text in inspector.connection.ask(GRANTS)]
    named = {target.name or target.table: target for target in found}
    for target, text in more:
        owner = target if target in found else named.get(target.table)
        if owner is not None:
            found[owner].append(text)
    return {target: "\n".join(sorted(texts)) for target, texts in found.items()}
