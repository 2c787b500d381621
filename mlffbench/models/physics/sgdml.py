"""sGDML: one molecule per model file, trained by the sgdml package or published.

Chmiela et al., Comput. Phys. Commun. 240, 38 (2019).
"""

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase.data import covalent_radii
from numpy.typing import NDArray

from mlffbench.core.assembly import predict_rest, refusals
from mlffbench.core.card import ModelCard
from mlffbench.core.errors import ModelError
from mlffbench.core.labels import Labels
from mlffbench.core.model_options import ModelOptions
from mlffbench.core.structures import Structures
from mlffbench.core.units import energy_factor, length_factor
from mlffbench.models.cards import SGDML
from mlffbench.models.physics.sgdml_file import read_sgdml, text_of

Floats = NDArray[np.float64]
_BOND = 1.3
"""Atoms that are closer than this times their covalent radii in training are bonded."""
_STRETCH = 1.5
"""A bond may be this much longer than its longest in training."""


class _Molecule:
    """One model: the molecule it was trained on, atoms in that order, no other."""

    def __init__(self, model: dict[str, Any]) -> None:
        self.numbers = model["z"].astype(int).tolist()
        self._length = length_factor(_unit(model, "r_unit", "Ang"))
        self._energy = energy_factor(_unit(model, "e_unit", "kcal/mol"))
        self._predictor = import_predictor()(model, max_processes=1)
        radii = covalent_radii[self.numbers]
        self._rows, self._columns = np.tril_indices(len(radii), -1)
        lengths = self._length / model["R_desc"]
        reach = _BOND * (radii[self._rows] + radii[self._columns])
        self._bonded = lengths.mean(axis=1) < reach
        self._longest = lengths.max(axis=1)

    def why_not(self, numbers: list[int], positions: Floats) -> str:
        """Return why a structure is not this molecule, empty where it is."""
        if numbers != self.numbers:
            return "not the molecule this sGDML model was trained on, in its order"
        apart = positions[self._rows] - positions[self._columns]
        lengths = np.sqrt((apart**2).sum(axis=1))
        torn = self._bonded & ~(lengths <= _STRETCH * self._longest)
        if not torn.any():
            return ""
        worst = int(np.argmax(np.where(torn, lengths / self._longest, 0.0)))
        pair = f"{self._columns[worst] + 1} and {self._rows[worst] + 1}"
        return (
            f"atoms {pair} are {lengths[worst]:.2f} Å apart, but bonded in what this "
            f"sGDML model was trained on (at most {self._longest[worst]:.2f} Å): its "
            "atoms are in another order, or the bond is broken"
        )

    def compute(self, rows: Floats) -> tuple[Floats, Floats]:
        """Return energies (n,) in eV and forces (n, n_atoms, 3) in eV/Å.

        Args:
            rows: Shape (n, n_atoms, 3), positions in Å.
        """
        flat = np.ascontiguousarray(rows.reshape(len(rows), -1) / self._length)
        energies, forces = self._predictor.predict(flat)
        shaped = forces.reshape(rows.shape) * (self._energy / self._length)
        return energies * self._energy, shaped


class SgdmlForceField:
    """sGDML models, each for its own molecule, atoms in the order it was trained with.

    Args:
        models: Contents of the model files; the first that fits a structure computes it.
        card: What is known of them.
        version: Checksum of the files; other files are other priors.
    """

    def __init__(
        self, models: Sequence[dict[str, Any]], card: ModelCard, version: str
    ) -> None:
        self.name = "sgdml"
        self.card = card
        self.elements = card.elements
        self.version = version
        self._molecules = [_Molecule(model) for model in models]

    def predict(self, structures: Structures) -> Labels:
        """Return float64 energies in eV and forces in eV/Å; other molecules fail."""
        refused = refusals(structures, self.card)
        fits, reasons = self._fits(structures)
        for index, reason in reasons.items():
            refused.setdefault(index, reason)
        chosen = [fit for index, fit in enumerate(fits) if index not in refused]

        def compute(rest: Structures) -> Labels:
            return self._compute(rest, chosen)

        return predict_rest(structures, refused, compute)

    def _fits(self, structures: Structures) -> tuple[list[int], dict[int, str]]:
        """Return which molecule each structure is, and why some are none."""
        sizes = structures.sizes.tolist()
        numbers = torch.split(structures.numbers, sizes)
        places = torch.split(structures.positions.detach().double().cpu(), sizes)
        fits: list[int] = []
        reasons: dict[int, str] = {}
        for index, (mine, where) in enumerate(zip(numbers, places, strict=True)):
            found = [one.why_not(mine.tolist(), where.numpy()) for one in self._molecules]
            fits.append(found.index("") if "" in found else -1)
            if "" not in found:
                # what is closest to a fit says more than another molecule's name
                reasons[index] = max(found, key=len)
        return fits, reasons

    def _compute(self, structures: Structures, fits: Sequence[int]) -> Labels:
        sizes = structures.sizes.tolist()
        every = structures.positions.detach().double().cpu().numpy()
        ends = np.cumsum([0, *sizes])
        energies, forces = np.zeros(len(sizes)), np.zeros_like(every)
        for number, molecule in enumerate(self._molecules):
            mine = [place for place, fit in enumerate(fits) if fit == number]
            if not mine:
                continue
            atoms = [np.arange(ends[place], ends[place + 1]) for place in mine]
            found, slopes = molecule.compute(np.stack([every[one] for one in atoms]))
            energies[mine] = found
            forces[np.concatenate(atoms)] = slopes.reshape(-1, 3)
        device = structures.positions.device
        return Labels(
            energy=torch.from_numpy(energies).to(device),
            forces=torch.from_numpy(forces).to(device),
            source="sGDML",
        )


def load(options: ModelOptions) -> SgdmlForceField:
    """Return the model of an sGDML file, or of a folder of them; it computes on the CPU.

    Args:
        options: The argument is a file or a folder, ``sgdml:PATH``.

    Raises:
        ModelError: There is no such file, or it is no sGDML model.
    """
    path = Path(options.argument).expanduser()
    files = [path] if path.is_file() else sorted(path.glob("*.npz"))
    if not options.argument or not files:
        msg = (
            f"sgdml needs a model file, not {options.argument!r}: write sgdml:PATH.npz, "
        )
        raise ModelError(msg + "or the folder of several")
    models = [read_sgdml(file) for file in files]
    theories = {text_of(m.get("dataset_theory", SGDML.level_of_theory)) for m in models}
    card = ModelCard(
        elements=frozenset(z for m in models for z in m["z"].astype(int).tolist()),
        level_of_theory=", ".join(sorted(theories)),
        licence=SGDML.licence,
        citation=SGDML.citation,
        dtype="float64",
        source=", ".join(str(file.name) for file in files),
    )
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    return SgdmlForceField(models, card, version=f"sGDML file {digest[:16]}")


def import_predictor() -> Any:
    """Return sgdml's predictor class; logging stays as it was before the import."""
    before = logging.getLoggerClass()
    try:
        import sgdml  # noqa: F401 - sets a logger class for the whole process
    finally:
        logging.setLoggerClass(before)
    from sgdml.predict import GDMLPredict

    return GDMLPredict


def _unit(model: dict[str, Any], key: str, default: str) -> str:
    unit = text_of(model.get(key, default))
    return {"Ang": "angstrom"}.get(unit, unit)
