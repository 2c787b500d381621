"""A finished run read back: predictions, references and structures, split by split."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from mlffbench.core.errors import StoreError
from mlffbench.core.labels import Labels
from mlffbench.core.structures import Structures
from mlffbench.run.folder import Arrays, RunFolder, read_arrays


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class StoredSplit:
    """One split of a finished run.

    Attributes:
        manifest: Its entry in ``run.json``: name, role, shift, sha256 …
        table: Its rows of ``predictions.parquet``.
        structures: Its geometries.
        prediction: Predicted labels; NaN for the skipped and the failed.
        reference: Reference labels.
    """

    manifest: dict[str, Any]
    table: pd.DataFrame
    structures: Structures
    prediction: Labels
    reference: Labels

    @property
    def is_ok(self) -> NDArray[np.bool_]:
        """Shape (n_systems,): the structures that were evaluated."""
        return np.asarray(self.table["status"].to_numpy() == "ok", dtype=np.bool_)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class StoredRun:
    """A finished run.

    Attributes:
        folder: Where it lies.
        manifest: Its ``run.json``.
        splits: Its splits, in order, train among them.
    """

    folder: RunFolder
    manifest: dict[str, Any]
    splits: Sequence[StoredSplit]

    @classmethod
    def read(cls, folder: RunFolder) -> Self:
        """Return the run in a folder.

        Raises:
            StoreError: It has not finished, or a file is missing or broken.
        """
        manifest = folder.read_finished("run")
        table = folder.read_table()
        arrays = {
            name: read_arrays(folder.path / f"{name}.npz")
            for name in ("forces", "reference", "structures")
        }
        try:
            splits = [
                _read_split(entry, table, arrays, manifest["job"]["model"])
                for entry in manifest["splits"]
            ]
        except (KeyError, IndexError, TypeError, ValueError) as error:
            msg = f"the files in {folder.path} do not belong together ({error}); repeat "
            raise StoreError(msg + "the run with --overwrite") from error
        return cls(folder=folder, manifest=manifest, splits=splits)


def _read_split(
    entry: dict[str, Any], table: pd.DataFrame, arrays: dict[str, Arrays], model: str
) -> StoredSplit:
    which = (
        (table["split"] == entry["name"]) & (table["role"] == entry["role"])
    ).to_numpy()
    ends = np.cumsum(table["n_atoms"].to_numpy())
    if ends[-1] != len(arrays["forces"]["forces"]):
        msg = f"{ends[-1]} atoms in the table, {len(arrays['forces']['forces'])} forces"
        raise ValueError(msg)
    atoms = _stretch(np.repeat(which, table["n_atoms"].to_numpy()))
    chosen = _stretch(which)
    rows = table[chosen].reset_index(drop=True)
    if len(rows) != entry["n_chosen"]:
        msg = f"{len(rows)} rows of split {entry['name']}, not {entry['n_chosen']}"
        raise ValueError(msg)
    return StoredSplit(
        manifest=entry,
        table=rows,
        structures=_structures(rows, arrays["structures"], chosen, atoms),
        prediction=Labels(
            energy=torch.tensor(rows["energy"].to_numpy(copy=True)),
            forces=torch.from_numpy(arrays["forces"]["forces"][atoms]),
            source=f"model:{model}",
        ),
        reference=Labels(
            energy=torch.from_numpy(arrays["reference"]["energy"][chosen]),
            forces=torch.from_numpy(arrays["reference"]["forces"][atoms]),
            source=str(entry["level_of_theory"]),
        ),
    )


def _stretch(chosen: NDArray[np.bool_]) -> slice | NDArray[np.bool_]:
    """Return what is chosen as a slice where it is one stretch: it needs no copy."""
    places = np.flatnonzero(chosen)
    if len(places) and places[-1] - places[0] + 1 == len(places):
        return slice(int(places[0]), int(places[-1]) + 1)
    return chosen


def _structures(
    rows: pd.DataFrame,
    arrays: Arrays,
    chosen: slice | NDArray[np.bool_],
    atoms: slice | NDArray[np.bool_],
) -> Structures:
    return Structures(
        positions=torch.from_numpy(arrays["positions"][atoms]),
        numbers=torch.from_numpy(arrays["numbers"][atoms]),
        system=torch.repeat_interleave(torch.tensor(rows["n_atoms"].to_numpy(copy=True))),
        cell=torch.from_numpy(arrays["cell"][chosen]),
        pbc=torch.from_numpy(arrays["pbc"][chosen]),
        charge=torch.tensor(rows["charge"].to_numpy(copy=True)),
        multiplicity=torch.from_numpy(arrays["multiplicity"][chosen]),
        ids=tuple(rows["id"]),
        group=tuple(rows["molecule"]),
        smiles=tuple(str(smiles) for smiles in arrays["smiles"][chosen]),
    )
