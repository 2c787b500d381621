"""``md22-force-norm``: trained on calm frames of large molecules, tested on hot ones."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mlffbench.core.errors import DataError
from mlffbench.core.roles import Role
from mlffbench.core.split import Rows, Shift, Split
from mlffbench.datasets.download.local import data_folder, files_of
from mlffbench.datasets.index.index import Counter
from mlffbench.datasets.index.indexed import IndexedFile
from mlffbench.datasets.index.joined import JoinedSource
from mlffbench.datasets.index.sampling import evenly
from mlffbench.datasets.index.splitfiles import Cut, kept_splits

LEVEL_OF_THEORY = "PBE+MBD"
TESTED = ("stachyose", "dha")
TUNED = ("ac-ala3-nhme",)
CALM, HOT = 1.7, 1.8
"""eV/Å: mean atomic |F| of a calm frame is at most the first, of a hot one at least the
second."""
N_TEST = 1_000
"""Frames of each molecule in a test or val split."""
RULES = 1
_TRAINED_SHARE = 0.9


def force_norm(counter: Counter | None = None) -> tuple[Split, ...]:
    """Return the splits of ``md22-force-norm``.

    Args:
        counter: Told how far indexing is.

    Raises:
        DataError: A molecule is not downloaded, or its file is damaged.
    """
    files = [trajectory_of(molecule, counter) for molecule in (*TESTED, *TUNED)]
    source = JoinedSource(files)

    def carve() -> list[Cut]:
        norms = np.concatenate([file.table.mean_force for file in files])
        usable = np.concatenate([file.table.usable for file in files])
        parts = [source.rows_of(number) for number in range(source.n_sources)]
        calm = [part[usable[part] & (norms[part] <= CALM)] for part in parts]
        hot = [part[usable[part] & (norms[part] >= HOT)] for part in parts]
        return [Cut("md22", split) for split in _splits(source, calm, hot)]

    made_from = {"rules": RULES, "sources": [file.made_from for file in files]}
    folder = data_folder() / "splits" / "md22-force-norm"
    return kept_splits(folder, {"md22": source}, made_from, carve)


def trajectory_of(molecule: str, counter: Counter | None) -> IndexedFile:
    """Return the trajectory of a molecule, indexed.

    Raises:
        DataError: It is not downloaded, or damaged.
    """
    (path,) = files_of(f"md22/{molecule}")
    return IndexedFile(
        path,
        counter=counter,
        level_of_theory=LEVEL_OF_THEORY,
        energy_unit="kcal/mol",
        length_unit="angstrom",
    )


def _splits(
    source: JoinedSource, calm: Sequence[Rows], hot: Sequence[Rows]
) -> list[Split]:
    heads = [rows[: int(_TRAINED_SHARE * len(rows))] for rows in calm]
    tails = [
        evenly(rows[len(head) :], N_TEST) for rows, head in zip(calm, heads, strict=True)
    ]
    for what, parts in (("calm", tails), ("hot", hot)):
        if not all(len(rows) for rows in parts):
            msg = f"an MD22 file has no {what} frame (mean atomic |F| ≤ {CALM}, ≥ {HOT} "
            raise DataError(msg + "eV/Å); expected the whole trajectory: download it")
    n_tested = len(TESTED)
    hot = [evenly(rows, N_TEST) for rows in hot]
    shift = Shift("force_norm", f"mean atomic |F| ≥ {HOT} eV/Å; train has ≤ {CALM} eV/Å")
    words = {True: " and ".join(TESTED), False: " and ".join(TUNED)}
    halves: list[tuple[Role, Role, slice, bool]] = [
        ("id_val", "ood_val", slice(n_tested, None), False),
        ("id_test", "ood_test", slice(None, n_tested), True),
    ]
    frames = f"{N_TEST:,} frames of each at equal distances"
    splits = [
        Split(
            name="train",
            role="train",
            source=source,
            rows=_join(heads),
            rule=f"{', '.join((*TESTED, *TUNED))}: frames with mean atomic |F| ≤ {CALM} "
            "eV/Å, the first 90 % of them in time",
        )
    ]
    for id_role, ood_role, chosen, tested in halves:
        splits += [
            Split(
                name="id_calm",
                role=id_role,
                source=source,
                rows=_join(tails[chosen]),
                rule=f"{words[tested]}: the last 10 % of the calm frames, {frames}",
                shares_molecules="later frames of the trained molecules",
            ),
            Split(
                name="ood_force_norm",
                role=ood_role,
                source=source,
                rows=_join(hot[chosen]),
                rule=f"{words[tested]}: frames with mean atomic |F| ≥ {HOT} eV/Å, "
                f"{frames}",
                shift=shift,
                shares_molecules="hotter frames of the trained molecules",
                control="id_calm",
            ),
        ]
    return splits


def _join(parts: Sequence[Rows]) -> NDArray[np.int64]:
    return np.concatenate(parts)
