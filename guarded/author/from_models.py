"""Write a migration from the differences between the listed migrations and the models.

An open question becomes a comment that begins with DECIDE; `verify` fails until it is gone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from guarded import diff
from guarded.author import source
from guarded.author.calls import (
    add_index,
    bare,
    filled,
    if_not_exists,
    python_default,
    run_sql,
    set_default,
    sql_default,
    verb,
)
from guarded.author.field_source import (
    column_call,
    field_call,
    imports,
    model_source,
    stub_source,
)
from guarded.author.renames import (
    ADD,
    ALTER,
    CONSTRAIN,
    CREATE,
    DROP,
    DROP_INDEX,
    INDEX,
    Ask,
    Operation,
    renames,
)
from guarded.author.source import Call, string
from guarded.backends.interface import Backend, Session
from guarded.diff import Difference
from guarded.schema import Check, Index, Table

DECIDE = "# DECIDE: "
TEMPLATE = '''"""{title}"""


def up(migrator, db):
    migrator.migrate(
        # migrator.add_column("table", "column", CharField(null=True)),
    )


def down(migrator, db):
    migrator.migrate(
        # migrator.drop_column("table", "column"),
    )
'''


def template(name: str) -> str:
    return TEMPLATE.format(title=_title(name))


def write(
    name: str, backend: Backend, made: Session, models: Sequence[Any], ask: Ask
) -> str | None:
    """Return the text of the file; None when there is nothing to change.

    ``made`` is a scratch database as the listed migrations make it.  Renames are done there.
    """
    declared = backend.declared(models)
    operations = list(renames(made, backend.names, declared, ask))
    found = diff.compare(declared, made.inspector.schema(), backend.names.fold)
    writer = _Writer(backend, models, found)
    operations += writer.operations()
    if not operations:
        return None
    operations.sort(key=lambda operation: operation.stage)
    classes = "\n\n".join(writer.classes)
    body = _function("up", [(o.decide_up, o.up) for o in operations])
    body += "\n\n" + _function("down", [(o.decide_down, o.down) for o in _undone(operations)])
    parts = [f'"""{_title(name)}"""\n', imports(classes + body)]
    parts += [f"\n{classes}"] if classes else []
    return "\n".join(part for part in parts if part) + "\n\n" + body


def _undone(operations: Sequence[Operation]) -> list[Operation]:
    """In the order of the way back: an index goes after the tables whose keys refer to it."""
    backwards = operations[::-1]
    indexes = [operation for operation in backwards if operation.stage == INDEX]
    return [operation for operation in backwards if operation.stage != INDEX] + indexes


class _Writer:
    def __init__(
        self, backend: Backend, models: Sequence[Any], differences: Sequence[Difference]
    ) -> None:
        self.names, self.fold = backend.names, backend.names.fold
        self.models = {self.fold(model._meta.table_name): model for model in models}
        self.differences = differences
        self.classes: list[str] = []
        self._stubs: set[str] = set()
        self._names: list[str] = []
        self._new_keys: set[tuple[str, tuple[str, ...]]] = set()

    def operations(self) -> Iterator[Operation]:
        for difference in self.differences:
            kind = difference.kind.replace(" ", "_")
            writer = getattr(self, f"_{kind}", None)
            if writer is None:
                yield Operation(ALTER, decide_up=f"{difference.sentence}; there is no verb for it")
            else:
                yield from writer(difference)

    def _table(self, d: Difference) -> Iterator[Operation]:
        if d.wanted is not None:
            model = self.models[self.fold(d.table)]
            self._keys_of(model)
            self.classes.append(model_source(model))
            create = Call("migrator.create_table", [model.__name__])
            yield Operation(CREATE, [create], [verb("drop_table", d.table)])
            for index in d.wanted.indexes:
                for made in self._new_index(d.table, index):
                    yield made._replace(down=())  # it goes with the table
        else:
            table: Table = d.found
            texts = [table.sql, *(index.sql for index in table.indexes if index.sql)]
            back = [run_sql(self.names, if_not_exists(text)) for text in texts]
            yield Operation(DROP, [verb("drop_table", d.table)], back)

    def _keys_of(self, model: Any) -> None:
        """Write classes for the tables that a new one refers to."""
        for field in model._meta.refs:
            parent = field.rel_model
            name = parent.__name__
            is_new = any(
                d.kind == "table" and self.fold(d.table) == self.fold(parent._meta.table_name)
                for d in self.differences
            )
            if parent is not model and not is_new and name not in self._stubs:
                self._stubs.add(name)
                keys = [f.rel_field for f in model._meta.refs if f.rel_model is parent]
                self.classes.insert(0, stub_source(parent, *keys))

    def _column(self, d: Difference) -> Iterator[Operation]:
        if d.wanted is not None:
            field = self._field(d)
            self._keys_of_field(field)
            drop = [verb("drop_column", d.table, d.subject)]
            default = python_default(field)
            if field.null or sql_default(field) is not None or default is not None:
                known = None if field.null or sql_default(field) else default
                add = verb("add_column", d.table, d.subject, field_call(field, default=known))
                yield Operation(ADD, [add], drop)
            else:
                call = field_call(field)
                call = call._replace(arguments=[*call.arguments, "null=True"])
                add = verb("add_column", d.table, d.subject, call)
                yield Operation(ADD, [add], drop)
                doubt = f"which {d.subject} should existing rows get?"
                yield Operation(ADD, filled(d, field), (), doubt)
        else:
            column, doubt = d.found, ""
            if not column.nullable and column.default is None:
                column = column._replace(nullable=True)
                doubt = f"{d.subject} was NOT NULL; which value should it get?"
            add = verb("add_column", d.table, d.subject, column_call(column))
            gone = verb("drop_column", d.table, d.subject)
            yield Operation(DROP, [gone], [add], decide_down=doubt)

    def _keys_of_field(self, field: Any) -> None:
        parent = getattr(field, "rel_model", None)
        if parent is None:
            return
        self._new_keys.add((self.fold(field.model._meta.table_name), (field.column_name,)))
        if parent.__name__ not in self._stubs:
            self._stubs.add(parent.__name__)
            self.classes.insert(0, stub_source(parent, field.rel_field))

    def _type(self, d: Difference) -> Iterator[Operation]:
        new, old = field_call(self._field(d)), column_call(d.found)
        yield Operation(
            ALTER,
            [verb("alter_column_type", d.table, d.subject, bare(new))],
            [verb("alter_column_type", d.table, d.subject, bare(old))],
        )

    def _nullability(self, d: Difference) -> Iterator[Operation]:
        field = self._field(d)
        known = python_default(field) is not None
        doubt = "" if known else f"which {d.subject} should rows without one get?"
        strict, loose = filled(d, field), [verb("drop_not_null", d.table, d.subject)]
        if d.wanted.nullable:
            yield Operation(ALTER, loose, strict, decide_down=doubt)
        else:
            yield Operation(ALTER, strict, loose, doubt)

    def _default(self, d: Difference) -> Iterator[Operation]:
        yield Operation(ALTER, [set_default(d, d.wanted)], [set_default(d, d.found)])

    def _index(self, d: Difference) -> Iterator[Operation]:
        index: Index = d.wanted or d.found
        if index.sql is None:
            yield from self._unique(d, index)
        elif d.wanted is not None:
            yield from self._new_index(d.table, index)
        else:
            drop = verb("drop_index", d.table, d.found.name)
            yield Operation(DROP_INDEX, [drop], [add_index(self.names, d.table, d.found)])

    def _unique(self, d: Difference, index: Index) -> Iterator[Operation]:
        """Write a UNIQUE constraint, unless it comes or goes together with its columns."""
        changed = {(c.table, self.fold(c.subject)) for c in self.differences if c.kind == "column"}
        if not all(re.fullmatch(r"\w+", part) for part in index.parts):
            yield Operation(ALTER, decide_up=f"{d.sentence}; there is no verb for it")
            return
        add = verb("add_unique", d.table, *index.parts)
        drop = verb("drop_constraint", d.table, f"uniq_{'_'.join(index.parts)}")
        is_whole = not all((d.table, part) in changed for part in index.parts)
        if d.wanted is not None:
            yield from [Operation(CONSTRAIN, [add], [drop])] if is_whole else []
        else:
            yield Operation(DROP_INDEX, [drop] if is_whole else [], [add])

    def _new_index(self, table: str, index: Index) -> Iterator[Operation]:
        if index.sql is not None:  # a constraint's own comes with the constraint
            drop = verb("drop_index", table, index.name)
            yield Operation(INDEX, [add_index(self.names, table, index)], [drop])

    def _foreign_key(self, d: Difference) -> Iterator[Operation]:
        key = d.wanted or d.found
        if (self.fold(d.table), key.columns) in self._new_keys:
            return  # it comes with its column
        if len(key.columns) != 1:
            yield Operation(CONSTRAIN, decide_up=f"{d.sentence}; there is no verb for it")
            return
        actions = {"on_delete": key.on_delete, "on_update": key.on_update}
        extra = [f"{n}={string(v)}" for n, v in actions.items() if v != "NO ACTION"]
        add = verb("add_foreign_key_constraint", d.table, key.columns[0], key.parent)
        add = add._replace(arguments=[*add.arguments, string(key.parent_columns[0]), *extra])
        drop = verb("drop_foreign_key_constraint", d.table, key.columns[0])
        if d.wanted is None:
            yield Operation(DROP_INDEX, [drop], [add])
        else:
            yield Operation(CONSTRAIN, [add], [drop])

    def _check(self, d: Difference) -> Iterator[Operation]:
        check: Check = d.wanted or d.found
        if d.wanted is None and check.name is None:
            yield Operation(ALTER, decide_up=f"{d.sentence}; drop_constraint needs its name")
            return
        words = re.findall("[a-z0-9]+", self.fold(check.text))[:4]
        name = check.name or self._free_name(f"check_{d.table}_{'_'.join(words)}")
        add = verb("add_constraint", d.table, name, Call("Check", [string(check.text)]))
        drop = verb("drop_constraint", d.table, name)
        if d.wanted is None:
            yield Operation(ALTER, [drop], [add])
        else:
            yield Operation(CONSTRAIN, [add], [drop])

    def _free_name(self, name: str) -> str:
        number = self._names.count(name)
        self._names.append(name)
        return f"{name}_{number + 1}" if number else name

    def _field(self, d: Difference) -> Any:
        model = self.models[self.fold(d.table)]
        fields = {self.fold(field.column_name): field for field in model._meta.sorted_fields}
        return fields[self.fold(d.subject)]


def _function(name: str, parts: Sequence[tuple[str, Sequence[Call]]]) -> str:
    if not any(doubt or calls for doubt, calls in parts):
        return f"def {name}(migrator, db):\n    pass\n"
    out = [f"def {name}(migrator, db):", "    migrator.migrate("]
    for doubt, calls in parts:
        if doubt:
            out += [f"        {line}" for line in _comment(doubt)]
        for call in calls:
            out += source.lines(call, 8, ",")
    return "\n".join([*out, "    )", ""])


def _comment(doubt: str) -> list[str]:
    words, out = (DECIDE + doubt).split(), [""]
    for word in words:
        if len(out[-1]) + len(word) + 1 > source.WIDTH - 8:
            out.append("#")
        out[-1] = f"{out[-1]} {word}".strip()
    return out


def _title(name: str) -> str:
    return name.replace("_", " ").capitalize() + "."
