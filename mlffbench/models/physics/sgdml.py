"""sGDML model files: one molecule each, trained by the sgdml package.

Chmiela et al., Comput. Phys. Commun. 240, 38 (2019).
"""

import hashlib
import logging
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch

from mlffbench.core.assembly import predict_rest, refusals
from mlffbench.core.card import ModelCard
from mlffbench.core.errors import ModelError
from mlffbench.core.labels import Labels
from mlffbench.core.model_options import ModelOptions
from mlffbench.core.structures import Structures
from mlffbench.core.units import energy_factor, length_factor
from mlffbench.models.cards import SGDML
from mlffbench.models.weights import check_archive

_KEYS = ("z", "R_desc", "R_d_desc_alpha", "sig", "perms", "std", "c")


class SgdmlForceField:
    """An sGDML model: the molecule it was trained on, atoms in that order, no other.

    Args:
        model: Content of the model file.
        card: What is known of it.
        version: Checksum of the file; other files are other priors.
    """

    def __init__(self, model: dict[str, Any], card: ModelCard, version: str) -> None:
        self.name = "sgdml"
        self.card = card
        self.elements = card.elements
        self.version = version
        self._numbers = model["z"].astype(int).tolist()
        self._length = length_factor(_unit(model, "r_unit", "Ang"))
        self._energy = energy_factor(_unit(model, "e_unit", "kcal/mol"))
        self._predictor = import_predictor()(model, max_processes=1)

    def predict(self, structures: Structures) -> Labels:
        """Return float64 energies in eV and forces in eV/Å; other molecules fail."""
        refused = refusals(structures, self.card)
        pieces = torch.split(structures.numbers, structures.sizes.tolist())
        for index, numbers in enumerate(pieces):
            if numbers.tolist() != self._numbers:
                reason = "not the molecule this sGDML model was trained on, in its order"
                refused.setdefault(index, reason)
        return predict_rest(structures, refused, self._compute)

    def _compute(self, structures: Structures) -> Labels:
        rows = structures.positions.double().cpu().numpy() / self._length
        rows = rows.reshape(structures.n_systems, 3 * len(self._numbers))
        energies, forces = np.zeros(0), rows
        if len(rows):
            energies, forces = self._predictor.predict(np.ascontiguousarray(rows))
        forces = forces.reshape(-1, 3) * (self._energy / self._length)
        device = structures.positions.device
        return Labels(
            energy=torch.from_numpy(energies * self._energy).to(device),
            forces=torch.from_numpy(forces).to(device),
            source="sGDML",
        )


def load(options: ModelOptions) -> SgdmlForceField:
    """Return the model of an sGDML file, ``sgdml:PATH``; it computes on the CPU.

    Raises:
        ModelError: There is no such file, or it is no sGDML model.
    """
    path = Path(options.argument).expanduser()
    if not options.argument or not path.is_file():
        msg = f"sgdml needs a model file, not {options.argument!r}: write sgdml:PATH.npz"
        raise ModelError(msg)
    check_archive(path)
    try:
        with np.load(path, allow_pickle=False) as content:
            model = _plain_entries(content)
    except (OSError, ValueError, BadZipFile, EOFError) as error:
        msg = f"{path} cannot be read as an sGDML model: {error}"
        raise ModelError(msg) from error
    missing = [key for key in _KEYS if key not in model]
    if missing:
        msg = f"{path} is no sGDML model: it lacks {', '.join(missing)}"
        raise ModelError(msg)
    card = ModelCard(
        elements=frozenset(model["z"].astype(int).tolist()),
        level_of_theory=str(model.get("dataset_theory", SGDML.level_of_theory)),
        licence=SGDML.licence,
        citation=SGDML.citation,
        dtype="float64",
        source=str(path.name),
    )
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return SgdmlForceField(model, card, version=f"sGDML file {digest[:16]}")


def _plain_entries(content: Any) -> dict[str, Any]:
    """Return the entries that are arrays; pickled objects are never opened."""
    entries = {}
    for key in content.files:
        try:
            entries[key] = content[key]
        except ValueError:
            continue  # an object; one that is needed is named as lacking
    return entries


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
    unit = str(model.get(key, default))
    return {"Ang": "angstrom"}.get(unit, unit)
