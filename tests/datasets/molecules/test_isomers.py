"""Molecules of one composition without names or SMILES are counted as they are."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.io import write

from mlffbench.core.split import Split
from mlffbench.datasets.files.open import open_source
from mlffbench.datasets.molecules.isomers import Geometry, name_isomers
from mlffbench.metrics.molecules import Molecules


def geometry(atoms: Atoms, *, seed: int = 0, shake: float = 0.03) -> Geometry:
    rng = np.random.default_rng(seed)
    positions = atoms.positions + rng.normal(scale=shake, size=(len(atoms), 3))
    return Geometry(atoms.numbers.astype(np.int64), positions)


def named(*geometries: Geometry) -> list[str]:
    return name_isomers(["X"] * len(geometries), geometries)


ETHANOL, ETHER = molecule("CH3CH2OH"), molecule("CH3OCH3")


def test_isomers_are_two_molecules_and_their_frames_one_each() -> None:
    frames = [geometry(one, seed=n) for n in range(3) for one in (ETHANOL, ETHER)]
    names = named(*frames)
    assert len(set(names)) == 2
    assert names[0::2] == [names[0]] * 3
    assert all(name.startswith("X#") for name in names)
    again = named(*[geometry(one, seed=9) for one in (ETHER, ETHANOL)])
    assert again == [names[1], names[0]]  # the same marks in another file


def test_renumbered_atoms_are_the_same_molecule() -> None:
    order = np.random.default_rng(1).permutation(len(ETHANOL))
    assert named(geometry(ETHANOL), geometry(ETHANOL[order])) == ["X", "X"]


def test_a_stretched_bond_makes_no_other_molecule() -> None:
    hot = ETHANOL.copy()
    hot.set_distance(0, 1, 2.1, fix=0)  # C–C of 1.5 Å
    cold = [geometry(ETHANOL, seed=seed, shake=0.01) for seed in range(3)]
    assert named(*cold, geometry(hot, shake=0.0)) == ["X"] * 4


def test_a_molecule_in_two_parts_is_another() -> None:
    apart = ETHANOL.copy()
    apart.positions[apart.positions[:, 0] > 0] += [9.0, 0.0, 0.0]
    assert len(set(named(geometry(ETHANOL), geometry(apart)))) == 2


@pytest.mark.parametrize(
    ("info", "n_molecules"),
    [({}, 2), ({"group": "one"}, 1), ({"smiles": "CCO"}, 1)],
)
def test_a_file_counts_its_molecules(
    tmp_path: Path, info: dict[str, str], n_molecules: int
) -> None:
    frames = []
    for seed in range(6):
        atoms = (ETHANOL if seed % 2 else ETHER).copy()
        atoms.rattle(0.03, seed=seed)
        atoms.info |= {"REF_energy": -1.0, **info}
        atoms.arrays["REF_forces"] = np.zeros((len(atoms), 3))
        frames.append(atoms)
    write(tmp_path / "a.xyz", frames)
    source = open_source(tmp_path / "a.xyz")
    rows = np.arange(6)
    split = Split(name="a", role="id_test", source=source, rows=rows, rule="all")
    assert len(Molecules.of(split.groups).keys) == n_molecules
    assert split.structures.group == tuple(split.groups)


def test_a_name_of_several_molecules_is_said(tmp_path: Path) -> None:
    frames = []
    for one, name in ((molecule("CH4"), "nan"), (ETHANOL, "nan"), (ETHER, "ether")):
        atoms = one.copy()
        atoms.info |= {"group": name, "REF_energy": 0.0}
        atoms.arrays["REF_forces"] = np.zeros((len(atoms), 3))
        frames.append(atoms)
    write(tmp_path / "a.xyz", frames)
    index = open_source(tmp_path / "a.xyz").index
    assert list(index.groups) == ["nan", "nan", "ether"]
    assert "('nan') and count as one" in index.remarks[0]
