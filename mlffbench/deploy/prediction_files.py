"""Predictions as files that others read: extended XYZ, npz, an ASE database."""

import io
import json
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import ase.db
import numpy as np
import pandas as pd
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from numpy.typing import NDArray

from mlffbench.core.errors import StoreError
from mlffbench.core.files import write_atomic
from mlffbench.core.guards.plain import plain
from mlffbench.core.structures import Structures
from mlffbench.run.evaluate.stored import StoredRun
from mlffbench.run.folder import RunFolder, slug

FORMS = ("extxyz", "npz", "db")
"""How predictions are written."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Predicted:
    """What a model in a mode said of all structures of a file.

    Attributes:
        structures: The structures.
        energy: Shape (n_systems,), in eV; NaN for what was not computed.
        forces: Shape (n_atoms, 3), in eV/Å; NaN likewise.
        table: One row per structure: id, molecule, status, reason, what a refinement
            tells, whatever else was found out.
        per_atom: Name -> shape (n_atoms,), further values.
        provenance: Who made it.
    """

    structures: Structures
    energy: NDArray[np.float64]
    forces: NDArray[np.float64]
    table: pd.DataFrame
    provenance: Mapping[str, Any]
    per_atom: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: RunFolder) -> Self:
        """Return the predictions in a folder.

        Raises:
            StoreError: They are not finished, or a file is missing or broken.
        """
        run = StoredRun.read(folder)
        (split,) = run.splits
        manifest = run.manifest
        return cls(
            structures=split.structures,
            energy=split.prediction.energy.double().numpy(),
            forces=split.prediction.forces.double().numpy(),
            table=split.table.drop(columns=["split", "role", "shift"]),
            provenance={
                "model": manifest["job"]["model"],
                "mode": manifest["mode"]["name"],
                "settings": manifest["mode"]["settings"],
                "sees": manifest["mode"]["sees"],
                "level_of_theory": manifest["model"]["card"]["level of theory"],
                "licence": manifest["model"]["card"]["licence"],
                "weights_sha256": manifest["model"]["weights_sha256"],
                "source_sha256": manifest["splits"][0]["source_sha256"],
                "versions": manifest["versions"],
                "dtype": manifest["dtype"],
                "fingerprint": manifest["fingerprint"],
                "units": "eV, eV/Å, Å, e",
            },
        )

    @property
    def stem(self) -> str:
        """Name of its file without suffix."""
        return f"{slug(str(self.provenance['model']))}--{self.provenance['mode']}"

    def frames(self) -> Iterator[Atoms]:
        """Yield every structure as ASE knows it, in order.

        What was computed has an energy and forces; what was not says why in
        ``info['reason']``.
        """
        held = self.structures
        stops = np.cumsum(held.sizes.numpy())
        facts = self.table.to_dict("records")
        for place, (stop, row) in enumerate(zip(stops, facts, strict=True)):
            atoms = slice(stop - row["n_atoms"], stop)
            frame = Atoms(
                numbers=held.numbers[atoms].numpy(),
                positions=held.positions[atoms].numpy(),
                cell=held.cell[place].numpy(),
                pbc=held.pbc[place].numpy(),
            )
            frame.info |= _info(row)
            frame.info["multiplicity"] = int(held.multiplicity[place])
            frame.info["model"] = str(self.provenance["model"])
            frame.info["mode"] = str(self.provenance["mode"])
            for name, values in self.per_atom.items():
                frame.arrays[name] = values[atoms]
            if row["status"] == "ok":
                frame.calc = SinglePointCalculator(  # type: ignore[no-untyped-call]
                    frame, energy=self.energy[place], forces=self.forces[atoms]
                )
            yield frame

    def write(self, folder: Path, form: str, stem: str = "") -> Path:
        """Write everything as one file, whole or not at all, and return its path.

        Args:
            folder: It must exist.
            form: ``extxyz``, ``npz`` or ``db``.
            stem: Name of the file; empty is of the model and the mode.

        Raises:
            StoreError: The folder cannot be written.
        """
        path = folder / f"{stem or self.stem}.{form}"
        if form == "db":
            _write_database(path, self)
            return path
        write_atomic(path, _as_xyz(self) if form == "extxyz" else _as_npz(self))
        return path


def _info(row: Mapping[Any, Any]) -> dict[str, Any]:
    """Return what a row says, without what is missing, as a comment line can hold it."""
    found: dict[str, Any] = {}
    for name, value in row.items():
        missing = value is None or (isinstance(value, float) and np.isnan(value))
        if name in {"energy", "n_atoms"} or missing or value == "":
            continue
        key = {"molecule": "group"}.get(str(name), str(name))
        found[key] = plain(value) if isinstance(value, str) else value
    return found


def _as_xyz(predicted: Predicted) -> bytes:
    text = io.StringIO()
    write(text, list(predicted.frames()), format="extxyz")
    return text.getvalue().encode()


def _as_npz(predicted: Predicted) -> bytes:
    held, table = predicted.structures, predicted.table
    words = {
        name: np.asarray(table[name].fillna("").tolist(), dtype=np.str_)
        for name in ("id", "molecule", "status", "reason")
    }
    numbers = {
        name: table[name].to_numpy()
        for name in table.select_dtypes(["number", "bool"]).columns
        if name not in {"energy", "n_atoms", "charge"}
    }
    buffer = io.BytesIO()
    np.savez(
        buffer,
        allow_pickle=False,
        n_atoms=held.sizes.numpy(),
        numbers=held.numbers.numpy(),
        positions=held.positions.numpy(),
        cell=held.cell.numpy(),
        pbc=held.pbc.numpy(),
        charge=held.charge.numpy(),
        multiplicity=held.multiplicity.numpy(),
        energy=predicted.energy,
        forces=predicted.forces,
        provenance=np.asarray(json.dumps(dict(predicted.provenance))),
        **words,
        **numbers,
        **predicted.per_atom,
    )
    return buffer.getvalue()


def _write_database(path: Path, predicted: Predicted) -> None:
    temporary = path.with_name(f".{os.getpid()}.{secrets.token_hex(4)}.db")
    try:
        with ase.db.connect(temporary, type="db") as database:  # type: ignore[no-untyped-call]
            for frame in predicted.frames():
                data = {**frame.info, **{n: frame.arrays[n] for n in predicted.per_atom}}
                state = {"charge": data.pop("charge", 0)}
                words = {name: str(data[name]) for name in ("status", "model", "mode")}
                database.write(
                    frame,
                    structure=str(data["id"]),
                    data=data,
                    **words,
                    **{f"total_{name}": int(value) for name, value in state.items()},
                )
            database.metadata = {"provenance": dict(predicted.provenance)}
        temporary.replace(path)
    except OSError as error:
        msg = f"cannot write {path}: {error.strerror}; choose another folder"
        raise StoreError(msg) from error
    finally:
        temporary.unlink(missing_ok=True)


def read_predictions(folders: Sequence[RunFolder]) -> list[Predicted]:
    """Return the predictions of some folders.

    Raises:
        StoreError: One of them is not finished or broken.
    """
    return [Predicted.read(folder) for folder in folders]
