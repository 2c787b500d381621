"""Labels of the mini OOD set: wB97X/6-31G(d) from PySCF and GFN2-xTB from tblite.

Everything here is in atomic units, as in the file: positions in bohr, energies in
hartree, gradients in hartree/bohr (force = −gradient). Neutral only; a molecule with an
odd number of electrons is a doublet.
A molecule's labels are written to a part file: one group, as it will be in the set.
"""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from itertools import chain, islice, zip_longest
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import h5py
import numpy as np
from numpy.typing import NDArray

from mlffbench.core.errors import DataError
from mlffbench.core.units import BOHR, HARTREE
from mlffbench.datasets.sets.mini.frame_tasks import Task
from mlffbench.datasets.sets.mini.geometries import PRIOR, Sample, require, sample
from mlffbench.datasets.statements.charge_spin import lowest_multiplicity

if TYPE_CHECKING:
    from pyscf.dft.rks import KohnShamDFT
    from pyscf.gto import Mole

FUNCTIONAL: Final = "wb97x"
BASIS: Final = "6-31g(d)"
GRID_LEVEL: Final = 3
ENERGY_TOLERANCE: Final = 1e-9
"""Convergence of the self-consistent field, in hartree."""
DOUBLET: Final = 0.75
"""⟨S²⟩ of a doublet."""
CONTAMINATION: Final = 0.15
"""A doublet whose ⟨S²⟩ is higher by more than this is dropped."""

MULTIPLICITY: Final[Mapping[int, int]] = MappingProxyType(
    {1: 2, 5: 2, 6: 3, 7: 4, 8: 3, 9: 2, 14: 3, 15: 4, 16: 3, 17: 2}
)
"""Spin multiplicity of the isolated atom's ground state, by atomic number."""
UNITS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "conformations": "bohr",
        "dft_total_energy": "hartree",
        "dft_total_gradient": "hartree/bohr",
        "formation_energy": "hartree",
        "gfn2_total_energy": "hartree",
        "gfn2_total_gradient": "hartree/bohr",
    }
)
"""The unit that each dataset of a group carries."""


@dataclass(frozen=True, slots=True, eq=False)
class Label:
    """One labelled geometry.

    Attributes:
        energy: Total energy in hartree.
        gradient: shape (n_atoms, 3), in hartree/bohr.
    """

    energy: float
    gradient: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class StoredLabels:
    """The labels of one conformer of a file, in atomic units.

    Attributes:
        name: Name of the HDF5 group.
        subset: Its subset.
        conformer: Index within the group.
        numbers: shape (n_atoms,), atomic numbers.
        positions: shape (n_atoms, 3), in bohr.
        dft: The reference label.
        prior: The prior label.
    """

    name: str
    subset: str
    conformer: int
    numbers: NDArray[np.int16]
    positions: NDArray[np.float64]
    dft: Label
    prior: Label


@dataclass(frozen=True, slots=True)
class Deviation:
    """How far recomputed labels are from the stored ones.

    Attributes:
        dft_energy: |ΔE| of the reference, in eV.
        dft_forces: Largest |ΔF| of all components of the reference, in eV/Å.
        prior_energy: |ΔE| of the prior, in eV.
        prior_forces: Largest |ΔF| of all components of the prior, in eV/Å.
    """

    dft_energy: float
    dft_forces: float
    prior_energy: float
    prior_forces: float


def level_of_theory() -> str:
    """Return the one-line description of the DFT labels, with the version of PySCF."""
    return (
        "wB97X/6-31G(d), RKS (UKS for radicals), density fitting, "
        f"grid level {GRID_LEVEL}, PySCF {version('pyscf')}"
    )


def prior_description() -> str:
    """Return the one-line description of the prior labels, with the version of tblite."""
    return f"{PRIOR}, tblite {version('tblite')}"


def dft_label(numbers: NDArray[np.int16], positions: NDArray[np.float64]) -> Label:
    """Return the wB97X/6-31G(d) energy and gradient of a neutral singlet or doublet.

    Args:
        numbers: shape (n_atoms,), atomic numbers.
        positions: shape (n_atoms, 3), in bohr.

    Raises:
        MissingExtraError: PySCF is not installed.
        DataError: The self-consistent field did not converge, gave no finite number, or
            is no clean doublet: its ⟨S²⟩ is off by more than `CONTAMINATION`.
    """
    require("pyscf")
    from pyscf import dft

    multiplicity = lowest_multiplicity(numbers.astype(np.int64), charge=0)
    shells = dft.RKS if multiplicity == 1 else dft.UKS
    field = _prepare(shells(_molecule(numbers, positions, multiplicity)))
    energy = float(field.kernel())
    if not field.converged:
        msg = f"the {FUNCTIONAL}/{BASIS} self-consistent field did not converge"
        raise DataError(msg)
    if multiplicity > 1 and (off := field.spin_square()[0] - DOUBLET) > CONTAMINATION:
        msg = f"the doublet is contaminated: its S² is {off:.2f} above {DOUBLET}"
        raise DataError(msg)
    gradient = np.asarray(field.nuc_grad_method().kernel(), dtype=np.float64)
    return _finite(Label(energy, gradient), FUNCTIONAL)


