"""Comparison: which molecules two sets share, and which cannot be compared.

The one place where that is decided. Two molecules with SMILES are the same if their
canonical SMILES are. Where one of them has none, their skeletons decide, from the SMILES
or from the geometry; where there is no skeleton, they are not comparable if they have the
same elements, size and charge. A name that is no formula makes molecules the same too.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from mlffbench.core.split import Rows, Source
from mlffbench.datasets.molecules.skeleton import (
    skeleton_of_geometry,
    skeleton_of_smiles,
)
from mlffbench.datasets.molecules.smiles import canonical_smiles

MOST_DERIVED = 20_000
"""Records of a set whose skeleton is taken from a geometry; of more, none is."""
MOST_ATOMS = 300
"""Of a molecule with such a skeleton."""
_CHUNK = 2_000
_FORMULA = re.compile(r"^([A-Z][a-z]?\d*)+$")

Answer = Literal["shared", "not shared", "not comparable"]
Size = tuple[frozenset[int], int, int]
"""Elements, number of atoms, charge: equal for equal molecules, and cheap."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Some rows of a source.

    Attributes:
        source: The source.
        rows: Shape (n_structures,), which of its rows.
    """

    source: Source
    rows: Rows


class Molecule(NamedTuple):
    """A molecule in both sets.

    Attributes:
        name: Canonical SMILES where one is known, else its name in the second set.
        known_by: ``canonical SMILES``, ``connectivity``, ``name`` or ``composition``.
        in_first: Structures in the first set.
        in_second: Structures in the second set.
        first: Its name in the first set.
        second: Its name in the second set.
    """

    name: str
    known_by: str
    in_first: int
    in_second: int
    first: str
    second: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """What two sets share.

    Attributes:
        shared: Molecules of both, those with most structures first.
        unclear: Compositions of both of which nobody can say.
    """

    shared: tuple[Molecule, ...]
    unclear: tuple[Molecule, ...]

    @property
    def answer(self) -> Answer:
        """Whether they share a molecule."""
        if self.shared:
            return "shared"
        return "not comparable" if self.unclear else "not shared"


@dataclass(slots=True, eq=False)
class _Entry:
    """Records of a set that are alike in all that its index says."""

    smiles: str
    name: str
    size: Size
    n: int
    records: list[tuple[Source, int, int]]
    periodic: bool
    written: str


_Pairs = dict[str, list[tuple[str, _Entry, int, _Entry, int]]]
"""Name -> how a pair is known, its entry and number of structures in each set."""


def compare(first: Sequence[Part], second: Sequence[Part]) -> Comparison:
    """Return which molecules two sets share.

    Raises:
        DataError: A file is damaged.
    """
    ones, twos = _entries(first), _entries(second)
    shared: _Pairs = defaultdict(list)
    by_smiles = {entry.smiles: entry for entry in ones if entry.smiles}
    for two in twos:
        if two.smiles in by_smiles:
            one = by_smiles[two.smiles]
            shared[two.smiles].append(("canonical SMILES", one, one.n, two, two.n))
    by_name = {one.name: one for one in ones if not _FORMULA.match(one.name)}
    for two in twos:
        one_named = by_name.get(two.name)
        if one_named and not (one_named.smiles and two.smiles):
            pair = ("name", one_named, one_named.n, two, two.n)
            shared[two.smiles or one_named.smiles or two.name].append(pair)
    unclear: _Pairs = defaultdict(list)
    for those, others in _mixed(ones, twos):
        _by_skeleton(those, others, shared, unclear)
    return Comparison(_told(shared), _told(unclear))


def count_molecules(parts: Sequence[Part]) -> int:
    """Return the number of molecules in a set, isomers without SMILES apart."""
    entries = _entries(parts)
    known = {entry.smiles for entry in entries if entry.smiles}
    keys = set()
    for entry in entries:
        if not entry.smiles:
            formula = bool(_FORMULA.match(entry.name))
            for skeleton, _ in _skeletons(entry) if formula else [("", 0)]:
                keys.add((entry.name, entry.size, skeleton))
    return len(known) + len(keys)


def _entries(parts: Sequence[Part]) -> list[_Entry]:
    found: dict[tuple[str, str, Size], _Entry] = {}
    for part in parts:
        index = part.source.index
        records, firsts, counts = np.unique(
            index.record[part.rows], return_index=True, return_counts=True
        )
        rows = part.rows[firsts]
        for record, row, n in zip(
            records.tolist(), rows.tolist(), counts.tolist(), strict=True
        ):
            smiles = canonical_smiles(index.smiles[record])
            size = (
                index.elements[record],
                int(index.n_atoms[record]),
                int(index.charge[record]),
            )
            name = index.groups[record]
            entry = found.setdefault(
                (smiles, name, size),
                _Entry(smiles, name, size, 0, [], bool(index.periodic[record]),
                       index.smiles[record]),
            )  # fmt: skip
            entry.n += n
            entry.records.append((part.source, row, n))
    return list(found.values())


def _mixed(
    ones: list[_Entry], twos: list[_Entry]
) -> Iterator[tuple[list[_Entry], list[_Entry]]]:
    """Yield molecules of equal size of which one or the other has no SMILES."""
    sizes: dict[Size, tuple[list[_Entry], list[_Entry]]] = defaultdict(lambda: ([], []))
    for side, entries in enumerate((ones, twos)):
        for entry in entries:
            sizes[entry.size][side].append(entry)
    for those, others in sizes.values():
        if those and others and not all(e.smiles for e in (*those, *others)):
            yield those, others


def _by_skeleton(
    ones: list[_Entry],
    twos: list[_Entry],
    shared: _Pairs,
    unclear: _Pairs,
) -> None:
    """Sort pairs without two SMILES into those that are shared and those unclear."""
    known: dict[str, list[tuple[_Entry, int]]] = defaultdict(list)
    for one in ones:
        for skeleton, n in _skeletons(one):
            known[skeleton].append((one, n))
    for two in twos:
        for skeleton, n in _skeletons(two):
            if not skeleton:
                # nothing is known of this one: it may be any of that size
                pairs, where, how = [(one, one.n) for one in ones], unclear, "composition"
            else:
                pairs, where, how = known[skeleton], shared, "connectivity"
                unknown = [pair for pair in known.get("", ()) if pair not in pairs]
                for one, n_one in unknown:
                    pair = ("composition", one, n_one, two, n)
                    unclear[two.smiles or two.name].append(pair)
            for one, n_one in pairs:
                if one.smiles and two.smiles:
                    continue
                if one.name == two.name and not _FORMULA.match(one.name):
                    continue  # shared by name already
                where[two.smiles or one.smiles or f"{two.name} {skeleton}"].append(
                    (how, one, n_one, two, n)
                )


def _skeletons(entry: _Entry) -> list[tuple[str, int]]:
    """Return the skeletons of an entry with their numbers of structures.

    One where it has a SMILES; else that of every record, by its first structure. Empty
    where none can be had.
    """
    if entry.smiles:
        return [(skeleton_of_smiles(entry.written), entry.n)]
    if entry.periodic or entry.size[1] > MOST_ATOMS or len(entry.records) > MOST_DERIVED:
        return [("", entry.n)]
    counts: dict[str, int] = defaultdict(int)
    sources: dict[int, tuple[Source, list[tuple[int, int]]]] = {}
    for source, row, n in entry.records:
        sources.setdefault(id(source), (source, []))[1].append((row, n))
    for source, pairs in sources.values():
        for start in range(0, len(pairs), _CHUNK):
            chunk = pairs[start : start + _CHUNK]
            structures = source.structures(np.array([row for row, _ in chunk]))
            ends = np.cumsum(structures.sizes.numpy())[:-1]
            numbers = np.split(structures.numbers.numpy(), ends)
            positions = np.split(structures.positions.double().numpy(), ends)
            for own, places, (_, n) in zip(numbers, positions, chunk, strict=True):
                counts[skeleton_of_geometry(own, places)] += n
    return list(counts.items())


def _told(
    pairs: _Pairs,
) -> tuple[Molecule, ...]:
    found = []
    for name, own in pairs.items():
        how, one, _, two, _ = own[0]
        ones = {(id(entry), n) for _, entry, n, _, _ in own}
        twos = {(id(entry), n) for _, _, _, entry, n in own}
        plain = two.smiles or one.smiles or two.name or name
        found.append(
            Molecule(plain, how, sum(n for _, n in ones), sum(n for _, n in twos),
                     one.name, two.name)
        )  # fmt: skip
    return tuple(sorted(found, key=lambda entry: (-entry.in_second, entry.name)))
