"""The splits of the embedded mini set, and its sources.

One rule orders everything: molecules by the sha256 of their name. Nothing is random. What
version 2 added stands behind what was there, so that no molecule changes its half.
"""

import hashlib
from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mlffbench.core.roles import Role, ShiftKind
from mlffbench.core.split import Index, Rows, Shift, Split
from mlffbench.datasets.files.spice_layout import SpiceFile
from mlffbench.datasets.sets.mini.subsets import ADDED

LEVEL_OF_THEORY = "wB97X/6-31G(d)"
PRIOR_LEVEL_OF_THEORY = "GFN2-xTB"
_TRAIN = "mini train"
_ID_MOLECULES = "mini id molecules"
_N_ADDED_ID_VAL = 6
_MIN_CONFORMERS = 4
_SPELLINGS = {"CNC(C)=O": "CC(=O)NC", "OCCN": "NCCO"}
"""Groups of the file that are trained molecules under another spelling of the SMILES."""
_HOT = "trained molecules, hotter geometries"


class _ShiftedSubset(NamedTuple):
    """How one OOD subset of the file differs from training."""

    split: str
    subset: str
    kind: ShiftKind
    rule: str
    n_added_val: int
    shares_molecules: str = ""
    control: str = "id_molecules"


_SHIFTED = (
    _ShiftedSubset(
        "ood_elements",
        "mini elements",
        "elements",
        "every molecule contains B, F, Si, P, S or Cl; train has H, C, N and O",
        0,
    ),
    _ShiftedSubset(
        "ood_force_norm",
        "mini force norm",
        "force_norm",
        "trained molecules at 3000 K instead of 500 K: about twice the mean atomic |F|",
        0,
        shares_molecules=_HOT,
        control="id_conformers",
    ),
    _ShiftedSubset(
        "ood_connectivity",
        "mini connectivity",
        "connectivity",
        "cages and strained rings; train has chains and unstrained rings",
        4,
    ),
    _ShiftedSubset(
        "ood_dimers",
        "mini dimers",
        "connectivity",
        "two molecules, near and pulled apart; train has single molecules",
        2,
    ),
    _ShiftedSubset(
        "ood_extreme",
        "mini extreme",
        "connectivity",
        "larger aromatic molecules, as toluene, naphthalene and salicylic acid",
        9,
    ),
    _ShiftedSubset(
        "ood_composition",
        "mini composition",
        "composition",
        "chains longer than trained, or groups trained apart now in one molecule",
        10,
    ),
    _ShiftedSubset(
        "ood_radicals",
        "mini radicals",
        "spin",
        "neutral doublets; train has closed shells",
        10,
    ),
)


@cache  # the file ships with the package and does not change
def splits() -> tuple[Split, ...]:
    """Return every split of the mini set with its DFT labels.

    ``train``; ``id_conformers`` and ``id_molecules`` (``id_val`` and ``id_test``); seven
    OOD splits (``ood_val`` and ``ood_test``). Tune on ``*_val`` only.

    Raises:
        DataError: The embedded file is missing or damaged.
    """
    source = reference_source()
    index = source.index
    held_out = _held_out_conformers(index)
    train = Split(
        name="train",
        role="train",
        source=source,
        rows=np.setdiff1d(index.rows_of(_records(index, _TRAIN)), held_out),
        rule=f"subset {_TRAIN!r} without the conformers held out for id_conformers",
    )
    shifted = [
        split
        for entry in _SHIFTED
        for split in _halved(
            source,
            entry.split,
            entry.subset,
            ("ood_val", "ood_test"),
            entry.n_added_val,
            shift=Shift(entry.kind, entry.rule),
            shares_molecules=entry.shares_molecules,
            control=entry.control,
        )
    ]
    return (
        train,
        *_unseen_conformers(source, held_out),
        *_halved(
            source, "id_molecules", _ID_MOLECULES, ("id_val", "id_test"), _N_ADDED_ID_VAL
        ),
        *shifted,
    )


def reference_source() -> SpiceFile:
    """Return the labelled structures with their DFT labels."""
    return SpiceFile(
        _embedded("mini.hdf5"), level_of_theory=LEVEL_OF_THEORY, group_of=molecule_of
    )


def prior_source() -> SpiceFile:
    """Return the same structures, row for row, with their stored GFN2-xTB labels."""
    return _with_prior_labels("mini.hdf5")