def prior_label(numbers: NDArray[np.int16], positions: NDArray[np.float64]) -> Label:
    """Return the GFN2-xTB energy and gradient of a neutral singlet or doublet.

    Args:
        numbers: shape (n_atoms,), atomic numbers.
        positions: shape (n_atoms, 3), in bohr.

    Raises:
        DataError: The self-consistent field did not converge, or gave no finite number.
    """
    from tblite.exceptions import TBLiteRuntimeError
    from tblite.interface import Calculator

    unpaired = lowest_multiplicity(numbers.astype(np.int64), charge=0) - 1
    calculator = Calculator(PRIOR, numbers, positions, uhf=unpaired)
    calculator.set("verbosity", 0)
    try:
        result = calculator.singlepoint()
    except TBLiteRuntimeError as error:
        msg = f"{PRIOR} failed: {error}"
        raise DataError(msg) from error
    label = Label(float(result.get("energy")), np.array(result.get("gradient")))
    return _finite(label, PRIOR)


def isolated_atom_energy(number: int) -> float:
    """Return the wB97X/6-31G(d) energy of one isolated atom, in hartree (UKS).

    Args:
        number: Atomic number, a key of `MULTIPLICITY`.

    Raises:
        MissingExtraError: PySCF is not installed.
        DataError: The element has no multiplicity here, or the field did not converge.
    """
    require("pyscf")
    from pyscf import dft

    if number not in MULTIPLICITY:
        known = ", ".join(map(str, MULTIPLICITY))
        msg = f"no spin multiplicity for atomic number {number}; known: {known}"
        raise DataError(msg)
    atom = _molecule(
        np.array([number], dtype=np.int16), np.zeros((1, 3)), MULTIPLICITY[number]
    )
    field = _prepare(dft.UKS(atom))
    energy = float(field.kernel())
    if not field.converged:
        msg = f"the isolated atom with atomic number {number} did not converge"
        raise DataError(msg)
    return energy


def make_labelled_part(task: Task, folder: Path) -> None:
    """Write the part file of a molecule, with both labels of its labelled frames.

    Args:
        task: The molecule.
        folder: Where the part files are.
    """
    drawn = sample(task.smiles, task.protocol, task.seed)
    frames = drawn.positions[: task.protocol.n_labelled]
    make_part(task, folder, drawn, frames, {"gfn2": prior_label, "dft": dft_label})


def make_prior_only_part(task: Task, folder: Path) -> None:
    """Write the part file of a molecule, with prior labels of the frames left over.

    Args:
        task: The molecule.
        folder: Where the part files are.
    """
    drawn = sample(task.smiles, task.protocol, task.seed)
    frames = drawn.positions[task.protocol.n_labelled :]
    make_part(task, folder, drawn, frames, {"gfn2": prior_label})


def choose_labels(path: Path, n_labels: int, seed: int) -> list[StoredLabels]:
    """Return stored labels, chosen at random, one subset after the other.

    Args:
        path: A file with the layout of ``mini.hdf5``.
        n_labels: How many; all of them where there are fewer.
        seed: Of the choice.

    Raises:
        DataError: The file is missing or has another layout.
    """
    if not path.is_file():
        msg = f"there is no file {path}; give --data an HDF5 file of the mini set"
        raise DataError(msg)
    random = np.random.default_rng(seed)
    try:
        with h5py.File(path) as stored:
            by_subset: dict[str, list[tuple[str, int]]] = {}
            for name, group in stored.items():
                conformers = by_subset.setdefault(group["subset"].asstr()[0], [])
                conformers += [(name, i) for i in range(len(group["conformations"]))]
            queues = list(by_subset.values())
            random.shuffle(queues)
            for queue in queues:
                random.shuffle(queue)
            in_turn = filter(None, chain.from_iterable(zip_longest(*queues)))
            return [_read_labels(stored, *key) for key in islice(in_turn, n_labels)]
    except (KeyError, OSError) as error:
        msg = f"{path} does not have the layout of mini.hdf5: {error}"
        raise DataError(msg) from error


