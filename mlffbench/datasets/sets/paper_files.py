"""The paper's own files: extended XYZ of its splits, as published on Hugging Face.

Kreiman & Krishnapriyan publish the SPICE 2 benchmark, the two sides of MD22 and what
their MD17 models were trained on. Files are told apart by the words of their names
(``md17_ood_sim/md17_aspirin_benzene_uracil_train.xyz``): the benchmark, then ``train``,
``val`` or, else, what is tested. What is in a file is checked against what the paper says
of it. Energies are in eV, forces in eV/Å.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch

from mlffbench.core.errors import DataError
from mlffbench.core.files import sha256_of
from mlffbench.core.split import Shift, Split
from mlffbench.datasets.download.local import data_folder, files_of, state_of
from mlffbench.datasets.index.index import Counter
from mlffbench.datasets.index.indexed import IndexedFile
from mlffbench.datasets.sets.md22 import CALM, HOT

KEY = "mlff-distribution-shifts"
"""The row of the table of downloads."""
Benchmark = Literal["md17", "md22", "spice"]
LEVELS: dict[Benchmark, str] = {
    "md17": "PBE+vdW-TS",
    "md22": "PBE+MBD",
    "spice": "wB97M-D3(BJ)/def2-TZVPPD",
}
TRAINED_FORMULAS = frozenset({"C9H8O4", "C6H6", "C4H4N2O2"})
"""Aspirin, benzene and uracil."""
_AGAIN = f"expected the file as published: mlffbench download {KEY}"


@dataclass(frozen=True, slots=True)
class Published:
    """The published files of one benchmark.

    Attributes:
        train: The file that is trained on.
        val: The file of its validation frames, if any.
        tests: The other files, by what their names say beside the benchmark.
    """

    train: Path
    val: Path | None
    tests: dict[str, Path]


def published_files(benchmark: Benchmark) -> Published | None:
    """Return the files of a benchmark; None where none of them was downloaded.

    Raises:
        DataError: Some are there and the training file is not, or two have one name.
    """
    if state_of(KEY) == "no":
        return None
    folder = data_folder() / KEY
    words = {path: _words(path, folder) for path in files_of(KEY)}
    mine = {p: w for p, w in words.items() if any(x.startswith(benchmark) for x in w)}
    if not mine:
        return None
    found: dict[str, Path] = {}
    for path, parts in mine.items():
        # the last word counts: a file's own name says more than the folder it lies in
        said = next((w for w in reversed(parts) if w in {"train", "val", "test"}), "test")
        name = _test_name(path) if said == "test" else said
        if name in found:
            msg = f"{found[name].name} and {path.name} in {folder} are both the "
            raise DataError(msg + f"{name!r} file of {benchmark}; remove one of them")
        found[name] = path
    if "train" not in found:
        there = ", ".join(sorted(path.name for path in mine))
        msg = (
            f"of the published files of {benchmark} the training file is missing (there "
        )
        msg += f"are: {there}); fetch it: mlffbench download {KEY} --file '*train*'"
        raise DataError(msg)
    train, val = found.pop("train"), found.pop("val", None)
    return Published(train, val, found)


def published_splits(
    benchmark: Benchmark, counter: Counter | None = None
) -> tuple[Split, ...] | None:
    """Return the splits of the published files; None where there are none.

    Args:
        benchmark: Which of the three.
        counter: Told how far indexing is.

    Raises:
        DataError: A file is missing, damaged, or not what the paper says it is.
    """
    files = published_files(benchmark)
    if files is None:
        return None
    _check_different(files)

    def opened(path: Path, *, tested: bool = False) -> IndexedFile:
        level = LEVELS[benchmark]
        source = IndexedFile(path, counter=counter, level_of_theory=level)
        _CHECKS[benchmark](source, tested=tested)
        return source

    splits = [_split("train", "train", opened(files.train))]
    control = ""
    if files.val is not None:
        control = "id_val"
        splits.append(_split(control, "id_test", opened(files.val)))
    for key, path in sorted(files.tests.items()):
        # the report looks for the whole of the tested molecules under this name
        name = "all" if benchmark == "spice" and len(files.tests) == 1 else key
        source, shift = opened(path, tested=True), _SHIFTS[benchmark]
        split = _split(f"ood_{name}", "ood_test", source, shift=shift, control=control)
        splits.append(split)
    return tuple(splits)


def _check_different(files: Published) -> None:
    """Refuse one file under two names: what is tested would be what was trained on."""
    known: dict[tuple[int, str], Path] = {}
    paths = [path for path in (files.train, files.val, *files.tests.values()) if path]
    sizes = [path.stat().st_size for path in paths]
    for path, size in zip(paths, sizes, strict=True):
        if sizes.count(size) == 1:  # only files of one size can be the same
            continue
        first = known.setdefault((size, sha256_of(path)), path)
        if first != path:
            msg = f"{first.name} and {path.name} in {path.parent} are the same file; "
            raise DataError(msg + _AGAIN)


def _words(path: Path, folder: Path) -> list[str]:
    """Return the words of a file's name and of the folders it lies in."""
    inside = path.relative_to(folder) if path.is_relative_to(folder) else path
    return re.split(r"[^a-z0-9]+", str(inside.with_suffix("")).lower())


