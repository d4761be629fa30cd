"""SQLite's SQL as tokens: names, quotes and comments are told from what they surround.

The rules are those of https://www.sqlite.org/lang_keywords.html and lang_comment.html.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from server.migrations.engine.sql.names import fold, unquote

PATTERN = re.compile(
    r"""
    (?P<blank>   \s+ | --[^\n]* | /\*.*?(?:\*/|\Z) )
  | (?P<string>  '(?:[^']|'')*' )
  | (?P<quoted>  "(?:[^"]|"")*" | `(?:[^`]|``)*` | \[[^\]]*\] )
  | (?P<blob>    [xX]'[0-9A-Fa-f]*' )
  | (?P<number>  0[xX][0-9A-Fa-f]+ | (?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][+-]?\d+)? )
  | (?P<word>    (?: [A-Za-z_] | [^\x00-\x7f] ) (?: [A-Za-z0-9_$] | [^\x00-\x7f] )* )
  | (?P<symbol>  [<>=!]= | <> | << | >> | \|\| | ->>? | . )
    """,
    re.VERBOSE | re.DOTALL,
)


class Token(NamedTuple):
    """A piece ``sql[start:end]`` that means something, so neither white space nor comment."""

    kind: str
    text: str
    start: int
    end: int

    @property
    def keyword(self) -> str:
        """In capitals; empty when quoted, for a quoted word is never a keyword."""
        return self.text.upper() if self.kind == "word" else ""

    @property
    def name(self) -> str | None:
        """The identifier that this token spells, or None; SQLite takes ``'a'`` for one too."""
        return unquote(self.text) if self.kind in ("word", "quoted", "string") else None


def tokens(sql: str) -> list[Token]:
    return [
        Token(str(match.lastgroup), match.group(), match.start(), match.end())
        for match in PATTERN.finditer(sql)
        if match.lastgroup != "blank"
    ]


def mentions(sql: str | None, name: str) -> bool:
    """Whether the text names this identifier anywhere, in any quoting and case."""
    wanted = fold(name)
    return any(_spells(token, wanted) for token in tokens(sql or ""))


def mentions_any(sql: str | None, names: Iterable[str]) -> bool:
    text = sql or ""
    return any(mentions(text, name) for name in names)


def _spells(token: Token, wanted: str) -> bool:
    name = token.name
    return name is not None and fold(name) == wanted
