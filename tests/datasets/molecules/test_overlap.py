"""What two sets share: constructed overlaps are found, and nothing else."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.io import write
from scipy.spatial.transform import Rotation
from small_files import write_spice

from mlffbench.core.split import Source
from mlffbench.datasets.files.open import open_source
from mlffbench.datasets.molecules.leaks import Part, near_duplicates, shared_molecules


def frames(path: Path, *all_atoms: Atoms, **info: str) -> Path:
    """Write labelled frames."""
    for atoms in all_atoms:
        atoms.info.update(REF_energy=0.0, **info)
        atoms.arrays["REF_forces"] = np.zeros((len(atoms), 3))
    write(path, list(all_atoms), format="extxyz")
    return path


def part(source: Source) -> list[Part]:
    return [Part(source, np.arange(source.index.n_structures))]


def shaken(name: str, seed: int, scale: float = 0.1) -> Atoms:
    atoms = molecule(name)
    rng = np.random.default_rng(seed)
    atoms.positions += rng.normal(scale=scale, size=atoms.positions.shape)
    return atoms


def moved(atoms: Atoms, seed: int) -> Atoms:
    """Return a copy that is turned, shifted and renumbered."""
    copy = atoms[np.random.default_rng(seed).permutation(len(atoms)).tolist()]
    copy.positions = Rotation.random(random_state=seed).apply(copy.positions) + 5.0
    return copy


@pytest.fixture
def two_sets(tmp_path: Path) -> tuple[list[Part], list[Part]]:
    ethanol = [shaken("CH3CH2OH", seed) for seed in range(4)]
    first = frames(tmp_path / "one.xyz", *ethanol, shaken("C6H6", 9), shaken("H2O", 3))
    near = moved(ethanol[2], 1)
    near.positions += np.random.default_rng(2).normal(scale=0.002, size=(9, 3))
    second = frames(
        tmp_path / "two.xyz",
        shaken("CH3CH2OH", 77),
        moved(ethanol[1], 5),
        near,
        shaken("CH3OCH3", 4),  # ether: the composition of ethanol
        shaken("CH4", 5),
    )
    return part(open_source(first)), part(open_source(second))


def test_copies_and_near_copies_are_found(
    two_sets: tuple[list[Part], list[Part]],
) -> None:
    found = near_duplicates(*two_sets, 0.02)
    assert [(entry.second, entry.first) for entry in found] == [
        ("two/1", "one/1"),
        ("two/2", "one/2"),
    ]
    assert found[0].distance < 1e-6
    assert 1e-4 < found[1].distance < 0.01
    assert len(near_duplicates(*two_sets, 1e-5)) == 1


def test_the_distance_is_the_one_that_is_stated(
    two_sets: tuple[list[Part], list[Part]],
) -> None:
    first, second = two_sets
    found = {entry.second: entry for entry in near_duplicates(first, second, 10.0)}
    one = first[0].source.structures(np.arange(4)).positions.numpy().reshape(4, 9, 3)
    two = second[0].source.structures(np.array([0])).positions.numpy()
    pairs = [(i, j) for i in range(9) for j in range(i)]
    atoms = molecule("CH3CH2OH").numbers

    def sorted_distances(positions: np.ndarray) -> np.ndarray:
        blocks: dict[tuple[int, int], list[float]] = {}
        for i, j in pairs:
            key = tuple(sorted((int(atoms[i]), int(atoms[j]))))
            blocks.setdefault(key, []).append(np.linalg.norm(positions[i] - positions[j]))
        return np.concatenate([sorted(blocks[key]) for key in sorted(blocks)])

    mine = sorted_distances(two)
    expected = [np.sqrt(((sorted_distances(p) - mine) ** 2).mean()) for p in one]
    assert found["two/0"].first == f"one/{int(np.argmin(expected))}"
    assert found["two/0"].distance == pytest.approx(min(expected), abs=1e-6)
    assert "two/4" not in found  # no methane in the first set


def test_shared_molecules_by_name_and_by_smiles(
    two_sets: tuple[list[Part], list[Part]], tmp_path: Path
) -> None:
    found = shared_molecules(*two_sets)
    assert [(m.name, m.known_by, m.in_first, m.in_second) for m in found] == [
        ("C2H6O", "name", 4, 4)
    ]
    other = frames(tmp_path / "w.xyz", molecule("H2O"), smiles="[H]O[H]")
    spice = write_spice(tmp_path / "a.hdf5")
    found = shared_molecules(part(open_source(spice)), part(open_source(other)))
    assert [(m.name, m.known_by, m.in_first, m.in_second) for m in found] == [
        ("O", "canonical SMILES", 4, 1)
    ]


def test_charges_are_kept_apart(tmp_path: Path) -> None:
    atoms = molecule("H2O")
    one = frames(tmp_path / "one.xyz", atoms.copy())
    two = frames(tmp_path / "two.xyz", atoms.copy(), charge="1")
    assert near_duplicates(part(open_source(one)), part(open_source(two))) == []
