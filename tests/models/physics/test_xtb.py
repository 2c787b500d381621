import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from ase.build import molecule
from tblite.interface import Calculator

from mlffbench.contract.contracts import check_forcefield
from mlffbench.core.errors import ModelError
from mlffbench.core.model_options import ModelOptions
from mlffbench.core.structures import Structures
from mlffbench.core.units import BOHR, HARTREE
from mlffbench.models.catalog import DEFAULT_PRIOR, is_prior, prior_rows
from mlffbench.models.physics.xtb import WORKER_DIED, XtbForceField, load_gfn1, load_gfn2

SAME_CODE = 1e-9
"""In eV and eV/Å: tblite against itself."""


@pytest.fixture(scope="module")
def gfn2() -> Iterator[XtbForceField]:
    model = load_gfn2(ModelOptions())
    yield model
    model.close()


def of(*names: str, **keywords: Any) -> Structures:
    many = [molecule(name) for name in names]
    return Structures.build(
        [torch.tensor(atoms.positions) for atoms in many],
        [torch.tensor(atoms.numbers) for atoms in many],
        ids=[f"{index} {name}" for index, name in enumerate(names)],
        **keywords,
    )


def plain(method: str, structures: Structures, **keywords: Any) -> tuple[float, Any]:
    """Return energy in eV and forces in eV/Å of one structure, straight from tblite."""
    calculator = Calculator(
        method,
        structures.numbers.numpy(),
        structures.positions.numpy() / BOHR,
        **keywords,
    )
    calculator.set("verbosity", 0)
    result = calculator.singlepoint()
    forces = -result.get("gradient") * HARTREE / BOHR
    return float(result.get("energy")) * HARTREE, torch.tensor(forces)


def test_the_catalogue_knows_it_as_a_prior() -> None:
    assert DEFAULT_PRIOR in prior_rows()
    assert {"gfn1-xtb", "gfn2-xtb"} <= prior_rows().keys()
    assert is_prior("sgdml:some.npz")
    assert not is_prior("mini-mace")


@pytest.mark.parametrize("load", [load_gfn2, load_gfn1])
def test_it_is_tblite(load: Any) -> None:
    model = load(ModelOptions(workers=1))
    batch = of("CH3CH2OH", "SiH4", "H2O")
    labels = model.predict(batch)
    method = model.card.level_of_theory
    for index in range(batch.n_systems):
        energy, forces = plain(method, batch.select([index]))
        assert labels.energy[index].item() == pytest.approx(energy, abs=SAME_CODE)
        found = labels.forces[batch.system == index]
        torch.testing.assert_close(found, forces, atol=SAME_CODE, rtol=0)
    assert labels.source == f"{method}, total energies"
    model.close()


def test_stored_prior_labels_of_the_embedded_set(gfn2: XtbForceField) -> None:
    positions, numbers, energies, gradients, ids = [], [], [], [], []
    multiplicity = []
    with h5py.File(str(files("mlffbench.datasets.sets.mini") / "mini.hdf5")) as file:
        for name in list(file)[::12]:
            record = file[name]
            positions.append(torch.tensor(record["conformations"][0]).double() * BOHR)
            numbers.append(torch.tensor(record["atomic_numbers"][()]).long())
            energies.append(float(record["gfn2_total_energy"][0]) * HARTREE)
            gradients.append(torch.tensor(record["gfn2_total_gradient"][0]).double())
            ids.append(name)
            multiplicity.append(1 + int(numbers[-1].sum()) % 2)
    batch = Structures.build(positions, numbers, ids=ids, multiplicity=multiplicity)
    labels = gfn2.predict(batch)
    assert set(multiplicity) == {1, 2}
    expected = torch.tensor(energies, dtype=torch.float64)
    torch.testing.assert_close(labels.energy, expected, atol=1e-4, rtol=0)
    forces = -torch.cat(gradients) * HARTREE / BOHR
    torch.testing.assert_close(labels.forces, forces, atol=1e-3, rtol=0)


def test_charge_and_unpaired_electrons(gfn2: XtbForceField) -> None:
    batch = of("OH", "OH", "OH", charge=[0, -1, 1], multiplicity=[2, 1, 3])
    labels = gfn2.predict(batch)
    for index, (charge, unpaired) in enumerate([(0, 1), (-1, 0), (1, 2)]):
        one = batch.select([index])
        energy, _ = plain("GFN2-xTB", one, charge=charge, uhf=unpaired)
        assert labels.energy[index].item() == pytest.approx(energy, abs=SAME_CODE)


def test_a_crystal(gfn2: XtbForceField) -> None:
    cell = 1.785 * (torch.ones(3, 3) - torch.eye(3)).double()
    diamond = Structures.build(
        [torch.tensor([[0.0, 0, 0], [0.95, 0.85, 0.89]]).double()],
        [torch.tensor([6, 6])],
        ids=["diamond"],
        cell=cell[None],
        pbc=torch.ones(1, 3, dtype=torch.bool),
    )
    labels = gfn2.predict(diamond)
    energy, forces = plain(
        "GFN2-xTB", diamond, lattice=cell.numpy() / BOHR, periodic=np.ones(3, dtype=bool)
    )
    assert labels.energy.item() == pytest.approx(energy, abs=SAME_CODE)
    torch.testing.assert_close(labels.forces, forces, atol=SAME_CODE, rtol=0)
    slab = replace(diamond, pbc=torch.tensor([[True, True, False]]))
    assert "for a crystal" in gfn2.predict(slab).failures[0]


