"""Makes the file of spice-sample from labelled structures of SPICE in extended xyz.

::

    python -m mlffbench.datasets.sets.spice_sample_recipe FOLDER spice-sample.hdf5

The folder holds one file per subset (``dipeptides.xyz``, say) with ``REF_energy`` in eV,
``REF_forces`` in eV/Å and a mapped ``smiles`` in the order of the atoms; les_fit
f9937a51, data-spice-test-bec, is such a folder. The file is in the layout of the SPICE
releases, with their units and types: positions and gradients in float32.
"""

import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from mlffbench.core.card import SYMBOLS
from mlffbench.core.errors import DataError
from mlffbench.core.files import run_tool
from mlffbench.core.units import BOHR, HARTREE
from mlffbench.datasets.files.extxyz import ExtxyzFile
from mlffbench.datasets.molecules.smiles import require_rdkit
from mlffbench.datasets.sets.spice_sample import LEVEL_OF_THEORY, SUBSETS

_MAX_NET_FORCE = 0.05
"""eV/Å per atom; forces that add up to more belong to other positions."""


class _Conformer(NamedTuple):
    """One structure: numbers (n,), positions and forces (n, 3), in Å, eV and eV/Å."""

    numbers: NDArray[np.int64]
    positions: NDArray[np.float64]
    energy: float
    forces: NDArray[np.float64]


def make(folder: Path, out: Path) -> dict[str, int]:
    """Write the file; return subset -> number of structures.

    Raises:
        DataError: A file is missing, or an atom is not the one its SMILES says.
        MissingExtraError: rdkit is not installed.
    """
    require_rdkit("the recipe of spice-sample")
    counts: Counter[str] = Counter()
    with h5py.File(out, "w", libver="latest") as file:
        file.attrs["level_of_theory"] = LEVEL_OF_THEORY
        for subset, title in SUBSETS.items():
            for smiles, conformers in _molecules(folder / f"{subset}.xyz").items():
                key = _key(smiles, conformers[0].numbers)
                if key in file:
                    msg = f"two spellings of the molecule {key!r}; expected one"
                    raise DataError(msg)
                _write(file.create_group(key), smiles, title, conformers)
                counts[subset] += len(conformers)
    return dict(counts)


def _molecules(path: Path) -> dict[str, list[_Conformer]]:
    found: dict[str, list[_Conformer]] = defaultdict(list)
    for smiles, conformer in _conformers(path):
        net = np.abs(conformer.forces.sum(0)).max() / len(conformer.numbers)
        if net > _MAX_NET_FORCE:
            msg = f"{path}: the forces on {smiles!r} add up to {net:.3f} eV/Å per atom"
            raise DataError(msg)
        found[smiles].append(conformer)
    return dict(sorted(found.items()))


def _conformers(path: Path) -> Iterator[tuple[str, _Conformer]]:
    source = ExtxyzFile(path, level_of_theory=LEVEL_OF_THEORY)
    index = source.index
    rows = np.arange(index.n_structures)
    structures, labels = source.structures(rows), source.labels(rows)
    ends = np.cumsum(structures.sizes.numpy())[:-1]
    parts = zip(
        np.split(structures.numbers.numpy(), ends),
        np.split(structures.positions.numpy(), ends),
        labels.energy.tolist(),
        np.split(labels.forces.numpy(), ends),
        strict=True,
    )
    for row, part in zip(rows, parts, strict=True):
        yield index.smiles[index.record[row]], _Conformer(*part)


def _key(smiles: str, numbers: NDArray[np.int64]) -> str:
    """Return the molecule's SMILES without stereochemistry and atom map.

    Raises:
        DataError: The mapped SMILES lists other atoms.
    """
    from rdkit import Chem

    molecule = Chem.MolFromSmiles(smiles, sanitize=False)
    mapped: Mapping[int, str] = {
        atom.GetAtomMapNum(): atom.GetSymbol() for atom in molecule.GetAtoms()
    }
    here = [SYMBOLS[number] for number in numbers]
    if [mapped.get(place) for place in range(1, len(numbers) + 1)] != here:
        msg = f"the atoms of {smiles!r} are in another order than its map says"
        raise DataError(msg)
    for atom in molecule.GetAtoms():
        atom.SetAtomMapNum(0)
    plain = Chem.MolFromSmiles(Chem.MolToSmiles(molecule))
    return str(Chem.MolToSmiles(plain, isomericSmiles=False))


def _write(
    group: h5py.Group, smiles: str, title: str, conformers: Sequence[_Conformer]
) -> None:
    energies = np.array([one.energy for one in conformers]) / HARTREE
    positions = np.stack([one.positions for one in conformers]) / BOHR
    gradients = np.stack([-one.forces for one in conformers]) / (HARTREE / BOHR)
    group["atomic_numbers"] = conformers[0].numbers.astype(np.int16)
    group["smiles"] = np.array([smiles.encode()])
    group["subset"] = np.array([title.encode()])
    for name, values, unit in (
        ("conformations", positions.astype(np.float32), "bohr"),
        ("dft_total_energy", energies, "hartree"),
        ("dft_total_gradient", gradients.astype(np.float32), "hartree/bohr"),
    ):
        group[name] = values
        group[name].attrs["units"] = unit


def main(arguments: list[str]) -> int:
    """Make the file that the command line names; return the exit code."""
    return run_tool(
        arguments,
        "spice_sample_recipe FOLDER FILE",
        lambda folder, out: f"{out}: {make(folder, out)}",
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
