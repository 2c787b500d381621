r"""The comment line of an extended XYZ frame, its texts kept as they are written.

ASE turns every value that can be a number into one, so that ``mol_id=01`` and
``mol_id=1`` become one molecule; it drops brackets and backslashes, so that
``smiles=[NH4+]`` loses its charge and ``F/C=C\F`` its isomer. Names and SMILES are
therefore read here, and taken out of the line before ASE reads the rest.
"""

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from ase.io.extxyz import key_val_str_to_dict

from mlffbench.core.errors import DataError
from mlffbench.core.guards.caps import MOST_STATEMENTS

_KEY = re.compile(r"(?<!\S)([^\s=\"'\[\]{}]+)\s*=\s*")
_CLOSING = {'"': '"', "'": "'", "{": "}", "[": "]"}
_TEXTS = re.compile(
    r"(^|_)smiles?(_|$)|^(group|mol_?id|molecule(_?id)?|mol_?name|name|subset|config_?type"
    r"|inchi(_?key)?|id)$",
    re.IGNORECASE,
)


class Entry(NamedTuple):
    """One ``key=value`` of a line; ``start`` and ``stop`` are where it stands."""

    key: str
    text: str
    start: int
    stop: int


def read_comment(comment: str) -> dict[str, Any]:
    r"""Return what a comment line says by name: texts verbatim, the rest as ASE reads it.

    Raises:
        DataError: A name is given twice with different values.

    Example:
        >>> read_comment(r"smiles=F/C=C\F mol_id=01 charge=-1")
        {'smiles': 'F/C=C\\F', 'mol_id': '01', 'charge': np.int64(-1)}
    """
    entries = list(islice(_entries(comment), MOST_STATEMENTS + 1))
    if len(entries) > MOST_STATEMENTS:
        msg = (
            f"its comment line says more than {MOST_STATEMENTS} things by name; expected "
        )
        raise DataError(msg + "a few: correct the file")
    seen: dict[str, str] = {}
    for entry in entries:
        if seen.setdefault(entry.key, entry.text) != entry.text:
            msg = f"{entry.key} is given twice, as {seen[entry.key][:40]!r} and as "
            raise DataError(msg + f"{entry.text[:40]!r}; expected one value: remove one")
    texts = {entry.key: entry.text for entry in entries if _TEXTS.search(entry.key)}
    rest = without_texts(comment)
    if not rest.strip():
        return dict(texts)
    read = key_val_str_to_dict(rest)  # type: ignore[no-untyped-call]  # ASE
    _check_pbc(read.get("pbc", False))
    return {**texts, **read}


def _check_pbc(value: Any) -> None:
    """Refuse periodicity that is neither true nor false, which ASE takes for true."""
    table = np.asarray(value)
    if table.size not in {1, 3} or not (
        table.dtype.kind in "biu" and np.isin(table, (0, 1)).all()
    ):
        msg = (
            f"pbc is {str(value)[:40]!r}; expected T or F for each lattice vector, e.g. "
        )
        raise DataError(msg + 'pbc="T T F"')


def without_texts(comment: str) -> str:
    """Return a line without the names and SMILES that ASE would damage."""
    kept, place = [], 0
    for entry in _entries(comment):
        if _TEXTS.search(entry.key):
            kept.append(comment[place : entry.start])
            place = entry.stop
    return " ".join([*kept, comment[place:]])


def _entries(comment: str) -> Iterator[Entry]:
    place = 0
    while found := _KEY.search(comment, place):
        text, place = _value(comment, found.end(), verbatim=bool(_TEXTS.search(found[1])))
        yield Entry(found[1], text, found.start(), place)


def _value(comment: str, start: int, *, verbatim: bool) -> tuple[str, int]:
    """Return a value and where it ends: to its closing quote, or to the next blank."""
    opening = comment[start : start + 1]
    bare = re.compile(r"\S*").match(comment, start)
    if bare is None or opening not in _CLOSING or (verbatim and opening in "[{"):
        return ("", start) if bare is None else (bare[0], bare.end())
    stop = start + 1
    while stop < len(comment) and comment[stop] != _CLOSING[opening]:
        stop += (
            2 if comment[stop] == "\\" and comment[stop + 1 : stop + 2] in "\\\"'" else 1
        )
    text = re.sub(r"\\([\\\"'])", r"\1", comment[start + 1 : stop])
    rest = re.compile(r"\S*").match(comment, min(stop + 1, len(comment)))
    return text, rest.end() if rest else stop
