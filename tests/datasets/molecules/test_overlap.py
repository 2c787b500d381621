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
from mlffbench.datasets.molecules import comparison
from mlffbench.datasets.molecules.comparison import Part, compare, count_molecules
from mlffbench.datasets.molecules.leaks import near_duplicates
from mlffbench.datasets.molecules.skeleton import (
    skeleton_of_geometry,
    skeleton_of_smiles,
)


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


def shared(first: Path, second: Path) -> list[tuple[str, str, int, int]]:
    found = compare(part(open_source(first)), part(open_source(second)))
    assert found.answer == ("shared" if found.shared else "not shared")
    return [entry[:4] for entry in found.shared]


def test_isomers_of_one_formula_are_two_molecules(
    two_sets: tuple[list[Part], list[Part]],
) -> None:
    found = compare(*two_sets)
    (shared_one,) = [entry[:4] for entry in found.shared]
    assert shared_one == ("C2H6O#7e84", "connectivity", 4, 3)  # marked: there are isomers
    assert [count_molecules(parts) for parts in two_sets] == [3, 3]


def test_smiles_against_smiles(tmp_path: Path) -> None:
    other = frames(tmp_path / "w.xyz", molecule("H2O"), smiles="[H]O[H]")
    spice = write_spice(tmp_path / "a.hdf5")
    assert shared(spice, other) == [("O", "canonical SMILES", 4, 1)]


def test_smiles_against_rattled_copies_without(tmp_path: Path) -> None:
    known = frames(tmp_path / "k.xyz", molecule("CH3CH2OH"), smiles="CCO")
    rattled = [moved(shaken("CH3CH2OH", seed, 0.06), seed) for seed in range(3)]
    other = frames(tmp_path / "o.xyz", *rattled, shaken("CH3OCH3", 2))
    assert shared(known, other) == [("CCO", "connectivity", 1, 3)]
    assert shared(other, known) == [("CCO", "connectivity", 3, 1)]
    ether = frames(tmp_path / "e.xyz", shaken("CH3OCH3", 2))
    assert shared(known, ether) == []


def test_a_given_name_is_a_molecule(tmp_path: Path) -> None:
    one = frames(tmp_path / "one.xyz", molecule("H2O"), group="mine")
    two = frames(tmp_path / "two.xyz", molecule("CH4"), group="mine")
    assert shared(one, two) == [("mine", "name", 1, 1)]


def test_what_nobody_can_tell_is_not_comparable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = frames(tmp_path / "one.xyz", molecule("CH3CH2OH"))
    two = frames(tmp_path / "two.xyz", molecule("CH3OCH3"), molecule("CH4"))
    monkeypatch.setattr(comparison, "MOST_ATOMS", 1)  # as if nothing could be derived
    found = compare(part(open_source(one)), part(open_source(two)))
    assert found.answer == "not comparable"
    assert [entry[:4] for entry in found.unclear] == [("C2H6O", "composition", 1, 1)]


def test_skeletons_of_smiles_and_geometry_agree() -> None:
    for name, smiles in (
        ("CH3CH2OH", "CCO"),
        ("C6H6", "c1ccccc1"),
        ("CH3COOH", "CC(=O)O"),
        ("CH3NO2", "C[N+](=O)[O-]"),
        ("HCN", "C#N"),
        ("CH3SiH3", "C[SiH3]"),
        ("C2H6SO", "CS(=O)C"),
    ):
        atoms = molecule(name)
        derived = skeleton_of_geometry(atoms.numbers, atoms.positions)
        assert derived == skeleton_of_smiles(smiles), name


def test_charges_are_kept_apart(tmp_path: Path) -> None:
    atoms = molecule("H2O")
    one = frames(tmp_path / "one.xyz", atoms.copy())
    two = frames(tmp_path / "two.xyz", atoms.copy(), charge="1")
    assert near_duplicates(part(open_source(one)), part(open_source(two))) == []