def prior_geometries() -> SpiceFile:
    """Return further geometries of the trained molecules, with GFN2-xTB labels only.

    None of them is a structure of `splits`; all may be used for training.
    """
    return _with_prior_labels("mini-geometries.hdf5")


def further_splits() -> tuple[Split, ...]:
    """Return `prior_geometries` as one training split; its labels are the prior's."""
    source = prior_geometries()
    return (
        Split(
            name="train",
            role="train",
            source=source,
            rows=np.arange(source.index.n_structures),
            rule="every structure of mini-geometries.hdf5",
        ),
    )


def molecule_of(name: str) -> str:
    """Return the molecule key of a group of the file.

    Example:
        >>> molecule_of("CCO|force-norm")
        'CCO'
    """
    name = name.removesuffix("|force-norm")
    return _SPELLINGS.get(name, name)


def _with_prior_labels(name: str) -> SpiceFile:
    return SpiceFile(
        _embedded(name),
        level_of_theory=PRIOR_LEVEL_OF_THEORY,
        energy="gfn2_total_energy",
        gradient="gfn2_total_gradient",
        group_of=molecule_of,
    )


def _embedded(name: str) -> Path:
    return Path(str(resources.files("mlffbench.datasets.sets.mini") / name))


def _unseen_conformers(source: SpiceFile, held_out: Rows) -> list[Split]:
    """Return the held-out conformers, alternately val and test in sha256 order."""
    index = source.index
    molecules = {row: index.groups[int(index.record[row])] for row in held_out.tolist()}
    ordered = sorted(molecules, key=lambda row: _digest(molecules[row]))
    roles: tuple[Role, Role] = ("id_val", "id_test")
    return [
        Split(
            name="id_conformers",
            role=role,
            source=source,
            rows=np.array(sorted(ordered[start::2]), dtype=np.int64),
            rule=f"of each trained molecule with at least {_MIN_CONFORMERS} conformers, "
            "the one numbered sha256(name) mod their number; molecules in sha256 order, "
            "alternately val and test",
            shares_molecules="unseen conformers",
        )
        for start, role in enumerate(roles)
    ]


def _halved(
    source: SpiceFile,
    name: str,
    subset: str,
    roles: tuple[Role, Role],
    n_added_val: int,
    *,
    shift: Shift | None = None,
    shares_molecules: str = "",
    control: str = "",
) -> list[Split]:
    """Return a subset as two splits.

    The molecules of version 1 are halved, the second half the larger one; of those that
    version 2 added, the first ``n_added_val`` are val.
    """
    index = source.index
    trained = {index.groups[record] for record in _records(index, _TRAIN)}
    records = sorted(
        (
            record
            for record in _records(index, subset)
            if shares_molecules or index.groups[record] not in trained
        ),
        key=lambda record: _digest(index.groups[record]),
    )
    added = set(ADDED.get(subset, ()))
    first = [record for record in records if index.groups[record] not in added]
    later = [record for record in records if index.groups[record] in added]
    middle = len(first) // 2
    val = [*first[:middle], *later[:n_added_val]]
    test = [*first[middle:], *later[n_added_val:]]
    order = "in sha256 order, the first half is val"
    if later and first:
        order += f", of the {len(later)} of version 2 the first {n_added_val}"
    elif later:
        order = f"in sha256 order, the first {n_added_val} are val"
    return [
        Split(
            name=name,
            role=role,
            source=source,
            rows=index.rows_of(half),
            rule=f"subset {subset!r} without trained molecules; {order}"
            if not shares_molecules
            else f"subset {subset!r}; molecules {order}",
            shift=shift,
            shares_molecules=shares_molecules,
            control=control,
        )
        for role, half in zip(roles, (val, test), strict=True)
    ]


def _held_out_conformers(index: Index) -> Rows:
    """Return one row per trained molecule that has enough conformers."""
    chosen = []
    for record in _records(index, _TRAIN):
        rows = index.rows_of([record])
        if len(rows) >= _MIN_CONFORMERS:
            chosen.append(rows[int(_digest(index.groups[record]), 16) % len(rows)])
    return np.array(chosen, dtype=np.int64)


def _records(index: Index, subset: str) -> Sequence[int]:
    return [i for i, name in enumerate(index.subsets) if name == subset]


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()
