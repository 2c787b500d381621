import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase_structures import of

from mlffbench.contract.contracts import check_forcefield
from mlffbench.core.model_options import ModelOptions
from mlffbench.models.catalog import MODELS


def test_it_is_ase() -> None:
    gold = bulk("Au", cubic=True)
    gold.symbols[0] = "Cu"
    gold.rattle(0.1, seed=5)
    cluster = Atoms("Ni2Pd", positions=[[0, 0, 0], [2.3, 0, 0], [1.1, 2.2, 0]])
    model = MODELS.load("emt")(ModelOptions())
    labels = model.predict(of(gold, cluster, molecule("H2O")))
    assert labels.failures == {2: "elements not supported: H O"}
    start = 0
    for index, atoms in enumerate((gold, cluster)):
        atoms.calc = EMT()
        expected = torch.tensor(atoms.get_potential_energy())
        torch.testing.assert_close(labels.energy[index], expected, check_dtype=False)
        found = labels.forces[start : start + len(atoms)]
        torch.testing.assert_close(found, torch.tensor(atoms.get_forces()))
        start += len(atoms)


def test_it_keeps_every_promise() -> None:
    promises = check_forcefield(MODELS.load("emt")(ModelOptions()))
    assert [(p.name, p.detail) for p in promises if p.status == "broken"] == []
