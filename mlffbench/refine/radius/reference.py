"""The training graphs that radius refinement compares with, computed once.

A model that remembers them is asked. For any other they are those of the suite's training
split, kept in a small file that is named after the structures and the cutoff.
"""

import json
from pathlib import Path
from typing import NamedTuple

from mlffbench.core.files import make_folder, write_atomic
from mlffbench.core.forcefield import HasTrainingSpectrum
from mlffbench.core.spectrum import SpectralReference
from mlffbench.priors.prior_labels import cache_folder
from mlffbench.refine.refiner import Training


class Reference(NamedTuple):
    """A spectral reference and, in words, whose graphs it describes."""

    spectrum: SpectralReference
    origin: str


def remembered(model: object) -> Reference | None:
    """Return what a model says of its own training graphs, if it says anything."""
    if not isinstance(model, HasTrainingSpectrum) or model.training_spectrum is None:
        return None
    n_structures = model.training_spectrum.n_structures
    origin = f"{n_structures} training structures, as the model remembers them"
    return Reference(model.training_spectrum, origin)


def reference_of(training: Training, cutoff: float) -> Reference:
    """Return the reference of a suite's training split, from disk the second time.

    Args:
        training: The split.
        cutoff: Radius of the graphs, in Å.

    Raises:
        DataError: The split is empty, or a structure of it has no graph.
        StoreError: The result cannot be kept.
    """
    folder = cache_folder("spectra")
    file = folder / f"{training.sha256[:32]}-{cutoff:.6f}.json"
    spectrum = _read(file)
    if spectrum is None:
        spectrum = SpectralReference.of(training.read(), cutoff)
        make_folder(folder)
        write_atomic(file, json.dumps(spectrum.as_json()).encode())
    origin = f"{spectrum.n_structures} structures of {training.name}"
    return Reference(spectrum, origin)


def _read(file: Path) -> SpectralReference | None:
    """Return what was kept; a file that is missing or damaged is computed again."""
    try:
        return SpectralReference.from_json(json.loads(file.read_text("utf-8")))
    except (OSError, ValueError):
        return None
