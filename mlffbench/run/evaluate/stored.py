"""A finished run read back: predictions, references and structures, split by split."""

from collections.abc import Callable, Sequence
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

OF_ATOMS = frozenset({"forces", "positions", "numbers"})
"""Arrays with a row per atom; the others have one per structure."""


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
            raise mismatched(folder, error) from error
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

    def read(file: str, name: str) -> NDArray[Any]:
        return arrays[file][name][atoms if name in OF_ATOMS else chosen]

    return assemble_split(entry, rows, read, model)


def assemble_split(
    entry: dict[str, Any],
    rows: pd.DataFrame,
    read: Callable[[str, str], NDArray[Any]],
    model: str,
) -> StoredSplit:
    """Return a split, or a stretch of one, from what its files hold of it.

    Args:
        entry: Its entry in ``run.json``.
        rows: Its rows of the table.
        read: Returns its rows of an array, from the names of the file and of the array.
        model: What predicted.

    Raises:
        DataError: The arrays are not of the same structures.
        KeyError: A column or an array is missing.
        TypeError: An array is not of numbers.
    """
    n_atoms = torch.tensor(rows["n_atoms"].to_numpy(dtype=np.int64, copy=True))
    return StoredSplit(
        manifest=entry,
        table=rows,
        structures=Structures(
            positions=torch.from_numpy(read("structures", "positions")),
            numbers=torch.from_numpy(read("structures", "numbers")),
            system=torch.repeat_interleave(n_atoms),
            cell=torch.from_numpy(read("structures", "cell")),
            pbc=torch.from_numpy(read("structures", "pbc")),
            charge=torch.tensor(rows["charge"].to_numpy(copy=True)),
            multiplicity=torch.from_numpy(read("structures", "multiplicity")),
            ids=tuple(rows["id"]),
            group=tuple(rows["molecule"]),
            smiles=tuple(map(str, read("structures", "smiles").tolist())),
        ),
        prediction=Labels(
            energy=torch.tensor(rows["energy"].to_numpy(copy=True)),
            forces=torch.from_numpy(read("forces", "forces")),
            source=f"model:{model}",
        ),
        reference=Labels(
            energy=torch.from_numpy(read("reference", "energy")),
            forces=torch.from_numpy(read("reference", "forces")),
            source=str(entry["level_of_theory"]),
        ),
    )


def mismatched(folder: RunFolder, error: Exception) -> StoreError:
    """Return the sentence for a run whose files are not of one another."""
    msg = f"the files in {folder.path} do not belong together ({error}); repeat "
    return StoreError(msg + "the run with --overwrite")


def _stretch(chosen: NDArray[np.bool_]) -> slice | NDArray[np.bool_]:
    """Return what is chosen as a slice where it is one stretch: it needs no copy."""
    places = np.flatnonzero(chosen)
    if len(places) and places[-1] - places[0] + 1 == len(places):
        return slice(int(places[0]), int(places[-1]) + 1)
    return chosen
