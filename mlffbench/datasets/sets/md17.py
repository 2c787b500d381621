"""``md17-extreme``: trained on three small molecules, tested on aromatic others."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mlffbench.core.roles import Role
from mlffbench.core.split import Rows, Shift, Split
from mlffbench.datasets.download.local import files_of
from mlffbench.datasets.files.npz import NpzFile
from mlffbench.datasets.index.joined import JoinedSource
from mlffbench.datasets.index.sampling import evenly

LEVEL_OF_THEORY = "PBE+vdW-TS"
TRAINED = ("aspirin", "benzene", "uracil")
TESTED = ("toluene", "naphthalene")
TUNED = ("salicylic-acid",)
N_TEST = 1_000
"""Frames of each molecule in a test or val split."""
_TRAINED_SHARE, _TESTED_SHARE = 0.8, 0.1
_FRAMES = f"{N_TEST:,} frames of each at equal distances"


def source_of(molecules: Sequence[str]) -> JoinedSource:
    """Return the trajectories of some molecules as one source.

    Raises:
        DataError: One is not downloaded; the message says what to type.
    """
    units: dict[str, Any] = {"energy_unit": "kcal/mol", "length_unit": "angstrom"}
    return JoinedSource(
        [
            NpzFile(path, level_of_theory=LEVEL_OF_THEORY, **units)
            for molecule in molecules
            for path in files_of(f"md17/{molecule}")
        ]
    )


def extreme() -> tuple[Split, ...]:
    """Return the splits of ``md17-extreme``.

    Frames are in the order of the trajectories, so that train and control are apart in
    time: train is the first 80 %, the control comes from the last 10 %.

    Raises:
        DataError: A molecule is not downloaded, or its file is damaged.
    """
    trained = source_of(TRAINED)
    tested, tuned = source_of(TESTED), source_of(TUNED)
    head = [rows[: int(_TRAINED_SHARE * len(rows))] for rows in _trajectories(trained)]
    tail = [
        evenly(rows[len(rows) - max(1, int(_TESTED_SHARE * len(rows))) :], N_TEST)
        for rows in _trajectories(trained)
    ]
    shift = Shift("connectivity", "aromatic molecules that are not in train")
    control: list[tuple[Role, list[int]]] = [("id_val", [1]), ("id_test", [0, 2])]
    return (
        Split(
            name="train",
            role="train",
            source=trained,
            rows=np.concatenate(head),
            rule=f"{', '.join(TRAINED)}: the first 80 % of each trajectory",
        ),
        *(
            Split(
                name="id_frames",
                role=role,
                source=trained,
                rows=np.concatenate([tail[i] for i in chosen]),
                rule=f"{' and '.join(TRAINED[i] for i in chosen)}: from the last 10 % of "
                f"each trajectory, {_FRAMES}",
                shares_molecules="later frames of the trained molecules",
            )
            for role, chosen in control
        ),
        _unseen("ood_val", TUNED, tuned, shift),
        _unseen("ood_test", TESTED, tested, shift),
    )


def _unseen(
    role: Role, molecules: Sequence[str], source: JoinedSource, shift: Shift
) -> Split:
    rows = [evenly(rows, N_TEST) for rows in _trajectories(source)]
    return Split(
        name="ood_molecules",
        role=role,
        source=source,
        rows=np.concatenate(rows),
        rule=f"{' and '.join(molecules)}: {_FRAMES}",
        shift=shift,
        control="id_frames",
    )


def _trajectories(source: JoinedSource) -> list[Rows]:
    return [source.rows_of(number) for number in range(source.n_sources)]
