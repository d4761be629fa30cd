"""The tables of a schema and their foreign keys as one SVG, with crow's feet.

Raises MissingProgram where nothing can lay it out.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from html import escape

from guarded.author.layout import Box, Layout, Line, Point, lay_out
from guarded.author.picture import Relation, keys_of
from guarded.schema import Column, Table

ROW = 22  # the height of a row
LETTER = 7.3  # the widest letter of the usual fixed-width fonts, at 12 px
SIDE = 10  # between the side of a box and its text
GAP = 18  # between a name and its type
MARK = 22  # the width of PK, FK or UK
LONGEST = 40  # letters of a name or type that are shown
EDGE = 16  # around the whole
# How the end of a line looks: https://en.wikipedia.org/wiki/Entity–relationship_model#Crow's_foot
MARKERS = """<defs>
<marker id="one" class="foot" viewBox="0 0 18 12" refX="18" refY="6" markerWidth="18"
 markerHeight="12" markerUnits="userSpaceOnUse" orient="auto-start-reverse"
><path d="M9 1V11M13 1V11M0 6H18"/></marker>
<marker id="maybe" class="foot" viewBox="0 0 18 12" refX="18" refY="6" markerWidth="18"
 markerHeight="12" markerUnits="userSpaceOnUse" orient="auto-start-reverse"
><path d="M14 1V11M0 6H18"/><circle cx="7" cy="6" r="4"/></marker>
<marker id="many" class="foot" viewBox="0 0 18 12" refX="18" refY="6" markerWidth="18"
 markerHeight="12" markerUnits="userSpaceOnUse" orient="auto-start-reverse"
><path d="M10 6L18 1M10 6L18 11M0 6H18"/><circle cx="6" cy="6" r="4"/></marker>
</defs>"""


def draw(tables: Sequence[Table], edges: Sequence[Relation], anchors: Mapping[str, str]) -> str:
    """Each table leads to its anchor.  A key to a table that is not there has no line."""
    numbers = {table.name: number for number, table in enumerate(tables)}
    shown = [edge for edge in edges if edge.parent in numbers]
    boxes = [Box(_width(table), len(table.columns) + 1) for table in tables]
    lines = [
        Line(
            numbers[edge.parent],
            _row(tables[numbers[edge.parent]], edge.key.parent_columns),
            numbers[edge.child],
            _row(tables[numbers[edge.child]], edge.key.columns),
        )
        for edge in shown
    ]
    layout = lay_out(boxes, lines, ROW)
    return "\n".join(
        [
            _head(layout, len(tables)),
            MARKERS,
            *(_line(edge, course) for edge, course in zip(shown, layout.lines)),
            *(
                _table(table, box, corner, anchors[table.name])
                for table, box, corner in zip(tables, boxes, layout.corners)
            ),
            "</g></svg>",
        ]
    )


def _head(layout: Layout, tables: int) -> str:
    width, height = round(layout.width) + 2 * EDGE, round(layout.height) + 2 * EDGE
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="erd" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img" aria-label="{tables} tables and their foreign '
        f'keys"><g transform="translate({EDGE} {EDGE})">'
    )


def _table(table: Table, box: Box, corner: Point, anchor: str) -> str:
    x, y, height = round(corner.x, 1), round(corner.y, 1), box.rows * ROW
    parts = [
        f'<a href="#{anchor}"><g class="table" transform="translate({x} {y})">',
        f"<title>{escape(table.name)}</title>",
        f'<rect class="box" width="{box.width}" height="{height}" rx="4"/>',
        f'<path class="head" d="M0 {ROW}V4a4 4 0 0 1 4-4H{box.width - 4}a4 4 0 0 1 4 4V{ROW}z"/>',
        f'<text class="name" x="{SIDE}" y="15">{escape(_short(table.name))}</text>',
    ]
    for number, column in enumerate(table.columns, start=1):
        place = number * ROW + 15
        if marks := keys_of(table, column):
            parts.append(f'<text class="mark" x="{SIDE}" y="{place}">{marks[0]}</text>')
        parts.append(f'<text x="{SIDE + MARK}" y="{place}">{escape(_short(column.name))}</text>')
        parts.append(
            f'<text class="type" x="{box.width - SIDE}" y="{place}">{escape(_type(column))}</text>'
        )
    return "".join([*parts, "</g></a>"])


def _line(edge: Relation, course: Sequence[Point]) -> str:
    first, *rest = (f"{point.x:.1f} {point.y:.1f}" for point in course)
    curves = "".join(f"C{', '.join(rest[n : n + 3])}" for n in range(0, len(rest), 3))
    start = "maybe" if edge.is_optional else "one"
    end = "maybe" if edge.is_single else "many"
    words = f"{edge.child} ({', '.join(edge.key.columns)}) to {edge.parent}"
    return (
        f'<path class="key" d="M{first}{curves}" marker-start="url(#{start})" '
        f'marker-end="url(#{end})"><title>{escape(words)}</title></path>'
    )


def _row(table: Table, columns: Sequence[str]) -> int:
    """The row of the first of these columns; the head where there is none."""
    spelled = [column.name.lower() for column in table.columns]
    wanted = columns[0].lower() if columns else ""
    return spelled.index(wanted) + 1 if wanted in spelled else 0


def _width(table: Table) -> int:
    rows = [
        MARK + _length(_short(column.name)) + GAP + _length(_type(column))
        for column in table.columns
    ]
    # The name is bold, which some fonts draw wider.
    return round(max([1.1 * _length(_short(table.name)), *rows])) + 2 * SIDE


def _length(text: str) -> float:
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return (len(text) + wide) * LETTER


def _type(column: Column) -> str:
    return _short(column.type) + ("?" if column.nullable and not column.primary_key else "")


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
