"""Distances of a simulation against those of another model under the same protocol.

Where a suite has no trajectory of its reference, a model close to it stands in: the
suite's ``dynamics: {reference: NAME}`` says which. Its simulation has to lie beside the
others, with the same starts and protocol.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlffbench.core.errors import StoreError
from mlffbench.dynamics.observables import distribution_error
from mlffbench.run.folder import RunFolder, read_arrays, slug

THERMO = "thermo.npz"
DENSITIES = "distance_density"
"""Array of ``thermo.npz``: h(r) of every trajectory that was simulated."""
_OWN = frozenset({"model", "mode", "settings", "dtype", "batch_atoms", "frames", "form"})
"""What may differ between two simulations under the same protocol."""

Densities = NDArray[np.float64]


class Against(NamedTuple):
    """What a simulation's distances are compared with.

    Attributes:
        errors: Of every trajectory, NaN where there is none; None where the suite has
            its own reference or none.
        note: What a reader must know.
    """

    errors: NDArray[np.float64] | None
    note: str


def distance_errors(
    folder: RunFolder, manifest: Mapping[str, Any], table: pd.DataFrame
) -> Against:
    """Return how far each trajectory's h(r) is from that of the reference model.

    A trajectory of the reference model itself is compared with its other replicas: that
    is the noise of so short a simulation.

    Args:
        folder: A finished simulation.
        manifest: Its manifest.
        table: Its trajectories.

    Raises:
        StoreError: ``thermo.npz`` of either is broken.
    """
    name = manifest["suite"]["dynamics"]["reference"]
    other = reference_beside(folder, manifest)
    if other is None:
        return Against(None, "")
    try:
        known = other.read_finished("simulation")
        theirs = other.read_table("trajectories.parquet", "simulation")
    except StoreError:
        return Against(None, _missing(name))
    if _protocol(known) != _protocol(manifest):
        return Against(None, _missing(name))
    mine, reference = densities_of(folder, table), densities_of(other, theirs)
    if mine is None or reference is None:
        return Against(None, _missing(name))
    itself = other.path == folder.path
    errors = np.full(len(table), np.nan)
    places = zip(table["split"], table["molecule"], table["replica"], strict=True)
    for row, (split, molecule, replica) in enumerate(places):
        same = (theirs["split"] == split) & (theirs["molecule"] == molecule)
        if itself:
            same &= theirs["replica"] != replica
        known_rows = reference[same.to_numpy()]
        known_rows = known_rows[np.isfinite(known_rows).all(axis=1)]
        if len(known_rows) and np.isfinite(mine[row]).all():
            errors[row] = distribution_error(mine[row], known_rows.mean(axis=0))
    note = f"h(r) against trajectories of {name} under the same protocol, no DFT"
    return Against(errors, f"{note}; here between its own replicas" if itself else note)


def reference_beside(folder: RunFolder, manifest: Mapping[str, Any]) -> RunFolder | None:
    """Return where the simulation of the reference model lies, there or not.

    Args:
        folder: A simulation.
        manifest: Its manifest.

    Returns:
        None where the suite has its own reference or none.
    """
    name = manifest["suite"]["dynamics"]["reference"]
    if not isinstance(name, str):
        return None
    beside = folder.path.parents[3] / slug(name) / "baseline" / "dynamics"
    return RunFolder(beside / folder.path.name, folder.manifest_name)


def densities_of(folder: RunFolder, table: pd.DataFrame) -> Densities | None:
    """Return h(r) of each trajectory, shape (n_trajectories, n_bins), in 1/Å.

    NaN where it was not simulated or too short; None where an older version wrote none.

    Raises:
        StoreError: ``thermo.npz`` is missing or broken.
    """
    stored = read_arrays(folder.path / THERMO).get(DENSITIES)
    moved = (table["status"] != "skipped").to_numpy()
    if stored is None or len(stored) != moved.sum():
        return None
    found = np.full((len(table), stored.shape[1]), np.nan)
    found[moved] = stored
    return found


def _protocol(manifest: Mapping[str, Any]) -> dict[str, Any]:
    job = {key: v for key, v in manifest["job"].items() if key not in _OWN}
    return {**job, "starts_sha256": manifest["starts_sha256"]}


def _missing(name: str) -> str:
    return (
        f"h(r) needs a simulation of {name} beside it: repeat the command with --model "
        f"{name} --mode baseline, then score"
    )
