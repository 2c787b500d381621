"""No character of a hostile text reaches a reader as anything but a character."""

import json
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlffbench.core.errors import BenchError, DataError
from mlffbench.core.guards.plain import (
    LONGEST,
    UNSEEN,
    csv_cell,
    json_text,
    markdown_cell,
    plain,
    plain_lines,
    sentence,
)

HOSTILE = "=a\x1b]0;t\x07\u202eb\x00\x9b31m\ud800<script>|[x](y)`c\r\nd\u200f"


@settings(max_examples=40, deadline=None)
@given(st.text() | st.just(HOSTILE))
def test_nothing_unseen_passes(text: str) -> None:
    for made in (plain(text), sentence(text), markdown_cell(text), str(csv_cell(text))):
        assert not UNSEEN.search(made)
        made.encode()
    assert all(not UNSEEN.search(line) for line in plain_lines(text).split("\n"))
    assert plain(plain(text)) == plain(text)


@settings(max_examples=25, deadline=None)
@given(st.dictionaries(st.text(), st.lists(st.text()) | st.just(HOSTILE)))
def test_json_is_seen_and_comes_back(content: dict[str, object]) -> None:
    text = json_text(content, indent=1)
    assert not any(UNSEEN.search(line) for line in text.split("\n"))
    assert json.loads(text) == content


@pytest.mark.parametrize(
    "start", ["=", "+", "-", "@", "\t=", " =", "\r@", "'=", chr(0xFF1D)]
)
def test_no_cell_is_a_formula(start: str) -> None:
    assert str(csv_cell(f"{start}cmd|' /C calc'!A0")).startswith("'")


@pytest.mark.parametrize("value", [-1.5, None, 3, "a-b", "CH4", ""])
def test_other_cells_stay(value: object) -> None:
    assert csv_cell(value) == value


def test_markdown_holds_no_html_and_no_link() -> None:
    shown = markdown_cell("<img src=x>![a](http://b) | `c` [1.0, 2.0] å")
    for text in ("<", "](", " | "):
        assert text not in shown
    assert "[1.0, 2.0] å" in shown


def test_sentences_are_capped() -> None:
    error = DataError("unknown key " + "x" * 10**6 + "; run: this")
    assert len(str(error)) <= LONGEST
    assert str(error).startswith("unknown key x")
    assert str(error).endswith("; run: this")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert str(BenchError("a\x1b[2J\nb")) == "a\ufffd[2J b"
