"""Operations for columns: added, dropped, and with another type, default or nullability."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from guarded.author.calls import value_source, verb
from guarded.author.field_source import default_of
from guarded.author.operations import ADD, ALTER, DROP, Operation, Work
from guarded.author.source import Call, list_of, string
from guarded.diff import Difference
from guarded.schema import Column

NEUTRAL: dict[str, int | bytes | str] = {
    "INTEGER": 0,
    "REAL": 0,
    "NUMERIC": 0,
    "BLOB": b"",
    "BOOLEAN": False,
    "DATETIME": "1970-01-01 00:00:00",
}


def column(work: Work, d: Difference) -> Iterator[Operation]:
    found: Column = d.wanted or d.found
    table = work.made[work.names.fold(d.table)]
    if table.kind == "virtual":
        doubt = "a virtual table can't be altered; drop it, create it anew and fill it"
        yield Operation(ALTER, decide_up=f"{d.sentence}; {doubt}")
    elif found.primary_key:
        doubt = "for another key, create a new table and move the rows"
        yield Operation(ALTER, decide_up=f"{d.sentence}; {doubt}")
    elif d.wanted is not None:
        yield from _added(work, d)
    else:
        yield from _dropped(work, d)


def _added(work: Work, d: Difference) -> Iterator[Operation]:
    field, drop = work.field(d), [verb("drop_column", d.table, d.subject)]
    default = work.default(field)
    moved = _moved(work, d)
    if d.wanted.generated:
        add = verb("add_column", d.table, d.subject, work.classes.field(field))
        if not d.wanted.nullable:
            add = add._replace(arguments=[*add.arguments, "allow_not_null=True"])
        yield Operation(ADD, [add], drop)
    elif field.null or sql_default(field) is not None:
        yield Operation(
            ADD, [verb("add_column", d.table, d.subject, work.classes.field(field))], drop
        )
    elif default is not None and not _is_unique(work, d):
        yield Operation(
            ADD, [verb("add_column", d.table, d.subject, _with_default(work, field))], drop
        )
    else:
        call = work.classes.field(field)
        call = call._replace(arguments=[*call.arguments, "null=True"])
        yield Operation(ADD, [verb("add_column", d.table, d.subject, call)], drop)
        doubt = f"which {d.subject} should existing rows get?"
        yield Operation(ADD, _filled(work, d, None), (), moved or doubt)
        return
    if moved:
        yield Operation(ADD, decide_up=moved)


def _moved(work: Work, d: Difference) -> str:
    """A question where a column of this name leaves another table: its values may be meant."""
    fold = work.names.fold
    for other in work.differences:
        is_gone = other.kind == "column" and other.found is not None
        if is_gone and fold(other.subject) == fold(d.subject) and other.table != d.table:
            text = f"{d.table}: did '{d.subject}' move here from '{other.table}'"
            if work.ask(text) is not False:
                return f"{text}? If so, fill it from there; the values are dropped below"
    return ""


def _with_default(work: Work, field: Any) -> Call:
    value = work.default(field)
    if work.is_kept(field, value):
        return work.classes.field(field, default=value_source(value))
    call = work.classes.field(field)
    text = Call("Default", [string(work.names.literal(value))])
    own = [a for a in call.arguments if str(a).startswith("constraints=")]
    items = [text, *(own[0].arguments if own and isinstance(own[0], Call) else ())]
    kept = [a for a in call.arguments if a not in own]
    return call._replace(arguments=[*kept, list_of(items, "constraints=")])


def _is_unique(work: Work, d: Difference) -> bool:
    table = work.declared[work.names.fold(d.table)]
    wanted = (work.names.fold(d.subject),)
    return any(i.unique and not i.where and i.parts == wanted for i in table.indexes)


def _dropped(work: Work, d: Difference) -> Iterator[Operation]:
    column: Column = d.found
    gone = verb("drop_column", d.table, d.subject)
    texts = [*column.constraints, *_checks_beside(work, d)]
    back = column._replace(constraints=tuple(texts))
    must = not column.nullable and column.default is None and not column.generated
    call = work.classes.column(back._replace(nullable=column.nullable or must))
    add = verb("add_column", d.table, d.subject, call)
    if column.generated and not column.nullable:
        add = add._replace(arguments=[*add.arguments, "allow_not_null=True"])
    if must:
        doubt = f"{d.subject} was NOT NULL; which value should it get?"
        value = value_source(NEUTRAL.get(work.names.affinity(column.storage), ""))
        kind = work.classes.type_of(column)
        kind = kind._replace(arguments=[*kind.arguments, f"default={value}"])
        fill = verb("apply_default", d.table, d.subject, kind)
        down = [add, fill, verb("add_not_null", d.table, d.subject)]
        yield Operation(DROP, [gone], down, decide_down=doubt)
    else:
        yield Operation(DROP, [gone], [add])


def _checks_beside(work: Work, d: Difference) -> Iterator[str]:
    """The CHECKs of the table that are about this column alone: they go with it."""
    table = work.made[work.names.fold(d.table)]
    for check in table.checks:
        is_own = any(check.text in text for text in d.found.constraints)
        if check.columns == {work.names.fold(d.subject)} and not is_own:
            name = f"CONSTRAINT {work.names.quote(check.name)} " if check.name else ""
            yield f"{name}CHECK ({check.text})"


def type_(work: Work, d: Difference) -> Iterator[Operation]:
    if d.found.primary_key:
        doubt = "for another key, create a new table and move the rows"
        yield Operation(ALTER, decide_up=f"{d.sentence}; {doubt}")
        return
    new, old = work.classes.bare(work.field(d)), work.classes.type_of(d.found)
    yield Operation(
        ALTER,
        [verb("alter_column_type", d.table, d.subject, new)],
        [verb("alter_column_type", d.table, d.subject, old)],
    )


def nullability(work: Work, d: Difference) -> Iterator[Operation]:
    if d.found.generated:
        yield Operation(ALTER, decide_up=f"{d.sentence}; there is no verb for it")
        return
    field = work.field(d)
    # On the way back, the column has the default again that it had.
    old = default_of(d.found, work.names) if d.wanted.nullable and d.found.default else None
    text = sql_default(field) or old
    is_known = text is not None or work.default(field) is not None
    is_known &= not _is_unique(work, d)
    doubt = "" if is_known else f"which {d.subject} should rows without one get?"
    strict, loose = _filled(work, d, text), [verb("drop_not_null", d.table, d.subject)]
    if d.wanted.nullable:
        yield Operation(ALTER, loose, strict, decide_down=doubt)
    else:
        yield Operation(ALTER, strict, loose, doubt)


def _filled(work: Work, d: Difference, text: str | None) -> list[Call]:
    """Give the rows without a value one, ``text`` if that is given, and refuse such rows then."""
    field = work.field(d)
    not_null = verb("add_not_null", d.table, d.subject)
    if text is not None:
        empty = f"{work.names.quote(d.subject)} IS NULL"
        return [verb("fill", d.table, d.subject, text, empty), not_null]
    value = work.default(field)
    value = NEUTRAL.get(work.names.affinity(d.wanted.storage), "") if value is None else value
    call = work.classes.bare(field) if work.is_kept(field, value) else Call("BareField")
    call = call._replace(arguments=[*call.arguments, f"default={value_source(value)}"])
    return [verb("apply_default", d.table, d.subject, call), not_null]


def sql_default(field: Any) -> str | None:
    """The SQL default among the field's constraints."""
    texts = [str(getattr(c, "sql", "")).strip() for c in field.constraints or ()]
    found = next((text for text in texts if text.upper().startswith("DEFAULT")), None)
    return None if found is None else found[len("DEFAULT") :].strip()


def default(work: Work, d: Difference) -> Iterator[Operation]:
    yield Operation(ALTER, [_set_default(work, d, d.wanted)], [_set_default(work, d, d.found)])


def _set_default(work: Work, d: Difference, column: Column) -> Call:
    if column.default is None:
        return verb("drop_column_default", d.table, d.subject)
    sql = Call("SQL", [string(default_of(column, work.names))])
    return verb("add_column_default", d.table, d.subject, sql)
