"""Starts: where trajectories begin, relaxed by a cheap force field and kept on disk."""

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase.calculators.calculator import CalculationFailed

from mlffbench.core.assembly import singles
from mlffbench.core.files import make_folder, write_atomic
from mlffbench.core.forcefield import ForceField
from mlffbench.core.structures import Structures
from mlffbench.dynamics.ase_engine import to_atoms
from mlffbench.dynamics.evaluation import Evaluation
from mlffbench.models.physics.sanity import collapsed
from mlffbench.priors.prior_labels import cache_folder, key_of, version_of

FORCE_TOLERANCE = 0.02
"""eV/Å below which every force must fall."""
MOST_STEPS = 500


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Starts:
    """Relaxed structures.

    Attributes:
        structures: With relaxed positions; as given where that failed.
        failures: Index -> why a structure could not be relaxed.
    """

    structures: Structures
    failures: dict[int, str]


def relax(
    structures: Structures,
    force_field: ForceField,
    *,
    folder: Path | None = None,
    advance: Callable[[int], None] | None = None,
) -> Starts:
    """Return structures relaxed by BFGS until every force is below `FORCE_TOLERANCE`.

    Each result is kept on disk, so it is computed once; cells stay as they are.

    Args:
        structures: Any batch, float64 on the CPU.
        force_field: What they are relaxed with.
        folder: Of the results; by default beside the prior labels.
        advance: Told of every structure.

    Raises:
        StoreError: A result cannot be written.
    """
    folder = folder or cache_folder().parent / "starts"
    evaluate = Evaluation(
        model=force_field, device=torch.device("cpu"), dtype=torch.float64
    )
    failures = collapsed(structures)
    pieces = list(torch.split(structures.positions, structures.sizes.tolist()))
    version = f"{force_field.name} {version_of(force_field)} {FORCE_TOLERANCE}"
    for index, single in enumerate(singles(structures)):
        if index not in failures:
            key = sha256(key_of(single) + version.encode()).hexdigest()
            found = _relaxed(structures.select([index]), evaluate, folder / f"{key}.npy")
            if isinstance(found, str):
                failures[index] = f"cannot be relaxed with {force_field.name}: {found}"
            else:
                pieces[index] = found
        if advance is not None:
            advance(1)
    return Starts(
        structures=replace(structures, positions=torch.cat(pieces)), failures=failures
    )


def _relaxed(
    structure: Structures, evaluate: Evaluation, path: Path
) -> torch.Tensor | str:
    """Return relaxed positions, or why there are none."""
    known = _stored(path)
    if known is not None and known.shape == tuple(structure.positions.shape):
        return torch.from_numpy(known)
    from ase.optimize import BFGS  # half a second of every command otherwise

    atoms = to_atoms(structure, evaluate)
    try:
        search: Any = BFGS(atoms, logfile=None)
        done = search.run(fmax=FORCE_TOLERANCE, steps=MOST_STEPS)
    except CalculationFailed as error:
        return str(error)
    if not done:
        return f"forces above {FORCE_TOLERANCE} eV/Å after {MOST_STEPS} steps"
    buffer = io.BytesIO()
    np.save(buffer, atoms.positions, allow_pickle=False)
    make_folder(path.parent)
    write_atomic(path, buffer.getvalue())
    return torch.tensor(atoms.positions)


def _stored(path: Path) -> np.ndarray | None:
    try:
        positions: np.ndarray = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return positions
