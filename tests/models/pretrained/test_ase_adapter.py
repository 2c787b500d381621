import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase_structures import of

from mlffbench.contract.contracts import check_forcefield
from mlffbench.core.assembly import NOT_FINITE
from mlffbench.core.errors import ModelError
from mlffbench.core.model_options import ModelOptions
from mlffbench.models.load import load_model
from mlffbench.models.pretrained.ase import parse_value

TBLITE = "ase:tblite.ase:TBLite?method=GFN2-xTB"


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("-1", -1),
        ("1e-3", 1e-3),
        ("True", True),
        ("false", False),
        ("none", None),
        ("GFN2-xTB", "GFN2-xTB"),
        ("", ""),
        ("1.2.3", "1.2.3"),
    ],
)
def test_values(text: str, value: object) -> None:
    found = parse_value(text)
    assert found == value
    assert type(found) is type(value)


def test_a_calculator_with_values() -> None:
    model = load_model(
        "ase:ase.calculators.lj:LennardJones?sigma=2.5&epsilon=1e-2&smooth=true",
        ModelOptions(),
    )
    atoms = molecule("CH4")
    labels = model.predict(of(atoms, molecule("H2O")))
    atoms.calc = LennardJones(sigma=2.5, epsilon=0.01, smooth=True)
    assert labels.energy[0].item() == pytest.approx(atoms.get_potential_energy())
    expected = torch.tensor(atoms.get_forces())
    torch.testing.assert_close(labels.forces[:5], expected, atol=1e-12, rtol=1e-12)


def test_a_crystal() -> None:
    copper = bulk("Cu", cubic=True)
    copper.rattle(0.1, seed=1)
    labels = load_model("ase:ase.calculators.emt:EMT", ModelOptions()).predict(of(copper))
    copper.calc = EMT()
    assert labels.energy.item() == pytest.approx(copper.get_potential_energy())
    torch.testing.assert_close(labels.forces, torch.tensor(copper.get_forces()))


def test_charge_and_spin_reach_tblite() -> None:
    from tblite.ase import TBLite

    model = load_model(TBLITE, ModelOptions())
    hydroxyl = molecule("OH")
    cases = [(0, 2), (-1, 1), (1, 3)]
    batch = of(
        *[hydroxyl] * 3, charge=[c for c, _ in cases], multiplicity=[m for _, m in cases]
    )
    labels = model.predict(batch)
    for index, (charge, multiplicity) in enumerate(cases):
        atoms = molecule("OH")
        atoms.calc = TBLite(charge=charge, multiplicity=multiplicity, verbosity=0)
        expected = atoms.get_potential_energy()
        assert labels.energy[index].item() == pytest.approx(expected, abs=1e-7)
    assert len(set(labels.energy.tolist())) == 3


def test_a_charge_fixed_by_the_user_stays() -> None:
    model: Any = load_model("ase:ase_calculators:Picky?charge=5", ModelOptions())
    model.predict(of(molecule("H2O"), charge=[-1], multiplicity=[1]))
    charge, info = model._calculator.seen
    assert (charge, info["charge"], info["spin"]) == (5, -1, 1)
    model = load_model("ase:ase_calculators:Picky", ModelOptions())
    model.predict(of(molecule("H2O"), charge=[-1], multiplicity=[3]))
    charge, info = model._calculator.seen
    assert (charge, info["charge"], info["spin"]) == (-1, -1, 3)


STATES = [(0, 1), (-1, 1), (2, 3), (0, 2)]
WAYS = [
    "InfoKeys", "TotalKeys", "MultKeys", "MultiplicityKeys", "Initial", "Constructor",
    "Setters", "Parameters", "SpinParameter", "UnpairedParameter", "Duck", "DUCK",
]  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_charge_and_spin_arrive_every_way(way: str) -> None:
    model = load_model(f"ase:ase_calculators:{way}", ModelOptions())
    batch = of(
        *[molecule("CH3CH2OH")] * len(STATES),
        charge=[charge for charge, _ in STATES],
        multiplicity=[multiplicity for _, multiplicity in STATES],
    )
    expected = [100.0 * charge + multiplicity for charge, multiplicity in STATES]
    assert model.predict(batch).energy.tolist() == expected


def test_reset_does_not_undo_what_the_user_gave() -> None:
    model = load_model("ase:ase_calculators:Constructor?charge=-1", ModelOptions())
    labels = model.predict(of(*[molecule("H2O")] * 2, multiplicity=[1, 3]))
    assert labels.energy.tolist() == [-99.0, -97.0]


SHAPES = {
    "energy=one": "",
    "energy=one-one": "",
    "energy=tensor&forces=tensor": "",
    "forces=batch": "",
    "energy=atoms": r"the energy has shape \(3,\), expected one number",
    "energy=complex": "returned complex128 values",
    "forces=flat": r"the forces have shape \(9,\), expected \(3, 3\)",
    "forces=first": r"the forces have shape \(1, 3\), expected \(3, 3\)",
    "forces=number": r"the forces have shape \(\), expected \(3, 3\)",
}


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_shapes_are_understood_or_refused(shape: str) -> None:
    model = load_model(f"ase:ase_calculators:Shaped?{shape}", ModelOptions())
    labels = model.predict(of(molecule("H2O")))
    if SHAPES[shape]:
        assert re.search(SHAPES[shape], labels.failures[0])
        assert labels.forces.isnan().all()
        return
    assert labels.energy.tolist() == [2.5]
    assert labels.forces.flatten().tolist() == list(range(9))


