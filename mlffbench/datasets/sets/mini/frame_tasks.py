"""Tasks of the mini OOD set: which molecules are made, and how their frames are drawn.

Every molecule has a seed of its own, made of its name: nothing depends on which were made
before it, in which order, or by which worker.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import quote

import h5py

from mlffbench.core.errors import DataError, UnknownNameError
from mlffbench.datasets.sets.mini.subsets import (
    ADDED,
    DIMERS,
    FORCE_NORM,
    MOLECULES,
    TRAIN,
    group_name,
)

PRIOR_ONLY: Final = f"{TRAIN}, prior only"
"""Subset of the frames of `TRAIN` that get no DFT label."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """How the frames of one molecule are drawn.

    Attributes:
        n_starts: Starting conformers, or orientations of a dimer.
        n_frames: Dynamics frames in all; ⌈n_frames / n_starts⌉ of each start, in order,
            until there are enough.
        n_labelled: The first so many frames get DFT labels; the rest, the prior only.
        temperature_kelvin: Of the Langevin thermostat.
        time_step_fs: Time step.
        friction_per_fs: Langevin friction.
        equilibration_steps: Steps before the frames.
        interval_steps: Steps before each frame.
        force_tolerance: Of the optimisation that precedes the dynamics, in eV/Å.
        optimisation_steps: At most so many.
    """

    n_starts: int = 3
    n_frames: int
    n_labelled: int
    temperature_kelvin: float = 500.0
    time_step_fs: float = 1.0
    friction_per_fs: float = 0.01
    equilibration_steps: int = 200
    interval_steps: int = 100
    force_tolerance: float = 0.05
    optimisation_steps: int = 60


PROTOCOLS: Final[Mapping[str, Protocol]] = MappingProxyType(
    {
        TRAIN: Protocol(n_frames=10, n_labelled=5),
        "mini id molecules": Protocol(n_frames=6, n_labelled=6),
        "mini elements": Protocol(n_frames=5, n_labelled=5),
        "mini connectivity": Protocol(n_frames=5, n_labelled=5),
        DIMERS: Protocol(
            n_starts=2,
            n_frames=4,
            n_labelled=6,  # with the pulled-apart frame of each orientation
            temperature_kelvin=300.0,
            force_tolerance=0.1,
            optimisation_steps=40,
        ),
        "mini extreme": Protocol(n_frames=10, n_labelled=10),
        FORCE_NORM: Protocol(
            n_starts=2,
            n_frames=4,
            n_labelled=4,
            temperature_kelvin=3000.0,
            time_step_fs=0.5,
            equilibration_steps=0,
            interval_steps=60,
        ),
    }
)
"""The protocol of every subset of version 1."""

N_ADDED_FRAMES: Final = 3
"""Dynamics frames of a molecule that version 2 added; of a dimer, `N_ADDED_DIMER_FRAMES`
and one pulled-apart frame of each."""
N_ADDED_DIMER_FRAMES: Final = 2


def seed_of(name: str, seed: int) -> int:
    """Return the molecule's own seed: 8 bytes of the sha256 of its name and ``seed``.

    Args:
        name: Name of the HDF5 group, so that hot geometries get a seed of their own.
        seed: The seed of the whole set.

    Example:
        >>> seed_of("CCO", 0) == seed_of("CCO", 0) != seed_of("CCO", 1)
        True
    """
    digest = hashlib.sha256(f"{name}\n{seed}".encode()).digest()
    return int.from_bytes(digest[:8], "big")


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One molecule to make.

    Attributes:
        subset: As stored in the file.
        name: Name of the HDF5 group.
        smiles: One SMILES, or two joined by a dot.
        protocol: How its frames are drawn.
        seed: The molecule's own seed.
    """

    subset: str
    name: str
    smiles: str
    protocol: Protocol
    seed: int

    def fingerprint(self) -> str:
        """Return what a finished part must have been made from to be kept."""
        packages = ("ase", "pyscf", "rdkit", "tblite")
        installed = [f"{p} {version(p)}" for p in packages if find_spec(p)]
        return f"{self!r}, {', '.join(installed)}"

    def part(self, folder: Path) -> Path:
        """Return the path of its part file."""
        return folder / f"{quote(self.name, safe='')}.hdf5"

    def is_finished(self, folder: Path) -> bool:
        """Return whether its part file is there and was made from the same task."""
        path = self.part(folder)
        if not path.is_file():
            return False
        try:
            with h5py.File(path) as part:
                return bool(part.attrs.get("task") == self.fingerprint())
        except OSError:  # not HDF5: made again
            return False


def plan(subsets: Sequence[str], limit: int | None, seed: int) -> list[Task]:
    """Return the molecules to make with both labels.

    Args:
        subsets: Keys of `MOLECULES` or of `ADDED`; none means all.
        limit: At most so many molecules of each subset.
        seed: The seed of the whole set.

    Raises:
        UnknownNameError: A subset that does not exist.

    Example:
        >>> [task.name for task in plan(["mini force norm"], 1, seed=0)]
        ['C#N|force-norm']
    """
    known = tuple(dict.fromkeys([*MOLECULES, *ADDED]))
    for subset in subsets:
        if subset not in known:
            raise UnknownNameError("subset", subset, known)
    tasks = []
    for subset in [name for name in known if name in (subsets or known)]:
        first = [(smiles, PROTOCOLS[subset]) for smiles in MOLECULES.get(subset, ())]
        later = [(smiles, added_protocol(subset)) for smiles in ADDED.get(subset, ())]
        for smiles, protocol in [*first, *later][:limit]:
            name = group_name(subset, smiles)
            tasks.append(
                Task(
                    subset=subset,
                    name=name,
                    smiles=smiles,
                    protocol=protocol,
                    seed=seed_of(name, seed),
                )
            )
    return tasks


def added_protocol(subset: str) -> Protocol:
    """Return how the frames of a molecule of `ADDED` are drawn: one of each start.

    Args:
        subset: A key of `ADDED`.
    """
    like = PROTOCOLS.get(subset, PROTOCOLS["mini elements"])
    if subset == DIMERS:
        n_frames = N_ADDED_DIMER_FRAMES
        return replace(like, n_frames=n_frames, n_labelled=n_frames + like.n_starts)
    return replace(
        like, n_starts=N_ADDED_FRAMES, n_frames=N_ADDED_FRAMES, n_labelled=N_ADDED_FRAMES
    )


def plan_prior_only(subsets: Sequence[str], limit: int | None, seed: int) -> list[Task]:
    """Return the trained molecules, to make with prior labels of their further frames.

    Args:
        subsets: ``["mini train"]`` or none: the others have no further frames.
        limit: At most so many molecules.
        seed: The seed of the whole set.

    Raises:
        DataError: Another subset.
    """
    for subset in subsets:
        if subset != TRAIN:
            msg = f"{subset!r} has no frames with the prior only; only {TRAIN!r} has"
            raise DataError(msg)
    return [replace(task, subset=PRIOR_ONLY) for task in plan([TRAIN], limit, seed)]
