from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import h5py
import pytest
import torch

from mlffbench.contract.contracts import check_forcefield
from mlffbench.core.model_options import ModelOptions
from mlffbench.core.structures import Structures
from mlffbench.core.units import BOHR, KCAL_PER_MOL
from mlffbench.models.catalog import MODELS

Chem = pytest.importorskip("rdkit.Chem")
from rdkit.Chem import AllChem, rdForceFieldHelpers  # noqa: E402 - after importorskip

NAMES = ["mmff94", "uff"]
STEP = 1e-4
"""Of the finite difference, in Å."""


@pytest.fixture(params=NAMES)
def model(request: pytest.FixtureRequest) -> Any:
    return MODELS.load(request.param)(ModelOptions())


def mapped(smiles: str, seed: int = 7) -> Any:
    """Return an rdkit molecule with hydrogens, a geometry, and map numbers 1, 2, …"""
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert AllChem.EmbedMolecule(mol, randomSeed=seed) == 0
    for atom in mol.GetAtoms():
        atom.SetAtomMapNum(atom.GetIdx() + 1)
    return mol


def of(*molecules: Any, order: Sequence[int] | None = None) -> Structures:
    positions = [torch.tensor(m.GetConformer().GetPositions()) for m in molecules]
    return Structures.build(
        positions,
        [torch.tensor([a.GetAtomicNum() for a in m.GetAtoms()]) for m in molecules],
        ids=[str(index) for index in range(len(molecules))],
        charge=[Chem.GetFormalCharge(m) for m in molecules],
        smiles=[Chem.MolToSmiles(m) for m in molecules],
    )


def plain(name: str, mol: Any) -> tuple[float, torch.Tensor]:
    """Return energy in eV and forces in eV/Å straight from rdkit."""
    if name == "mmff94":
        properties = rdForceFieldHelpers.MMFFGetMoleculeProperties(mol)
        field = rdForceFieldHelpers.MMFFGetMoleculeForceField(mol, properties)
    else:
        field = rdForceFieldHelpers.UFFGetMoleculeForceField(mol, vdwThresh=1000.0)
    gradient = torch.tensor(field.CalcGrad(), dtype=torch.float64).reshape(-1, 3)
    return field.CalcEnergy() * KCAL_PER_MOL, -gradient * KCAL_PER_MOL


def embedded(name: str) -> Structures:
    """Return the conformers of a molecule of the embedded set."""
    with h5py.File(str(files("mlffbench.datasets.sets.mini") / "mini.hdf5")) as file:
        record = file[name]
        conformations = torch.tensor(record["conformations"][()]).double() * BOHR
        numbers = torch.tensor(record["atomic_numbers"][()]).long()
        smiles = record["smiles"][0].decode()
    n = len(conformations)
    return Structures.build(
        list(conformations),
        [numbers] * n,
        ids=[f"{name}/{index}" for index in range(n)],
        smiles=[smiles] * n,
    )


def test_it_is_rdkit(model: Any) -> None:
    many = [mapped(s) for s in ("CCO", "C[NH3+]", "c1ccncc1", "CC(=O)[O-]", "S")]
    labels = model.predict(of(*many))
    assert labels.failures == {}
    expected = [plain(model.name, mol) for mol in many]
    energies = torch.tensor([energy for energy, _ in expected], dtype=torch.float64)
    torch.testing.assert_close(labels.energy, energies, atol=1e-10, rtol=1e-10)
    forces = torch.cat([forces for _, forces in expected])
    torch.testing.assert_close(labels.forces, forces, atol=1e-10, rtol=1e-10)


def test_forces_are_minus_the_slope(model: Any) -> None:
    structures = of(mapped("CC(=O)N"))
    forces = model.predict(structures).forces
    moves = [(atom, axis) for atom in (0, 2, 5) for axis in range(3)]
    for atom, axis in moves:
        energy = []
        for sign in (1, -1):
            positions = structures.positions.clone()
            positions[atom, axis] += sign * STEP
            moved = Structures.build(
                [positions], [structures.numbers], ids=["m"], smiles=structures.smiles
            )
            energy.append(model.predict(moved).energy.item())
        slope = (energy[0] - energy[1]) / (2 * STEP)
        assert -slope == pytest.approx(forces[atom, axis].item(), abs=1e-5)


