"""``acac`` and ``3bpa``: one molecule each, trained cold and tested hot."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mlffbench.core.errors import DataError
from mlffbench.core.roles import Role, ShiftKind
from mlffbench.core.split import Shift, Split
from mlffbench.datasets.download.local import files_of
from mlffbench.datasets.files.extxyz import ExtxyzFile


class _Part(NamedTuple):
    """One split: the file it is, and how it differs from training."""

    name: str
    role: Role
    stem: str
    rule: str
    kind: ShiftKind | None = None
    shift: str = ""


def _hot(kelvin: int, stem: str, rule: str) -> _Part:
    shift = f"{kelvin} K instead of 300 K"
    return _Part(f"ood_{kelvin}K", "ood_test", stem, rule, "force_norm", shift)


_SHARED = "one molecule throughout"
_ACAC = (
    _Part("train", "train", "train_300K", "500 frames of dynamics at 300 K"),
    _Part("md_300K", "id_test", "test_MD_300K", "650 other frames at 300 K"),
    _hot(600, "test_MD_600K", "650 frames of dynamics at 600 K"),
)
_3BPA = (
    _Part("train", "train", "train_300K", "500 frames of dynamics at 300 K"),
    _Part("md_300K", "id_test", "test_300K", "other frames at 300 K"),
    _hot(600, "test_600K", "frames of dynamics at 600 K"),
    _hot(1200, "test_1200K", "frames of dynamics at 1200 K"),
    _Part(
        "ood_dihedral",
        "ood_test",
        "test_dih",
        "scans of the dihedral angles",
        "connectivity",
        "dihedral angles that dynamics at 300 K hardly visits",
    ),
)


def acac() -> tuple[Split, ...]:
    """Return the splits of acetylacetone.

    The dihedral scan and the proton transfer have energies only, and every score here
    begins with forces: they are downloaded, but no split. One molecule has no val half.

    Raises:
        DataError: It is not downloaded, or a file is damaged.
    """
    return _splits(
        _ACAC,
        lambda stem: files_of(f"acac/{stem}"),
        "UHF-PBE-D3/def2-SVP",
    )


def three_bpa() -> tuple[Split, ...]:
    """Return the splits of 3BPA; one molecule has no val half.

    Raises:
        DataError: It is not downloaded, or a file is damaged.
    """
    return _splits(_3BPA, lambda _: files_of("3bpa"), "wB97X/6-31G(d)")


def _splits(
    parts: Sequence[_Part],
    files: Callable[[str], tuple[Path, ...]],
    level_of_theory: str,
) -> tuple[Split, ...]:
    splits = []
    for part in parts:
        source = ExtxyzFile(
            _named(part.stem, files(part.stem)), level_of_theory=level_of_theory
        )
        splits.append(
            Split(
                name=part.name,
                role=part.role,
                source=source,
                rows=np.arange(source.index.n_structures),
                rule=f"{part.stem}.xyz: {part.rule}",
                shift=Shift(part.kind, part.shift) if part.kind else None,
                shares_molecules="" if part.role == "train" else _SHARED,
            )
        )
    return tuple(splits)


def _named(stem: str, files: Sequence[Path]) -> Path:
    found = [path for path in files if path.stem == stem]
    if len(found) != 1:
        names = ", ".join(sorted(path.name for path in files)) or "no file"
        msg = f"expected one file {stem}.xyz in the download, found: {names}; fetch it "
        raise DataError(msg + "again")
    return found[0]
