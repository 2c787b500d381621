"""Subjects: the molecules a simulation moves, their starts and their conformers."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch

from mlffbench.core.errors import SuiteError
from mlffbench.core.model_options import ModelOptions
from mlffbench.core.roles import Named
from mlffbench.core.split import Split
from mlffbench.core.structures import Structures
from mlffbench.dynamics.stability import Bonds, find_bonds
from mlffbench.dynamics.starts import relax
from mlffbench.models.load import load_model
from mlffbench.run.suite import Suite

MOST_CONFORMERS = 32
"""Conformers of a molecule that a refinement sees at most, spread over all."""
MOST_FRAMES = 2000
"""Frames of a reference trajectory that are compared with at most, spread over all."""


OneSplit = TypeVar("OneSplit", bound=Named)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Subject:
    """One molecule of one split.

    Attributes:
        split: Name of the split.
        role: Its role; of several halves, the test half's.
        shift: Kind of its shift, None in distribution.
        molecule: Its key.
        start: Where its trajectories begin, a batch of one, float64.
        conformers: What a refinement sees beside the start.
        frames: A reference trajectory, shape (n_frames, n_atoms, 3), in Å; None without.
        bonds: Of the start, with reference lengths.
        failure: Why it cannot be simulated, empty when it can.
    """

    split: str
    role: str
    shift: str | None
    molecule: str
    start: Structures
    conformers: Structures
    frames: torch.Tensor | None
    bonds: Bonds
    failure: str = ""

    @property
    def name(self) -> str:
        """Name of the start: split and molecule."""
        return self.start.ids[0]


def chosen_splits(suite: Suite, splits: Sequence[OneSplit]) -> dict[str, list[OneSplit]]:
    """Return the splits a suite wants simulated, by name, test half first.

    Args:
        suite: Its ``dynamics`` says which.
        splits: All its splits, or what is known of them before they are opened.

    Raises:
        SuiteError: A name is that of no split, or nothing is left.
    """
    spec = suite.dynamics
    possible = [split for split in splits if split.role != "train"]
    names = spec.splits or tuple(
        dict.fromkeys(s.name for s in possible if s.role == "ood_test")
    )
    found: dict[str, list[OneSplit]] = {}
    for name in names:
        halves = [split for split in possible if split.name == name]
        if not halves:
            known = ", ".join(dict.fromkeys(split.name for split in possible))
            msg = f"the suite {suite.name!r} has no split {name!r} to simulate; it has: "
            raise SuiteError(msg + known)
        if spec.halves == "test":
            halves = [split for split in halves if split.role.endswith("test")]
        found[name] = sorted(halves, key=lambda split: split.role.endswith("val"))
    if not any(found.values()):
        msg = f"the suite {suite.name!r} has no molecule to simulate in its test half; "
        raise SuiteError(msg + "name splits under 'dynamics', or set halves: both")
    return found


def find_subjects(
    suite: Suite,
    splits: Sequence[Split],
    *,
    limit: int | None,
    progress: Callable[[int], None] | None = None,
) -> list[Subject]:
    """Return the molecules to simulate with relaxed starts.

    Args:
        suite: Its ``dynamics`` says which and how.
        splits: All splits of the suite.
        limit: Molecules per split at most.
        progress: Told of every start.

    Raises:
        BenchError: A split is unknown or unreadable, or the prior cannot be loaded.
    """
    subjects = [
        subject
        for name, halves in chosen_splits(suite, splits).items()
        for subject in _of_split(suite, name, halves, limit)
    ]
    starts = Structures.concatenate([subject.start for subject in subjects])
    failures: dict[int, str] = {}
    if suite.dynamics.relax != "none":
        prior = load_model(suite.dynamics.relax, ModelOptions())
        done = relax(starts, prior, advance=progress)
        starts, failures = done.structures, done.failures
    return [
        _with_start(subject, starts.select([index]), failures.get(index, ""))
        for index, subject in enumerate(subjects)
    ]


def starts_sha256(subjects: Sequence[Subject]) -> str:
    """Return the checksum of the starts, which identifies what is simulated."""
    digest = hashlib.sha256()
    for subject in subjects:
        digest.update(subject.name.encode())
        digest.update(np.ascontiguousarray(subject.start.positions.numpy()).tobytes())
    return digest.hexdigest()


def _of_split(
    suite: Suite, name: str, halves: Sequence[Split], limit: int | None
) -> list[Subject]:
    found: list[Subject] = []
    for split in halves:
        for molecule in dict.fromkeys(split.groups):
            if limit is not None and len(found) >= limit:
                return found
            rows = [
                row
                for row, group in zip(split.rows, split.groups, strict=True)
                if group == molecule
            ]
            found.append(_read(suite, name, split, molecule, np.asarray(rows)))
    return found


def _read(
    suite: Suite, name: str, split: Split, molecule: str, rows: np.ndarray
) -> Subject:
    conformers = split.source.structures(rows[_spread(len(rows), MOST_CONFORMERS)])
    first = conformers.select([0])
    start = replace(first, ids=(f"{name}/{molecule}",))
    same = [
        index
        for index in range(conformers.n_systems)
        if torch.equal(conformers.select([index]).numbers, first.numbers)
    ]
    alike = conformers.select(same).positions.reshape(len(same), -1, 3)
    frames = None
    if suite.dynamics.reference is True:
        every = split.source.structures(rows[_spread(len(rows), MOST_FRAMES)])
        frames = every.positions.reshape(every.n_systems, -1, 3).double()
    (bonds,) = find_bonds(start)
    return Subject(
        split=name,
        role=split.role,
        shift=split.shift.kind if split.shift else None,
        molecule=molecule,
        start=start,
        conformers=conformers,
        frames=frames,
        bonds=bonds if bool(first.pbc.any()) else bonds.with_reference(alike),
    )


def _with_start(subject: Subject, start: Structures, failure: str) -> Subject:
    """Return the subject with its relaxed start, whose bonds are those of frame 0."""
    (bonds,) = find_bonds(start)
    known = subject.bonds
    if bonds.pairs.tolist() == known.pairs.tolist():
        bonds = replace(bonds, reference=known.reference)
    return replace(subject, start=start, bonds=bonds, failure=failure)


def _spread(n: int, most: int) -> np.ndarray:
    """Return at most so many places, spread evenly over n."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(np.int64))