def test_bonds_are_found_without_smiles(model: Any) -> None:
    many = [mapped(s) for s in ("CCO", "CC(=O)N", "C[NH3+]", "O")]
    known = of(*many)
    unknown = Structures.build(
        [known.positions[known.system == i] for i in range(4)],
        [known.numbers[known.system == i] for i in range(4)],
        ids=known.ids,
        charge=known.charge.tolist(),
    )
    expected, found = model.predict(known), model.predict(unknown)
    assert found.failures == {}
    torch.testing.assert_close(found.energy, expected.energy)
    torch.testing.assert_close(found.forces, expected.forces)


def test_the_map_says_which_atom_is_which(model: Any) -> None:
    known = of(mapped("CC=O"))
    order = torch.tensor([3, 0, 6, 2, 5, 1, 4])
    smiles = known.smiles[0]
    for new, old in enumerate(order.tolist()):
        smiles = smiles.replace(f":{old + 1}]", f":{new + 101}]")
    for new in range(len(order)):
        smiles = smiles.replace(f":{new + 101}]", f":{new + 1}]")
    shuffled = Structures.build(
        [known.positions[order]], [known.numbers[order]], ids=["s"], smiles=[smiles]
    )
    expected = model.predict(known)
    found = model.predict(shuffled)
    torch.testing.assert_close(found.energy, expected.energy)
    torch.testing.assert_close(found.forces, expected.forces[order])


def test_the_molecules_of_a_dimer_feel_each_other(model: Any) -> None:
    dimer = embedded("C#N.O")
    apart = dimer.positions.clone()
    apart.view(dimer.n_systems, -1, 3)[:, [0, 1, 3]] += 50.0
    far = Structures.build(
        list(apart.view(dimer.n_systems, -1, 3)),
        [dimer.numbers[:6]] * dimer.n_systems,
        ids=dimer.ids,
        smiles=dimer.smiles,
    )
    near, lonely = model.predict(dimer), model.predict(far)
    assert near.failures == {}
    assert (near.energy - lonely.energy).abs().min() > 1e-3


def test_conformers_of_one_molecule_on_one_footing(model: Any) -> None:
    labels = model.predict(embedded("CCO"))
    assert labels.failures == {}
    assert 0 < labels.energy.max() - labels.energy.min() < 3.0


def test_what_has_no_bonds_or_parameters_fails_alone() -> None:
    model = MODELS.load("mmff94")(ModelOptions())
    good = of(mapped("CCO"))
    positions, numbers = good.positions, good.numbers
    hydrogen = of(mapped("[H][H]"))
    smiles = good.smiles[0]
    bad = {
        "another molecule": (positions, numbers, of(mapped("CCC")).smiles[0], 0),
        "a gap in the map": (positions, numbers, smiles.replace(":9]", ":99]"), 0),
        "not a SMILES": (positions, numbers, "[C:1](", 0),
        "another charge": (positions, numbers, smiles, 1),
        "no bonds": (positions, numbers, "", 3),
        "no parameters": (hydrogen.positions, hydrogen.numbers, hydrogen.smiles[0], 0),
    }
    batch = Structures.build(
        [positions, *(entry[0] for entry in bad.values())],
        [numbers, *(entry[1] for entry in bad.values())],
        ids=["good", *bad],
        smiles=[smiles, *(entry[2] for entry in bad.values())],
        charge=[0, *(entry[3] for entry in bad.values())],
    )
    labels = model.predict(batch)
    said = {batch.ids[index]: reason for index, reason in labels.failures.items()}
    assert said.keys() == bad.keys()
    assert "does not name the atoms of the structure" in said["another molecule"]
    assert "does not number its atoms from 1 without gaps" in said["a gap in the map"]
    assert "rdkit cannot read the SMILES" in said["not a SMILES"]
    assert "has charge +0, the structure +1" in said["another charge"]
    assert "rdkit finds no bonds for charge +3" in said["no bonds"]
    assert "mmff94 has no parameters" in said["no parameters"]
    assert torch.equal(labels.forces[: len(numbers)], model.predict(good).forces)


def test_boron_is_not_mmff94s() -> None:
    borane = embedded(next(name for name in boron_names()))
    labels = MODELS.load("mmff94")(ModelOptions()).predict(borane)
    assert set(labels.failures.values()) == {"elements not supported: B"}
    assert MODELS.load("uff")(ModelOptions()).predict(borane).failures == {}


def boron_names() -> list[str]:
    with h5py.File(str(files("mlffbench.datasets.sets.mini") / "mini.hdf5")) as file:
        return [name for name in file if 5 in file[name]["atomic_numbers"][()]]


def test_it_keeps_every_promise(model: Any) -> None:
    promises = check_forcefield(model)
    assert [(p.name, p.detail) for p in promises if p.status == "broken"] == []