def recompute(stored: StoredLabels) -> Deviation:
    """Return how far freshly computed labels are from the stored ones.

    Args:
        stored: The labels of one conformer.

    Raises:
        DataError: A self-consistent field did not converge.
    """
    dft = dft_label(stored.numbers, stored.positions)
    prior = prior_label(stored.numbers, stored.positions)
    return Deviation(
        dft_energy=abs(dft.energy - stored.dft.energy) * HARTREE,
        dft_forces=_largest_force(dft, stored.dft),
        prior_energy=abs(prior.energy - stored.prior.energy) * HARTREE,
        prior_forces=_largest_force(prior, stored.prior),
    )


def make_part(
    task: Task,
    folder: Path,
    drawn: Sample,
    frames: NDArray[np.float64],
    methods: Mapping[str, Callable[[NDArray[np.int16], NDArray[np.float64]], Label]],
) -> None:
    """Write the part file of a molecule; a frame without a label is left out, not NaN.

    Args:
        task: The molecule.
        folder: Where the part files are.
        drawn: Its geometries.
        frames: shape (n_frames, n_atoms, 3), in Å: those to label.
        methods: What gives the labels, by the first word of their datasets.
    """
    kept: list[tuple[NDArray[np.float32], dict[str, Label]]] = []
    dropped = list(drawn.dropped)
    for index, frame in enumerate(frames):
        stored = (frame / BOHR).astype(np.float32)
        exact = stored.astype(np.float64)  # a label belongs to the stored geometry
        try:
            labels = {key: label(drawn.numbers, exact) for key, label in methods.items()}
        except DataError as error:
            dropped.append(f"frame {index}: {error}")
        else:
            kept.append((stored, labels))
    shape = (len(kept), len(drawn.numbers), 3)
    arrays: dict[str, NDArray[Any]] = {
        "atomic_numbers": drawn.numbers,
        "conformations": np.array([r for r, _ in kept], dtype=np.float32).reshape(shape),
        "smiles": np.array([drawn.smiles.encode()]),
        "subset": np.array([task.subset.encode()]),
    }
    for key in methods:
        labels_of = [labels[key] for _, labels in kept]
        arrays[f"{key}_total_energy"] = np.array([label.energy for label in labels_of])
        arrays[f"{key}_total_gradient"] = np.array(
            [label.gradient for label in labels_of], dtype=np.float32
        ).reshape(shape)
    _write_part(task, folder, arrays, dropped)


def _write_part(
    task: Task, folder: Path, arrays: Mapping[str, NDArray[Any]], dropped: list[str]
) -> None:
    path = task.part(folder)
    unfinished = path.with_suffix(f".{os.getpid()}.tmp")
    with h5py.File(unfinished, "w") as part:
        part.attrs["task"] = task.fingerprint()
        part.attrs["dropped"] = json.dumps(dropped)
        group = part.create_group(task.name)
        for key in sorted(arrays):
            dataset = group.create_dataset(key, data=arrays[key])
            if key in UNITS:
                dataset.attrs["units"] = UNITS[key]
    unfinished.replace(path)


def _molecule(
    numbers: NDArray[np.int16], positions: NDArray[np.float64], multiplicity: int
) -> "Mole":
    from pyscf import gto, lib

    lib.num_threads(1)
    geometry = list(zip(numbers.tolist(), positions.tolist(), strict=True))
    return gto.M(
        atom=geometry, unit="Bohr", basis=BASIS, spin=multiplicity - 1, verbose=0
    )


def _prepare(field: "KohnShamDFT") -> Any:
    field.xc = FUNCTIONAL
    fitted: Any = field.density_fit()  # PySCF ships no types
    fitted.grids.level = GRID_LEVEL
    fitted.conv_tol = ENERGY_TOLERANCE
    return fitted


def _finite(label: Label, method: str) -> Label:
    if not (np.isfinite(label.energy) and np.isfinite(label.gradient).all()):
        msg = f"{method} returned an energy or a gradient that is not a finite number"
        raise DataError(msg)
    return label


def _read_labels(stored: Any, name: str, conformer: int) -> StoredLabels:
    group = stored[name]

    def label(method: str) -> Label:
        gradient = group[f"{method}_total_gradient"][conformer].astype(np.float64)
        return Label(float(group[f"{method}_total_energy"][conformer]), gradient)

    return StoredLabels(
        name=name,
        subset=group["subset"].asstr()[0],
        conformer=conformer,
        numbers=group["atomic_numbers"][()],
        positions=group["conformations"][conformer].astype(np.float64),
        dft=label("dft"),
        prior=label("gfn2"),
    )


def _largest_force(new: Label, old: Label) -> float:
    return float(np.abs(new.gradient - old.gradient).max()) * HARTREE / BOHR
