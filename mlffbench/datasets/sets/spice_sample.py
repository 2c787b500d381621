"""spice-sample: 387 structures of SPICE with their published labels, inside the package.

One rule orders everything: molecules by the sha256 of their SMILES. Nothing is random.

A model that was trained on SPICE may have seen every one of these structures. Then a
shift here is one of geometry (size, connectivity) and not one of training.
"""

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from mlffbench.core.roles import Role, ShiftKind
from mlffbench.core.split import Index, Shift, Split
from mlffbench.datasets.files.spice_layout import SpiceFile

LEVEL_OF_THEORY = "wB97M-D3(BJ)/def2-TZVPPD"
SUBSETS: Mapping[str, str] = {
    "des370k_monomers": "DES370K monomers",
    "pubchem": "PubChem molecules",
    "dipeptides": "dipeptides",
    "solvated_amino_acids": "solvated amino acids",
}
"""File of the source -> subset as this file calls it."""
MAX_TRAINED_ATOMS = 36
"""Molecules of train and of the ID control have no more atoms."""
_MONOMERS, _PUBCHEM, _DIPEPTIDES, _SOLVATED = SUBSETS.values()
_ROLES: tuple[Role, ...] = ("train", "train", "train", "id_val", "id_test")
_IN = (
    f"{_MONOMERS}, and {_PUBCHEM} of up to {MAX_TRAINED_ATOMS} atoms; of five in sha256 "
    "order three are train, then one val, one test; without the solvated molecules"
)


class _Shifted(NamedTuple):
    """How one OOD split differs from training."""

    split: str
    subset: str
    kind: ShiftKind
    rule: str


_SHIFTED = (
    _Shifted(
        "ood_size",
        _PUBCHEM,
        "size",
        f"37 to 50 atoms; train has at most {MAX_TRAINED_ATOMS}",
    ),
    _Shifted(
        "ood_dipeptides",
        _DIPEPTIDES,
        "connectivity",
        "chains of amino acids, most of them larger than any trained molecule too",
    ),
    _Shifted(
        "ood_solvated",
        _SOLVATED,
        "connectivity",
        "an amino acid among some twenty water molecules; train has single molecules",
    ),
)


@cache  # the file ships with the package and does not change
def splits() -> tuple[Split, ...]:
    """Return every split with its DFT labels.

    ``train``; ``id_molecules`` (``id_val`` and ``id_test``); three OOD splits
    (``ood_val`` and ``ood_test``). Tune on ``*_val`` only.

    Raises:
        DataError: The embedded file is missing or damaged.
    """
    source = SpiceFile(
        Path(str(resources.files("mlffbench.datasets.sets") / "spice-sample.hdf5")),
        group_of=molecule_of,
    )
    index = source.index
    solutes = {
        index.groups[record]
        for record, subset in enumerate(index.subsets)
        if subset == _SOLVATED
    }
    usual = [
        record
        for record, subset in enumerate(index.subsets)
        if subset in {_MONOMERS, _PUBCHEM}
        and not (subset == _PUBCHEM and _is_large(index, record))
        and index.groups[record] not in solutes
    ]
    dealt: dict[Role, list[int]] = {role: [] for role in _ROLES}
    for place, records in enumerate(_molecules(index, usual)):
        dealt[_ROLES[place % len(_ROLES)]] += records
    inside = [
        Split(
            name="train" if role == "train" else "id_molecules",
            role=role,
            source=source,
            rows=index.rows_of(records),
            rule=_IN,
        )
        for role, records in dealt.items()
    ]
    outside = [split for entry in _SHIFTED for split in _halved(source, entry)]
    return (*inside, *outside)


def molecule_of(name: str) -> str:
    """Return the molecule key of a group of the file: without the water around it.

    Example:
        >>> molecule_of("CNC(=O)CNC(C)=O.O.O.O")
        'CNC(=O)CNC(C)=O'
    """
    return max(name.split("."), key=len)


def _halved(source: SpiceFile, entry: _Shifted) -> list[Split]:
    """Return a subset as two splits; with an odd count the second is the larger one."""
    index = source.index
    records = [
        record
        for record, subset in enumerate(index.subsets)
        if subset == entry.subset and (subset != _PUBCHEM or _is_large(index, record))
    ]
    molecules = _molecules(index, records)
    middle = len(molecules) // 2
    halves: tuple[tuple[Role, list[list[int]]], ...] = (
        ("ood_val", molecules[:middle]),
        ("ood_test", molecules[middle:]),
    )
    return [
        Split(
            name=entry.split,
            role=role,
            source=source,
            rows=index.rows_of([record for molecule in half for record in molecule]),
            rule=f"{entry.subset}; molecules in sha256 order, the first half is val",
            shift=Shift(entry.kind, entry.rule),
            control="id_molecules",
        )
        for role, half in halves
    ]


def _is_large(index: Index, record: int) -> bool:
    return int(index.n_atoms[record]) > MAX_TRAINED_ATOMS


def _molecules(index: Index, records: Sequence[int]) -> list[list[int]]:
    """Return the records of each molecule, molecules in sha256 order."""
    found: dict[str, list[int]] = {}
    for record in records:
        found.setdefault(index.groups[record], []).append(record)
    return [found[name] for name in sorted(found, key=_digest)]


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()
