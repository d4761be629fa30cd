from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guarded.backends.sqlite.text import fold, literal, mentions, quote, tokens, unquote


@pytest.mark.parametrize(
    ("sql", "texts"),
    [
        pytest.param("a  b", ["a", "b"], id="blanks"),
        pytest.param("a -- b\nc", ["a", "c"], id="line comment"),
        pytest.param("a /* b, ( */ c", ["a", "c"], id="block comment"),
        pytest.param("a /* b", ["a"], id="open comment"),
        pytest.param("'it''s -- no'", ["'it''s -- no'"], id="string"),
        pytest.param('"a""b" `c``d` [e f]', ['"a""b"', "`c``d`", "[e f]"], id="quoted names"),
        pytest.param("x'00' xyz", ["x'00'", "xyz"], id="blob"),
        pytest.param("1.5e-3, .5, 0xFF", ["1.5e-3", ",", ".5", ",", "0xFF"], id="numbers"),
        pytest.param(
            "a>=b||c<>d->>e->f==g<h|i",
            [
                *[
                    "a",
                    ">=",
                    "b",
                    "||",
                    "c",
                    "<>",
                    "d",
                    "->>",
                    "e",
                    "->",
                    "f",
                    "==",
                    "g",
                    "<",
                    "h",
                    "|",
                    "i",
                ]
            ],
            id="operators",
        ),
        pytest.param("größe", ["größe"], id="beyond ASCII"),
    ],
)
def test_a_statement_is_split_into_tokens(sql, texts):
    assert [token.text for token in tokens(sql)] == texts


@given(st.text())
def test_every_token_stands_where_it_says(sql):
    assert all(sql[token.start : token.end] == token.text for token in tokens(sql))


@given(st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=("Cs",))))
def test_unquote_undoes_quote(name):
    assert unquote(quote(name)) == name
    assert [token.name for token in tokens(quote(name))] == [name]


@pytest.mark.parametrize("value", [None, True, 3, -2.5, "it's", "", b"\x00\xff", "é\n"])
def test_a_literal_is_the_value(connect, value):
    stored = connect(":memory:").execute(f"SELECT {literal(value)}").fetchone()[0]
    assert stored == value


@pytest.mark.parametrize(
    ("sql", "name", "found"),
    [
        pytest.param("SELECT [A] FROM t", "a", True, id="brackets and case"),
        pytest.param("SELECT ab FROM t", "a", False, id="part of a name"),
        pytest.param("SELECT 1 -- a", "a", False, id="comment"),
        pytest.param(None, "a", False, id="no text"),
    ],
)
def test_a_name_is_found_in_any_quoting_and_case(sql, name, found):
    assert mentions(sql, name) is found


def test_folding_is_ascii_only():
    assert fold("ÄÖ-Abc") == "ÄÖ-abc"
