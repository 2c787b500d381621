"""Selection: the rows of a source that have certain values or match a pattern."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Protocol, runtime_checkable

import numpy as np

from mlffbench.core.errors import DataError
from mlffbench.core.split import Rows, Source

Wanted = str | int | float | bool
_SHOWN = 12
_LONGEST = 40
_TRUTHS = {True: ("T", "True", "true"), False: ("F", "False", "false")}


@runtime_checkable
class Annotated(Protocol):
    """A source that says more of its structures than an index keeps."""

    def facts(self) -> Iterator[Mapping[str, Any]]:
        """Yield what is said of every structure by name, in the order of the index."""
        ...


def select_rows(
    source: Source,
    rows: Rows,
    wanted: Mapping[str, Wanted | Sequence[Wanted]],
    where: str,
) -> Rows:
    """Return the rows whose values are those asked for, all of them.

    Every file has ``name`` (``file/17`` or the record alone), ``molecule``, ``smiles``,
    ``subset``, ``charge``, ``multiplicity`` and ``n_atoms``; extended XYZ and ASE
    databases also whatever they say of a structure, which goes first.

    Args:
        source: The source.
        rows: Rows to choose from.
        wanted: Name -> a value, a pattern with ``*`` and ``?``, or several of them.
        where: What to call the source in messages.

    Raises:
        DataError: A name is not there, or nothing has the values; the message says what
            there is.
    """
    said = _said(source, rows, wanted)
    chosen = np.ones(len(rows), dtype=np.bool_)
    for name, asked in wanted.items():
        values = said.get(name)
        if values is None:
            msg = f"{where} says no {name!r} of its structures to select by; it has: "
            raise DataError(msg + ", ".join(_names(source, rows)))
        options = [asked] if isinstance(asked, Wanted) else list(asked)
        fits = np.array([_fits(value, options) for value in values], dtype=np.bool_)
        if not (chosen & fits).any():
            told = " or ".join(str(option) for option in options)
            there = [v for v, open_ in zip(values, chosen, strict=True) if open_]
            msg = f"no structure of {where} has {name} = {told}; there are: "
            raise DataError(msg + _counted(there))
        chosen &= fits
    return rows[chosen]


def _said(
    source: Source, rows: Rows, wanted: Mapping[str, Any]
) -> dict[str, list[Sequence[Any]]]:
    """Return name -> per row, the values it has; a structure may go by several names."""
    found = {n: v for n, v in _of_index(source, rows).items() if n in wanted}
    if isinstance(source, Annotated):
        own = _own(source, rows)
        for name in wanted:
            column = [facts.get(name) for facts in own]
            if any(value is not None for value in column):
                found[name] = [() if value is None else (value,) for value in column]
    return found


def _own(source: Annotated, rows: Rows) -> list[Mapping[str, Any]]:
    facts = [_single(one) for one in source.facts()]
    return [facts[row] for row in rows.tolist()]


def _single(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts that are one value each."""
    return {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in facts.items()
        if isinstance(value, str | int | float | bool | np.generic)
    }


def _of_index(source: Source, rows: Rows) -> dict[str, list[Sequence[Any]]]:
    index = source.index
    records = index.record[rows].tolist()
    keys = [index.keys[record] for record in records]
    return {
        "name": list(zip(index.ids(rows), keys, strict=True)),
        "molecule": [(index.groups[record],) for record in records],
        "smiles": [(index.smiles[record],) for record in records],
        "subset": [(index.subsets[record],) for record in records],
        "charge": [(int(index.charge[record]),) for record in records],
        "multiplicity": [(int(index.multiplicity[record]),) for record in records],
        "n_atoms": [(int(index.n_atoms[record]),) for record in records],
    }


def _names(source: Source, rows: Rows) -> list[str]:
    own: dict[str, None] = {}
    if isinstance(source, Annotated):
        own = dict.fromkeys(name for facts in _own(source, rows) for name in facts)
    return [*own, *(name for name in _of_index(source, rows) if name not in own)]


def _fits(values: Sequence[Any], options: Sequence[Wanted]) -> bool:
    return any(_is(value, option) for value in values for option in options)


def _is(value: Any, option: Wanted) -> bool:
    """Return whether a value is what is asked for, however either is written."""
    if isinstance(option, bool):
        return str(value) in _TRUTHS[option]
    if isinstance(option, int | float):
        try:
            return not isinstance(value, bool) and float(value) == option
        except ValueError:
            return False
    texts = _TRUTHS[value] if isinstance(value, bool) else (str(value),)
    return any(text == option or fnmatchcase(text, option) for text in texts)


def _counted(values: Sequence[Sequence[Any]]) -> str:
    """Return the values there are, with their numbers, the most frequent first."""
    counts = Counter(str(value[-1])[:_LONGEST] if value else "none" for value in values)
    told = [f"{value or 'none'} ({n})" for value, n in counts.most_common(_SHOWN)]
    more = len(counts) - _SHOWN
    return ", ".join(told) + (f" and {more} others" if more > 0 else "")
