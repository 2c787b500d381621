"""``spice-id`` and ``spice-ood``: trained on SPICE 1.1.4, tested on what 2.0.1 added."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from mlffbench.core.card import elements
from mlffbench.core.errors import DataError
from mlffbench.core.roles import Role, ShiftKind
from mlffbench.core.spectrum import SpectralReference
from mlffbench.core.split import Rows, Shift, Source, Split
from mlffbench.core.structures import Structures
from mlffbench.datasets.download.local import data_folder, files_of
from mlffbench.datasets.index.index import Counter
from mlffbench.datasets.index.indexed import IndexedFile, Table
from mlffbench.datasets.index.sampling import in_hash_order, rows_with, size_of, spread
from mlffbench.datasets.index.splitfiles import Cut, kept_splits
from mlffbench.datasets.molecules.smiles import is_ion_pair, require_rdkit
from mlffbench.datasets.shifts import (
    DEFAULT_CUTOFF,
    ShiftReference,
    ShiftScores,
    percentile,
    spectral_distance,
)

RULES = 1
"""Raised whenever a rule below changes, so that splits are carved again."""
LEVEL_OF_THEORY = "wB97M-D3(BJ)/def2-TZVPPD"
TRAINED_ELEMENTS = elements("H C N O F P S Cl Br I")
HELD_OUT = 0.05
"""Share of the trained molecules that is held out as the control."""
SPECTRAL_SAMPLE = 20_000
"""Training structures behind the mean spectrum and its 99th percentile."""
_CHUNK = 2_000
_KINDS: tuple[ShiftKind, ...] = (
    "elements",
    "force_norm",
    "connectivity",
    "size",
    "charge",
)
_TRAIN_RULE = (
    "SPICE 1.1.4, MACE-OFF's rule: neutral, H C N O F P S Cl Br I, no ion pairs; labels "
    "finite, no gradient component above 1 hartree/bohr"
)
_NEW = (
    "SPICE 2.0.1 molecules whose canonical SMILES and geometries are all absent from "
    "1.1.4"
)


def identical(size: str = "10k", counter: Counter | None = None) -> tuple[Split, ...]:
    """Return the splits of ``spice-id``: train, and held-out molecules of SPICE 1.1.4.

    Args:
        size: At most so many structures per control half; ``"full"`` is all.
        counter: Told how far indexing is.

    Raises:
        DataError: SPICE 1.1.4 is not downloaded, or damaged.
        MissingExtraError: rdkit is not installed.
    """
    sources = {"spice-1": open_release("spice-1", "spice-id", counter)}

    def carve() -> list[Cut]:
        return trained_cuts(sources["spice-1"], _share(size, 1))

    return kept(f"spice-id-{size}", sources, size, carve)


def shifted(size: str = "10k", counter: Counter | None = None) -> tuple[Split, ...]:
    """Return the splits of ``spice-ood``: those of ``spice-id`` and one per shift.

    Args:
        size: At most so many OOD structures per half, the same number for each shift;
            ``"full"`` is all.
        counter: Told how far indexing and labelling are.

    Raises:
        DataError: SPICE 1.1.4 or 2.0.1 is not downloaded, or damaged.
        MissingExtraError: rdkit is not installed.
    """
    first = open_release("spice-1", "spice-ood", counter)
    second = open_release("spice-2", "spice-ood", counter)

    def carve() -> list[Cut]:
        share = _share(size, len(_KINDS))
        known = trained_cuts(first, share)
        train = next(cut.split for cut in known if cut.split.role == "train")
        reference = _reference(first, train.rows, counter)
        new = new_rows(first.table, second.table)
        return [*known, *_by_shift(second, new, reference, share, counter)]

    sources = {"spice-1": first, "spice-2": second}
    return kept(f"spice-ood-{size}", sources, size, carve)


def open_release(key: str, what: str, counter: Counter | None) -> IndexedFile:
    """Return a downloaded release of SPICE, indexed.

    Args:
        key: Of the download: ``spice-1`` or ``spice-2``.
        what: Name of the dataset it is for, for messages.
        counter: Told how far indexing is.

    Raises:
        DataError: It is not downloaded, or damaged.
        MissingExtraError: rdkit is not installed.
    """
    require_rdkit(f"dataset {what!r}")
    files = files_of(key)
    if len(files) != 1:
        msg = f"{key} has {len(files)} data files; expected one: download it again"
        raise DataError(msg)
    return IndexedFile(files[0], counter=counter, level_of_theory=LEVEL_OF_THEORY)


def kept(
    name: str, sources: Mapping[str, IndexedFile], size: str, carve: Any
) -> tuple[Split, ...]:
    """Return splits kept beside the data, carved where they are not.

    Args:
        name: Folder of the splits.
        sources: What they are of.
        size: As asked for.
        carve: Makes them.
    """
    made_from = {
        "rules": RULES,
        "size": size,
        "cutoff": DEFAULT_CUTOFF,
        "sources": {key: source.made_from for key, source in sources.items()},
    }
    folder = data_folder() / "splits" / name
    return kept_splits(folder, sources, made_from, carve)


def _share(size: str, n_splits: int) -> int | None:
    total = size_of(size)
    return None if total is None else max(1, total // n_splits)


def trained_cuts(source: IndexedFile, n_most: int | None) -> list[Cut]:
    """Return train and the two halves of the held-out molecules."""
    table = source.table
    index = table.index
    allowed = np.array(
        [
            int(index.charge[record]) == 0
            and index.elements[record] <= TRAINED_ELEMENTS
            and not is_ion_pair(index.smiles[record])
            and "ion pair" not in index.subsets[record].lower()
            for record in range(len(index.keys))
        ],
        dtype=np.bool_,
    )
    rows = np.flatnonzero(allowed[index.record] & table.usable)
    names = {index.groups[record] for record in np.unique(index.record[rows]).tolist()}
    molecules = in_hash_order(names, "spice")
    n_held = max(2, round(HELD_OUT * len(molecules)))
    if len(molecules) <= n_held:
        msg = f"{source.path} has {len(molecules)} molecules that may be trained on; "
        raise DataError(msg + f"expected more than {n_held}, to hold some out")
    held = _never_seen(table, molecules[:n_held], molecules[n_held:], rows)
    middle = len(held) // 2
    rule = f"{_TRAIN_RULE}; molecules in sha256 order"
    parts: list[tuple[str, Role, Sequence[str], str, int | None]] = [
        ("train", "train", molecules[n_held:], "without the first 5 %", None),
        ("id_molecules", "id_val", held[:middle], "first half of the first 5 %", n_most),
        ("id_molecules", "id_test", held[middle:], "rest of the first 5 %", n_most),
    ]
    return [
        Cut(
            "spice-1",
            Split(
                name=name,
                role=role,
                source=source,
                rows=spread(
                    index, rows_with(index, chosen, rows), most, f"{name}/{role}"
                ),
                rule=f"{rule}, {words}{_at_most(most)}",
            ),
        )
        for name, role, chosen, words, most in parts
    ]


def _never_seen(
    table: Table, held: Sequence[str], trained: Sequence[str], rows: Rows
) -> list[str]:
    """Return the held-out molecules of which no geometry is trained on either.

    One molecule may be in a file with and without its stereochemistry.
    """
    index = table.index
    hashes = table.geometry[rows_with(index, trained, rows)]
    tested = rows_with(index, held, rows)
    copies = tested[np.isin(table.geometry[tested], hashes)]
    shared = {index.groups[record] for record in index.record[copies].tolist()}
    return [name for name in held if name not in shared]


def _at_most(n_most: int | None) -> str:
    if n_most is None:
        return ""
    return f"; at most {n_most:,} structures, spread over the molecules"


def new_rows(first: Table, second: Table) -> Rows:
    """Return usable rows of SPICE 2.0.1 whose molecules are not in 1.1.4 in any form."""
    index = second.index
    known = set(first.canonical) | set(first.index.groups)
    seen = np.isin(second.geometry, first.geometry)
    shared = {index.groups[record] for record in np.unique(index.record[seen]).tolist()}
    new = np.array(
        [group not in known and group not in shared for group in index.groups],
        dtype=np.bool_,
    )
    return np.flatnonzero(new[index.record] & second.usable)


def _reference(
    source: IndexedFile, rows: Rows, counter: Counter | None
) -> ShiftReference:
    """Return what training holds; its spectra from a sample spread over molecules."""
    index = source.index
    records = np.unique(index.record[rows])
    sample = spread(index, rows, SPECTRAL_SAMPLE, "spectral sample")
    parts = list(read_parts(source, sample, "training spectra", counter))
    spectral = SpectralReference.of(Structures.concatenate(parts), DEFAULT_CUTOFF)
    distances = np.concatenate([spectral_distance(part, spectral) for part in parts])
    return ShiftReference(
        n_structures=len(rows),
        elements=frozenset().union(*(index.elements[i] for i in records.tolist())),
        charges=frozenset(index.charge[records].tolist()),
        max_atoms=int(index.n_atoms[records].max()),
        force_norm_p99=percentile(source.table.mean_force[rows]),
        spectral=spectral,
        spectral_p99=percentile(distances) or 0.0,
    )


def _by_shift(
    source: IndexedFile,
    rows: Rows,
    reference: ShiftReference,
    n_most: int | None,
    counter: Counter | None,
) -> Iterator[Cut]:
    """Yield the val and the test half of every shift that occurs."""
    index = source.index
    records = index.record[rows]
    distances = [
        spectral_distance(part, reference.spectral)
        for part in read_parts(source, rows, "OOD spectra", counter)
    ]
    new_elements = np.array([len(e - reference.elements) for e in index.elements])
    new_charge = np.array([c not in reference.charges for c in index.charge.tolist()])
    labels = ShiftScores(
        new_elements=new_elements[records].astype(np.float64),
        force_norm=source.table.mean_force[rows],
        spectral=np.concatenate([np.zeros(0), *distances]),
        n_atoms=index.n_atoms[records].astype(np.float64),
        new_charge=new_charge[records].astype(np.float64),
    ).labels(reference)
    molecules = in_hash_order((index.groups[r] for r in np.unique(records)), "spice-2")
    middle = len(molecules) // 2
    halves: dict[Role, set[str]] = {
        "ood_val": set(molecules[:middle]),
        "ood_test": set(molecules[middle:]),
    }
    for kind in _KINDS:
        carrying = rows[np.array([kind in found for found in labels], dtype=np.bool_)]
        for role, half in halves.items():
            name = f"ood_{kind}"
            mine = rows_with(index, tuple(half), carrying)
            chosen = spread(index, mine, n_most, f"{name}/{role}")
            if len(chosen) == 0:
                continue
            words = "first half" if role == "ood_val" else "second half"
            yield Cut(
                "spice-2",
                Split(
                    name=name,
                    role=role,
                    source=source,
                    rows=chosen,
                    rule=f"{_NEW}, labelled {kind}; molecules in sha256 order, {words}"
                    + _at_most(n_most),
                    shift=Shift(kind, _shift_rule(kind, reference)),
                    control="id_molecules",
                ),
            )


def _shift_rule(kind: ShiftKind, reference: ShiftReference) -> str:
    limit = reference.force_norm_p99
    return {
        "elements": "contains an element that train does not",
        "force_norm": "mean atomic |F| above the 99th percentile of train, "
        + (f"{limit:.4g} eV/Å" if limit is not None else "not known"),
        "connectivity": "spectral distance at "
        f"{reference.spectral.cutoff:g} Å above the 99th percentile of train, "
        f"{reference.spectral_p99:.4g} ({reference.spectral.n_structures:,} structures)",
        "size": f"more than the {reference.max_atoms} atoms of the largest in train",
        "charge": "total charge absent from train",
    }[kind]


def read_parts(
    source: Source, rows: Rows, title: str, counter: Counter | None
) -> Iterator[Structures]:
    """Yield structures in pieces; at least one, so that there is something to join."""
    if counter:
        counter.begin(title, len(rows))
    for start in range(0, max(len(rows), 1), _CHUNK):
        part = rows[start : start + _CHUNK]
        yield source.structures(part)
        if counter:
            counter.advance(len(part))
