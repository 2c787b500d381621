"""The same run has the same inputs, as far as they can be seen."""

import logging
import sys
from pathlib import Path

import pytest

from mlffbench.core.errors import ModelError
from mlffbench.core.model_options import ModelOptions
from mlffbench.models.load import load_model
from mlffbench.run.loop import Done, run_campaign
from mlffbench.run.model_files import file_hashes, say_reused
from mlffbench.run.request import Request, resolve

MODEL = """
from pathlib import Path
import torch
from beside_{name} import SCALE
from mlffbench.core.labels import Labels

HERE = Path(__file__).parent
{hook}

class Own:
    name, elements = "own", frozenset(range(1, 20))

    def __init__(self):
        self.energy = SCALE * float((HERE / "weights.txt").read_text())

    def predict(self, structures):
        energy = torch.full((structures.n_systems,), self.energy).double()
        return Labels(
            energy=energy, forces=torch.zeros_like(structures.positions), source="own"
        )
"""
CALCULATOR = """
from pathlib import Path
from ase.calculators.lj import LennardJones

class Own(LennardJones):
    def __init__(self, model_paths):
        super().__init__(epsilon=float(Path(model_paths).read_text()))
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("sys.path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights.txt").write_text("1.0")
    return tmp_path


def own_model(home: Path, name: str, hook: str = "") -> str:
    (home / f"beside_{name}.py").write_text("SCALE = 2.0\n")
    path = home / f"model_{name}.py"
    path.write_text(MODEL.format(name=name, hook=hook))
    return f"{path}:Own"


def run(suite: Path, model: str, out: Path) -> Done:
    request = Request(suite=str(suite), models=(model,), out=out)
    return run_campaign(resolve(request))


def test_replaced_weights_of_a_python_file_are_other_results(
    home: Path, suite_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = own_model(home, "replaced")
    assert run(suite_file, model, home / "runs").faults == []
    assert run(suite_file, model, home / "runs").faults == []
    assert "the inputs of this model cannot be verified" in caplog.text
    (home / "weights.txt").write_text("3.0")
    (fault,) = run(suite_file, model, home / "runs").faults
    assert "files: weights.txt is another" in fault


def test_replaced_weights_of_a_calculator_are_other_results(
    home: Path, suite_file: Path
) -> None:
    (home / "calculator_of_files.py").write_text(CALCULATOR)
    model = "ase:calculator_of_files:Own?model_paths=weights.txt"
    assert run(suite_file, model, home / "runs").faults == []
    (home / "weights.txt").write_text("3.0")
    (fault,) = run(suite_file, model, home / "runs").faults
    assert "files: weights.txt is another" in fault


def test_a_neighbour_and_its_neighbours_count(home: Path) -> None:
    model = own_model(home, "neighbour")
    (home / "beside_neighbour.py").write_text("from deeper_module import SCALE\n")
    (home / "deeper_module.py").write_text("SCALE = 2.0\n")
    load_model(model, ModelOptions())
    names = {"model_neighbour.py", "beside_neighbour.py", "deeper_module.py"}
    assert set(file_hashes(model)) == names | {"weights.txt"}


def test_the_hook_is_heard(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    (home / "more").mkdir()
    (home / "more" / "late.txt").write_text("read at the first prediction")
    for name, hook in (("list", 'files = ["more"]'), ("call", CALL)):
        model = own_model(home, name, hook)
        loaded = load_model(model, ModelOptions())
        assert "late.txt" in file_hashes(model)
        say_reused(model, "baseline", loaded)
    assert caplog.records == []
    with caplog.at_level(logging.WARNING):
        say_reused("zero", "baseline", load_model("zero", ModelOptions()))
    assert caplog.records == []


CALL = "def files():\n    return [HERE / 'more' / 'late.txt']\n"


def test_a_hook_of_what_is_not_there_is_one_sentence(home: Path) -> None:
    model = own_model(home, "absent", 'files = ["nowhere.pt"]')
    load_model(model, ModelOptions())
    with pytest.raises(ModelError, match=r"depends on .*nowhere\.pt, which is not there"):
        file_hashes(model)


def test_an_installed_calculator_counts_with_its_version() -> None:
    spec = "ase:ase.calculators.lj:LennardJones"
    load_model(spec, ModelOptions())
    assert set(file_hashes(spec)) == {"package ase"}