def test_neither_workers_nor_neighbours_matter(gfn2: XtbForceField) -> None:
    batch = of("CH3CH2OH", "H2O", "HCN", "C6H6", "NH3")
    expected = gfn2.predict(batch)
    alone = load_gfn2(ModelOptions(workers=1))
    for found in (alone.predict(batch), gfn2.predict(batch)):
        assert torch.equal(found.energy, expected.energy)
        assert torch.equal(found.forces, expected.forces)
    last = alone.predict(batch.select([4]))
    assert torch.equal(last.forces, expected.forces[batch.system == 4])
    alone.close()


def test_bad_structures_fail_alone(gfn2: XtbForceField) -> None:
    carbon_chain = torch.zeros(10, 3, dtype=torch.float64)
    carbon_chain[:, 2] = 3.0 * torch.arange(10)
    bad = Structures.build(
        [
            torch.tensor([[0.0, 0, 0], [0, 0, 0.3]]).double(),
            torch.tensor([[0.0, 0, 0], [0, 0, 2.0]]).double(),
            torch.zeros(1, 3).double(),
            carbon_chain,
        ],
        [torch.tensor(numbers) for numbers in ([6, 6], [87, 1], [1], [6] * 10)],
        ids=["collapsed", "francium", "h", "chain"],
    )
    good = of("CH4", "H2O")
    labels = gfn2.predict(Structures.concatenate([bad, good]))
    assert labels.failures == {
        0: "collapsed: C–C at 0.30 Å",
        1: "elements not supported: Fr",
        2: "1 electrons cannot have multiplicity 1",
        3: "GFN2-xTB: SCF not converged in 250 cycles",
    }
    assert torch.equal(labels.energy[4:], gfn2.predict(good).energy)


class Deadly(str):
    """A SMILES that ends the process which unpickles it."""

    def __reduce__(self) -> Any:
        return os._exit, (9,)


def test_a_dying_worker_takes_one_structure(gfn2: XtbForceField) -> None:
    batch = of("CH4", "H2O", "NH3", "HCN")
    expected = gfn2.predict(batch)
    smiles = ["", "", Deadly("N"), ""]
    labels = gfn2.predict(replace(batch, smiles=tuple(smiles)))
    assert labels.failures == {2: WORKER_DIED}
    kept = [0, 1, 3]
    assert torch.equal(labels.energy[kept], expected.energy[kept])
    assert torch.equal(gfn2.predict(batch).forces, expected.forces)


def test_a_pool_that_was_killed_starts_again(gfn2: XtbForceField) -> None:
    batch = of("CH4", "H2O", "NH3", "HCN")
    expected = gfn2.predict(batch)
    pool: Any = gfn2._started()
    for process in list(pool._processes.values()):
        os.kill(process.pid, signal.SIGKILL)
    labels = gfn2.predict(batch)
    assert labels.failures == {}
    assert torch.equal(labels.energy, expected.energy)


def test_workers_are_light(gfn2: XtbForceField) -> None:
    pool = gfn2._started()
    assert (
        pool.submit(eval, "__import__('os').environ['OMP_NUM_THREADS']").result() == "1"
    )
    loaded = pool.submit(eval, "sorted(__import__('sys').modules)").result()
    assert "tblite.interface" in loaded
    assert "torch" not in loaded


def test_nothing_to_do(gfn2: XtbForceField) -> None:
    labels = gfn2.predict(of("CH4").select([]))
    assert labels.energy.shape == (0,)
    assert labels.failures == {}


def test_workers_must_be_positive() -> None:
    with pytest.raises(ModelError, match="with 0 workers: expected at least 1"):
        load_gfn2(ModelOptions(workers=0))


def test_it_keeps_every_promise(gfn2: XtbForceField) -> None:
    promises = check_forcefield(gfn2)
    assert [(p.name, p.detail) for p in promises if p.status == "broken"] == []


SCRIPT = """
import time
import torch
from mlffbench.core.model_options import ModelOptions
from mlffbench.core.structures import Structures
from mlffbench.models.physics.xtb import load_gfn2

def work():
    model = load_gfn2(ModelOptions(workers=2))
    atom = Structures.build([torch.zeros(1, 3)], [torch.tensor([2])], ids=["he"])
    model.predict(atom)
    print([p.pid for p in model._pool._processes.values()], flush=True)
"""


@pytest.mark.slow
def test_an_unguarded_script_is_told(tmp_path: Path) -> None:
    script = tmp_path / "unguarded.py"
    script.write_text(SCRIPT + "\nwork()\n")
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "put what it does under if __name__ == '__main__':" in done.stderr


@pytest.mark.slow
def test_workers_do_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    script = tmp_path / "killed.py"
    script.write_text(
        SCRIPT + "\nif __name__ == '__main__':\n    work()\n    time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        workers = [
            int(word) for word in parent.stdout.readline().strip("[]\n").split(",")
        ]
        parent.kill()
    assert workers
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in workers):
        assert time.monotonic() < deadline
        time.sleep(0.1)