def test_a_calculator_cannot_change_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = load_model("ase:ase_calculators:Restless", ModelOptions())
    labels = model.predict(of(molecule("H2O"), molecule("HF"), molecule("NH3")))
    assert labels.failures == {1: "SystemExit: 3"}
    assert Path.cwd() == tmp_path
    assert torch.get_default_dtype() == torch.float32
    assert torch.is_grad_enabled()


def test_a_calculator_of_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    text = "from ase.calculators.lj import LennardJones\nclass Own(LennardJones): pass\n"
    (tmp_path / "calculator_of_this_folder.py").write_text(text)
    model = load_model("ase:calculator_of_this_folder:Own?rc=4", ModelOptions())
    assert model.predict(of(molecule("CH4"))).failures == {}


def test_a_function_that_says_what_it_returns() -> None:
    spec = "ase:ase_calculators:annotated?stiffness=4.0"
    model: Any = load_model(spec, ModelOptions())
    assert model._calculator.parameters.stiffness == 4.0


def test_results_do_not_depend_on_what_came_before(
    capfd: pytest.CaptureFixture[str],
) -> None:
    model = load_model(TBLITE, ModelOptions())
    first, second = molecule("CH3OH"), molecule("CH3OH")
    second.rattle(0.05, seed=3)
    together = model.predict(of(first, second))
    alone = model.predict(of(second))
    assert together.energy[1] == alone.energy[0]
    assert torch.equal(together.forces[len(first) :], alone.forces)
    assert capfd.readouterr() == ("", "")  # nor does tblite print its tables


def test_one_bad_structure_fails_alone() -> None:
    model = load_model("ase:ase_calculators:Picky?stiffness=2.0", ModelOptions())
    names = ["H2O", "HF", "HCl", "CH3Cl", "NH3"]
    bromine = Atoms("HBr", positions=[[0, 0, 0], [0, 0, 1.4]])
    labels = model.predict(of(*(molecule(name) for name in names), bromine))
    assert labels.failures == {
        1: "CalculatorSetupError: no fluorine,",
        2: "ZeroDivisionError: no reason given",
        3: "ZeroDivisionError: no reason given",
        5: NOT_FINITE,
    }
    assert torch.isfinite(labels.energy).tolist() == [True] + [False] * 3 + [True, False]


def test_an_scf_that_fails_is_a_failure() -> None:
    on_top = Atoms("H2", positions=[[0, 0, 0], [0, 0, 0]])
    labels = load_model(TBLITE, ModelOptions()).predict(of(on_top, molecule("H2")))
    assert list(labels.failures) == [0]
    assert "Too close interatomic distances" in labels.failures[0]


def test_device_and_dtype_are_passed_on() -> None:
    model: Any = load_model("ase:ase_calculators:Placed", ModelOptions())
    assert model._calculator.place == ("cpu", "float32")
    model = load_model("ase:ase_calculators:Placed", ModelOptions(dtype="float64"))
    assert model._calculator.place == ("cpu", "float64")


BAD = {
    "ase:ase.calculators.lj": "expected ase:package.module:Class",
    "ase:nowhere_at_all:Class": "cannot import 'nowhere_at_all': ModuleNotFoundError",
    "ase:ase.calculators.lj:LennardJoness": "has no 'LennardJoness'",
    "ase:ase.calculators.lj:LennardJones?sigma": "cannot read 'sigma'",
    "ase:ase.calculators.lj:LennardJones?rc=x": "cannot be made with .*'rc': 'x'",
    "ase:ase_calculators:refuse": "is a function that is no .* it was not called",
    "ase:ase_calculators:other": "is a function that is no ASE calculator",
    "ase:ase_calculators:NUMBER": "is a int that is no ASE calculator",
    "ase:os:system?command=true": "it was not called",
    "ase:ase_calculators:FreeEnergy": "gives no energy, only free_energy, forces",
}


@pytest.mark.parametrize("spec", sorted(BAD))
def test_a_bad_name_is_one_sentence(spec: str) -> None:
    with pytest.raises(ModelError, match=BAD[spec]):
        load_model(spec, ModelOptions())


def test_a_parameter_that_may_be_ignored_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    load_model("ase:ase_calculators:Picky?stiffness=2&label=x", ModelOptions())
    assert caplog.text == ""
    load_model("ase:ase_calculators:Picky?stifness=2", ModelOptions())
    assert "Picky lists no parameter stifness and may ignore it" in caplog.text
    assert "charge, stiffness" in caplog.text


def test_it_keeps_every_promise() -> None:
    promises = check_forcefield(load_model(TBLITE, ModelOptions()))
    assert [(p.name, p.detail) for p in promises if p.status == "broken"] == []
