"""Places of boxes and of the lines between them, by Graphviz's dot: nothing overlaps.

dot is given sizes and no texts, so the places don't depend on fonts.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from typing import NamedTuple

from guarded.errors import MissingProgram

# https://graphviz.org/doc/info/attrs.html; the sizes are in points.
GRAPH = "rankdir=LR, nodesep=0.4, ranksep=1, pack=28"
TABLE = '<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="0">'
INSTALL = "install Graphviz: apt install graphviz, dnf install graphviz or brew install graphviz"
POINTS = 72  # to an inch
BULGE = 36  # of a line from a box to itself; three quarters of it are less than the gaps


class Box(NamedTuple):
    """A box of rows of the same height."""

    width: int
    rows: int


class Line(NamedTuple):
    """A line between rows of two boxes, both by their numbers."""

    start: int
    start_row: int
    end: int
    end_row: int


class Point(NamedTuple):
    x: float
    y: float


class Layout(NamedTuple):
    """Places in points, from the left and the top: the upper left corner of each box, and the
    control points of each line, which is a chain of cubic Bézier curves."""

    width: float
    height: float
    corners: list[Point]
    lines: list[list[Point]]


def lay_out(boxes: Sequence[Box], lines: Sequence[Line], row_height: int) -> Layout:
    """Raises MissingProgram."""
    program = shutil.which("dot")
    if program is None:
        raise MissingProgram("dot", "to lay out the diagram", INSTALL)
    done = subprocess.run(
        [program, "-Tjson0"],
        input=_graph(boxes, lines, row_height),
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    layout = _read(json.loads(done.stdout), len(boxes), len(lines))
    for number, line in enumerate(lines):
        if line.start == line.end:
            layout.lines[number] = _loop(layout.corners[line.start], boxes, line, row_height)
    return layout


def _loop(corner: Point, boxes: Sequence[Box], line: Line, row_height: int) -> list[Point]:
    """A line on the right of its box.  dot leads such a line through other boxes."""
    right = corner.x + boxes[line.start].width
    shift = row_height / 4 if line.start_row == line.end_row else 0
    start = corner.y + (line.start_row + 0.5) * row_height - shift
    end = corner.y + (line.end_row + 0.5) * row_height + shift
    out = right + BULGE
    return [Point(right, start), Point(out, start), Point(out, end), Point(right, end)]


def _graph(boxes: Sequence[Box], lines: Sequence[Line], row_height: int) -> str:
    words = [f"graph g {{ graph [{GRAPH}]; node [shape=none, margin=0];"]
    for number, box in enumerate(boxes):
        cells = "".join(
            f'<TR><TD PORT="r{row}" FIXEDSIZE="TRUE" WIDTH="{box.width}" HEIGHT="{row_height}">'
            "</TD></TR>"
            for row in range(box.rows)
        )
        words.append(f"b{number} [label=<{TABLE}{cells}</TABLE>>];")
    for number, line in enumerate(lines):
        if line.start == line.end:
            continue
        ends = f"b{line.start}:r{line.start_row} -- b{line.end}:r{line.end_row}"
        words.append(f'{ends} [id="l{number}"];')
    return "\n".join([*words, "}"])


def _read(graph: dict[str, object], boxes: int, lines: int) -> Layout:
    _, _, width, height = map(float, str(graph["bb"]).split(","))
    corners = [Point(0, 0)] * boxes
    courses: list[list[Point]] = [[]] * lines
    found = graph.get("objects", [])
    assert isinstance(found, list)
    for node in found:
        (middle,) = _points(node["pos"], height)
        half = Point(float(node["width"]) * POINTS / 2, float(node["height"]) * POINTS / 2)
        corners[int(node["name"][1:])] = Point(middle.x - half.x, middle.y - half.y)
    edges = graph.get("edges", [])
    assert isinstance(edges, list)
    for edge in edges:
        courses[int(edge["id"][1:])] = _points(edge["pos"], height)
    return Layout(width + BULGE, height, corners, courses)


def _points(text: str, height: float) -> list[Point]:
    """dot counts from the bottom."""
    pairs = (pair.split(",") for pair in text.split())
    return [Point(float(x), height - float(y)) for x, y in pairs]
