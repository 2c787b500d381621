"""What goes in: models and structures by the names that are typed everywhere else."""

from collections.abc import Sequence

import torch

from mlffbench.api.named_sets import sample_of, structures_of_set
from mlffbench.core.errors import BenchError, DataError
from mlffbench.core.forcefield import ForceField
from mlffbench.core.labels import Labels
from mlffbench.core.model_options import ModelOptions
from mlffbench.core.structures import Structures
from mlffbench.models.load import load_model as load_by_spec

DEVICES = ("auto", "cpu", "cuda")


def device_named(name: str) -> str:
    """Return ``cpu`` or ``cuda``; ``auto`` is the GPU where there is one.

    Raises:
        BenchError: It is none of the three, or there is no GPU.
    """
    if name not in DEVICES:
        msg = f"unknown device {name!r}: expected {', '.join(DEVICES)}"
        raise BenchError(msg)
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        msg = "device 'cuda': torch finds no CUDA device here; use 'cpu', or see "
        raise BenchError(msg + "mlffbench doctor")
    return "cuda" if available and name != "cpu" else "cpu"


def names_given(given: str | Sequence[str] | None) -> tuple[str, ...]:
    """Return names that were given as one, several or none."""
    return (given,) if isinstance(given, str) else tuple(given or ())


def load_model(
    spec: str, *, device: str = "auto", dtype: str | None = None, trust: bool = False
) -> ForceField:
    """Return the force field that a name stands for.

    Args:
        spec: A name of the catalogue (``"ani-1x"``), one with an argument
            (``"checkpoint:my-mace.json"``), or ``"path/to/model.py:factory"``.
        device: ``"cpu"``, ``"cuda"``, or ``"auto"``: the GPU where there is one.
        dtype: ``"float32"`` or ``"float64"``; None is the model's own default.
        trust: Whether a model file that can run code of its own may be loaded.

    Returns:
        An object with ``name``, ``elements`` (atomic numbers) and
        ``predict(structures) -> Labels``: energies (n_systems,) in eV, forces
        (n_atoms, 3) in eV/Å.

    Raises:
        BenchError: Nothing has that name (`UnknownNameError`), a package is not installed
            (`MissingExtraError`), or the model cannot be loaded (`ModelError`).

    Examples:
        >>> load_model("zero").name
        'zero'
    """
    options = ModelOptions(device=device_named(device), dtype=dtype, trust=trust)
    return load_by_spec(spec, options)


def load_structures(
    source: str, *, limit: int | None = None, seed: int = 0
) -> Structures:
    """Return the structures of a file, a dataset or a split; they carry no label.

    Args:
        source: A path (extended XYZ, ASE database, npz, HDF5, or a YAML description of
            one), a dataset's name, ``"SUITE:SPLIT"`` or ``"SUITE:SPLIT/val"``.
        limit: Structures at most, spread over the molecules; None is all.
        seed: Of that choice: the same seed and limit give the same structures.

    Returns:
        Positions (n_atoms, 3) in Å, float64, atomic numbers (n_atoms,), cells
        (n_systems, 3, 3) in Å, charges (n_systems,) in e, laid end to end.

    Raises:
        BenchError: There is no such set, or it is empty or cannot be read (`DataError`).

    Examples:
        >>> load_structures("mini-ood:ood_elements", limit=3).n_systems
        3
    """
    return structures_of_set(source, limit=limit, seed=seed)


def load_labels(source: str, *, limit: int | None = None, seed: int = 0) -> Labels:
    """Return the reference labels of what `load_structures` returns, in the same order.

    They are apart, so that whoever predicts never holds a label.

    Args:
        source: As for `load_structures`.
        limit: As for `load_structures`.
        seed: As for `load_structures`.

    Returns:
        Energies (n_systems,) in eV and forces (n_atoms, 3) in eV/Å, float64; NaN where
        a structure has none.

    Raises:
        BenchError: There is no such set, or it cannot be read or has no reference forces
            (`DataError`).

    Examples:
        >>> load_labels("mini-ood:ood_elements", limit=3).energy.shape
        torch.Size([3])
    """
    sample = sample_of(source, source, limit=limit, seed=seed)
    if sample.reference is None:
        raise DataError(sample.absent["reference"])
    return sample.reference
