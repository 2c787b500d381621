"""``paper-md17`` and ``paper-md22``: the paper's own splits of trajectories.

Kreiman & Krishnapriyan, arXiv 2503.08674, by their preparation scripts: each MD17
trajectory is permuted by NumPy's legacy generator with seed 123, as scikit-learn does.
The first 10,000 are test, the next 10,000 are permuted again into 500 for validation and
9,500 for training. At most the first 1,000 of a test set are evaluated.
"""

from typing import NamedTuple

import numpy as np

from mlffbench.core.errors import DataError
from mlffbench.core.split import Rows, Shift, Split
from mlffbench.datasets.download.local import data_folder
from mlffbench.datasets.index.index import Counter
from mlffbench.datasets.index.indexed import IndexedFile
from mlffbench.datasets.index.joined import JoinedSource
from mlffbench.datasets.index.sampling import evenly
from mlffbench.datasets.index.splitfiles import Cut, kept_splits
from mlffbench.datasets.sets.md17 import TESTED, TRAINED, source_of
from mlffbench.datasets.sets.md22 import CALM, HOT, trajectory_of
from mlffbench.datasets.sets.paper_files import published_splits

N_TRAIN, N_VAL, N_TEST = 9_500, 500, 10_000
"""Frames of each molecule."""
N_EVALUATED = 1_000
"""Frames of each test set that are evaluated."""
SEED = 123
MD22_MOLECULE = "stachyose"
RULES = 1
_CALM_SHARE = 0.9


class PublishedRows(NamedTuple):
    """Frames of one trajectory, ascending but for the test frames in their order."""

    train: Rows
    val: Rows
    test: Rows


def published_rows(n_frames: int) -> PublishedRows:
    """Return which frames of a trajectory are trained on and tested, as published.

    Args:
        n_frames: Of the whole trajectory.

    Raises:
        DataError: There are too few.
    """
    least = N_TRAIN + N_VAL + N_TEST
    if n_frames < least:
        msg = (
            f"a trajectory of {n_frames:,} frames is too short for the published split, "
        )
        raise DataError(msg + f"expected at least {least:,}: download the whole file")
    order = np.random.RandomState(SEED).permutation(n_frames)
    rest = order[N_TEST : N_TEST + N_TRAIN + N_VAL]
    again = np.random.RandomState(SEED).permutation(len(rest))
    val, train = again[:N_VAL], again[N_VAL : N_VAL + N_TRAIN]
    return PublishedRows(
        np.sort(rest[train]).astype(np.int64),
        np.sort(rest[val]).astype(np.int64),
        order[:N_TEST].astype(np.int64),
    )


def md17() -> tuple[Split, ...]:
    """Return the splits of ``paper-md17``.

    The published training file is taken where it is downloaded, with what is published
    beside it; where no test frames are, those of the MD17 trajectories.

    Raises:
        DataError: A molecule is not downloaded, its file holds too few frames, or a
            published file is not what the paper says.
    """
    published = published_splits("md17")
    if published is not None and any(s.role == "ood_test" for s in published):
        return published
    if published is not None:
        control = "id_val" if len(published) > 1 else ""
        return (*published, *_tested(source_of(TESTED), control))
    trained = source_of(TRAINED)
    parts = [_rows_of(trained, number) for number in range(len(TRAINED))]
    words = ", ".join(TRAINED)
    rule = f"{words}: as published, seed {SEED}"
    shares = "other frames of the trained molecules"
    first = f"the first {N_EVALUATED:,} of the published test frames"
    return (
        Split(
            name="train",
            role="train",
            source=trained,
            rows=np.concatenate([part.train for part in parts]),
            rule=f"{rule}, {N_TRAIN:,} frames of each",
        ),
        Split(
            name="id_frames",
            role="id_test",
            source=trained,
            rows=np.concatenate([np.sort(part.test[:N_EVALUATED]) for part in parts]),
            rule=f"{words}: {first}, seed {SEED}",
            shares_molecules=shares,
        ),
        *_tested(source_of(TESTED), "id_frames"),
    )


def _tested(source: JoinedSource, control: str) -> tuple[Split, ...]:
    """Return a split for each molecule that is not trained on."""
    first = f"the first {N_EVALUATED:,} of the published test frames"
    return tuple(
        Split(
            name=f"ood_{molecule}",
            role="ood_test",
            source=source,
            rows=np.sort(_rows_of(source, number).test[:N_EVALUATED]),
            rule=f"{molecule}: {first}, seed {SEED}",
            shift=Shift("connectivity", "an aromatic molecule that is not in train"),
            control=control,
        )
        for number, molecule in enumerate(TESTED)
    )


def md22(counter: Counter | None = None) -> tuple[Split, ...]:
    """Return the splits of ``paper-md22``.

    Args:
        counter: Told how far indexing is.

    The published files are taken where they are downloaded.

    Raises:
        DataError: Stachyose is not downloaded, or has no frame on one side of the cut, or
            a published file is not what the paper says.
    """
    published = published_splits("md22", counter)
    if published is not None:
        return published
    source = trajectory_of(MD22_MOLECULE, counter)

    def carve() -> list[Cut]:
        norms, usable = source.table.mean_force, source.table.usable
        calm = np.flatnonzero(usable & (norms < CALM)).astype(np.int64)
        hot = np.flatnonzero(usable & (norms > HOT)).astype(np.int64)
        return [Cut("md22", split) for split in _md22_splits(source, calm, hot)]

    folder = data_folder() / "splits" / "paper-md22"
    made_from = {"rules": RULES, "sources": [source.made_from]}
    return kept_splits(folder, {"md22": source}, made_from, carve)


def _rows_of(source: JoinedSource, number: int) -> PublishedRows:
    """Return the published frames of one molecule by row of the joined source."""
    rows = source.rows_of(number)
    return PublishedRows(*(rows[part] for part in published_rows(len(rows))))


def _md22_splits(source: IndexedFile, calm: Rows, hot: Rows) -> list[Split]:
    n_train = int(_CALM_SHARE * len(calm))
    if not n_train or not len(calm) > n_train or not len(hot):
        msg = f"{source.path} has {len(calm)} frames below and {len(hot)} above the cut "
        msg += f"(mean atomic |F| < {CALM}, > {HOT} eV/Å); expected some on both sides: "
        raise DataError(msg + "download the whole trajectory")
    below = f"{MD22_MOLECULE}: frames with mean atomic |F| < {CALM} eV/Å"
    return [
        Split(
            name="train",
            role="train",
            source=source,
            rows=calm[:n_train],
            rule=f"{below}, the first 90 % of them in time",
        ),
        Split(
            name="id_calm",
            role="id_test",
            source=source,
            rows=evenly(calm[n_train:], N_EVALUATED),
            rule=f"{below}, {N_EVALUATED:,} of the last 10 % at equal distances",
            shares_molecules="later frames of the trained molecule",
        ),
        Split(
            name="ood_force_norm",
            role="ood_test",
            source=source,
            rows=evenly(hot, N_EVALUATED),
            rule=f"{MD22_MOLECULE}: {N_EVALUATED:,} frames with mean atomic |F| > {HOT} "
            "eV/Å at equal distances",
            shift=Shift(
                "force_norm", f"mean atomic |F| > {HOT} eV/Å; train has < {CALM} eV/Å"
            ),
            shares_molecules="hotter frames of the trained molecule",
            control="id_calm",
        ),
    ]