def _test_name(path: Path) -> str:
    name = re.sub(r"[^a-z0-9]+", "_", path.stem.lower()).strip("_")
    return re.sub(r"^(md17|md22|spicev?2?)_?|_?test$", "", name) or "test"


def _split(
    name: str,
    role: Literal["train", "id_test", "ood_test"],
    source: IndexedFile,
    *,
    shift: Shift | None = None,
    control: str = "",
) -> Split:
    rows = np.flatnonzero(source.table.usable).astype(np.int64)
    if not len(rows):
        raise _other(source, "has no frame with finite labels")
    same = shift is None or shift.kind == "force_norm"
    return Split(
        name=name,
        role=role,
        source=source,
        rows=rows,
        rule=f"{source.path.name}, as published",
        shift=shift,
        shares_molecules="frames of the trained molecules"
        if same and role != "train"
        else "",
        control=control,
    )


def _other(source: IndexedFile, what: str) -> DataError:
    """Return the error of a file that is not what the paper says."""
    return DataError(f"{source.path} {what}; {_AGAIN}")


def _check_md17(source: IndexedFile, *, tested: bool) -> None:
    """Refuse what is not of the three trained molecules, each in one order of atoms."""
    wrong = sorted({_formula(group) for group in source.index.groups} - TRAINED_FORMULAS)
    if not tested and wrong:
        trained = "aspirin, benzene and uracil"
        raise _other(source, f"holds {wrong[0]}, and the paper trains on {trained} only")
    orders: dict[str, list[int]] = {}
    structures = source.structures(np.arange(source.index.n_structures))
    parts = torch.split(structures.numbers, structures.sizes.tolist())
    for row, (group, numbers) in enumerate(zip(structures.group, parts, strict=True)):
        name = _formula(group)
        if orders.setdefault(name, numbers.tolist()) != numbers.tolist():
            words = f"has frame {row} of {name} with its atoms in another order than the "
            raise _other(source, words + "frames before")


def _formula(group: str) -> str:
    """Return the formula of a group; frames in another order are told apart by a #."""
    return group.partition("#")[0]


def _check_md22(source: IndexedFile, *, tested: bool) -> None:
    """Refuse calm frames among what is tested, and hot ones in training."""
    norms = source.table.mean_force[source.table.usable]
    wrong = int((norms <= HOT).sum() if tested else (norms >= CALM).sum())
    if wrong:
        side = f"above {HOT}" if tested else f"below {CALM}"
        words = f"has {wrong} of {len(norms)} frames that are not {side} eV/Å in mean "
        raise _other(source, words + "atomic |F|, where the paper cuts MD22")


def _check_spice(source: IndexedFile, *, tested: bool) -> None:
    """Refuse ions in training, which the paper leaves out."""
    index = source.index
    charged = [g for g, q in zip(index.groups, index.charge, strict=True) if q]
    if not tested and charged:
        words = f"holds the ion {charged[0]}, and the paper trains on neutral molecules"
        raise _other(source, words)


class _Check(Protocol):
    """Raises DataError where a file is not what the paper says."""

    def __call__(self, source: IndexedFile, *, tested: bool) -> None:
        """Look at a file that is tested, or trained on."""


_CHECKS: dict[Benchmark, _Check] = {
    "md17": _check_md17,
    "md22": _check_md22,
    "spice": _check_spice,
}
_SHIFTS: dict[Benchmark, Shift] = {
    "md17": Shift("connectivity", "molecules that are not in train"),
    "md22": Shift("force_norm", f"mean atomic |F| > {HOT} eV/Å; train has < {CALM} eV/Å"),
    "spice": Shift("connectivity", "molecules that train does not have, of any kind"),
}
