"""The embedded sample of SPICE: splits, labels, and that no molecule is on two sides."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from ase.io import write

from mlffbench.core.split import Split
from mlffbench.core.units import BOHR, HARTREE
from mlffbench.datasets.molecules.leaks import check_leaks
from mlffbench.datasets.sets.spice_sample import MAX_TRAINED_ATOMS, molecule_of, splits
from mlffbench.datasets.shifts import ShiftReference, shift_scores
from mlffbench.run.suite import load_suite
from mlffbench.run.suite_splits import load_splits

SIZES = {
    "train": {"train": (102, 93)},
    "id_molecules": {"id_val": (33, 30), "id_test": (32, 30)},
    "ood_size": {"ood_val": (33, 33), "ood_test": (34, 34)},
    "ood_dipeptides": {"ood_val": (58, 54), "ood_test": (61, 55)},
    "ood_solvated": {"ood_val": (16, 7), "ood_test": (16, 7)},
}
"""Split -> role -> structures and molecules."""


@pytest.fixture(scope="module")
def every() -> dict[tuple[str, str], Split]:
    return {(split.name, split.role): split for split in splits()}


def test_the_suite_loads_it_and_shares_no_molecule(every: dict) -> None:
    suite, folder = load_suite("spice-sample")
    assert suite.models == ("gfn2-xtb", "mace-spice")
    assert suite.modes == ("baseline", "rr", "ttt")
    found = load_splits(suite, folder)
    check_leaks(found)
    sizes: dict[str, dict[str, tuple[int, int]]] = {}
    for split in found:
        size = len(split.rows), len(set(split.groups))
        sizes.setdefault(split.name, {})[split.role] = size
    assert sizes == SIZES
    assert len(found) == sum(map(len, SIZES.values()))
    trained = set(every["train", "train"].groups)
    for (name, role), split in every.items():
        assert role == "train" or not trained & set(split.groups), name


def test_canonical_smiles_are_not_shared_either(every: dict) -> None:
    rdkit = pytest.importorskip("rdkit.Chem")
    sides: dict[str, set[tuple[str, str]]] = {}
    for key, split in every.items():
        index = split.source.index
        for record in set(index.record[split.rows].tolist()):
            mapped = rdkit.MolFromSmiles(index.smiles[record])
            for atom in mapped.GetAtoms():
                atom.SetAtomMapNum(0)
            plain = rdkit.MolFromSmiles(rdkit.MolToSmiles(mapped))
            name = rdkit.MolToSmiles(plain, isomericSmiles=False)
            assert index.keys[record] == name
            sides.setdefault(molecule_of(name), set()).add(key)
    assert {len(keys) for keys in sides.values()} == {1}


def test_the_shifts_are_what_they_say(every: dict) -> None:
    train = every["train", "train"]
    forces = train.reference.forces
    reference = ShiftReference.of(train.structures, forces)
    assert reference.max_atoms == MAX_TRAINED_ATOMS
    for (name, role), split in every.items():
        if role == "train":
            continue
        scores = shift_scores(split.structures, reference, split.reference.forces)
        labels = scores.labels(reference)
        kind = split.shift.kind if split.shift else None
        share = np.mean([kind in one for one in labels]) if kind else 0.0
        assert share >= {
            "ood_size": 1.0,
            "ood_solvated": 1.0,
            "ood_dipeptides": 0.75,
        }.get(name, 0.0)
        if name == "id_molecules":
            assert np.mean([bool(one) for one in labels]) < 0.15


def test_labels_are_total_energies_and_balanced_forces(every: dict) -> None:
    for split in every.values():
        structures, labels = split.structures, split.reference
        assert labels.failures == {}
        assert labels.source == "wB97M-D3(BJ)/def2-TZVPPD, total energies"
        assert structures.charge.eq(0).all()
        assert structures.multiplicity.eq(1).all()
        net = torch.zeros(structures.n_systems, 3, dtype=torch.float64)
        net.index_add_(0, structures.system, labels.forces)
        assert net.abs().max() < 0.2
        atoms = torch.bincount(structures.numbers, minlength=9)
        assert atoms[1] > 0
        assert labels.energy.max() < -1000  # eV, of all electrons


def test_the_recipe_keeps_numbers_and_refuses_another_order(tmp_path: Path) -> None:
    pytest.importorskip("rdkit")
    from ase import Atoms

    from mlffbench.datasets.sets.spice_sample import SUBSETS
    from mlffbench.datasets.sets.spice_sample_recipe import main

    forces = np.array([[0.1, 0.2, 0.0], [-0.1, 0.0, 0.0], [0.0, -0.2, 0.0]])
    names = "[H:2][O:1][H:3]", "[H:2][S:1][H:3]", "[H:2][Se:1][H:3]", "[H:2][N:1]=[O:3]"
    for subset, smiles, symbols in zip(
        SUBSETS, names, ("OH2", "SH2", "SeH2", "NHO"), strict=True
    ):
        atoms = Atoms(symbols, positions=[[0, 0, 0], [0.96, 0, 0], [0, 0.96, 0]])
        atoms.arrays["REF_forces"] = forces
        atoms.info |= {"REF_energy": -2000.5, "smiles": smiles}
        write(tmp_path / f"{subset}.xyz", atoms, format="extxyz")
    out = tmp_path / "out.hdf5"
    assert main([str(tmp_path), str(out)]) == 0
    with h5py.File(out) as file:
        assert sorted(file) == ["N=O", "O", "S", "[SeH2]"]
        water = file["O"]
        np.testing.assert_allclose(
            -water["dft_total_gradient"][0] * HARTREE / BOHR, forces, atol=1e-6
        )
        assert water["dft_total_energy"][0] * HARTREE == pytest.approx(-2000.5)
        assert water["subset"][0] == b"DES370K monomers"
    atoms = Atoms("HOH", positions=[[0.96, 0, 0], [0, 0, 0], [0, 0.96, 0]])
    atoms.arrays["REF_forces"] = forces
    atoms.info |= {"REF_energy": -2000.5, "smiles": "[H:2][O:1][H:3]"}
    write(tmp_path / "pubchem.xyz", atoms, format="extxyz")
    assert main([str(tmp_path), str(out)]) == 1
    assert main([]) == 2


def test_a_solute_is_the_molecule() -> None:
    assert molecule_of("CC(=O)NC.O.O") == "CC(=O)NC"
