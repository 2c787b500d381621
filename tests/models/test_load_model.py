import importlib
import sys
from pathlib import Path

import pytest
import torch

from mlffbench.core.card import ALL_ELEMENTS
from mlffbench.core.errors import ModelError, UnknownNameError
from mlffbench.core.model_options import ModelOptions
from mlffbench.models.catalog import ARGUMENTS, MODELS
from mlffbench.models.load import card_of, load_model
from mlffbench.models.model_spec import ModelSpec, parse_spec

HEAD = """
import torch
from mlffbench.core.labels import Labels

class Flat:
    name = "flat"
    elements = frozenset({1, 8})
    def predict(self, structures):
        zero = torch.zeros(structures.n_systems)
        forces = torch.zeros_like(structures.positions)
        return Labels(energy=zero, forces=forces, source="flat")
"""


def write(folder: Path, code: str, name: str = "mine.py") -> Path:
    path = folder / name
    path.write_text(HEAD + code)
    return path


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("zero", ModelSpec("zero", "", is_file=False)),
        ("mace:a/b.model?head=x", ModelSpec("mace", "a/b.model?head=x", is_file=False)),
        ("ase:a.b:C?d=e:f", ModelSpec("ase", "a.b:C?d=e:f", is_file=False)),
        ("../x y/m.py:make", ModelSpec("../x y/m.py", "make", is_file=True)),
        ("m.py", ModelSpec("m.py", "", is_file=True)),
    ],
)
def test_a_model_as_typed(typed: str, expected: ModelSpec) -> None:
    assert parse_spec(typed) == expected


def test_a_misspelt_name() -> None:
    with pytest.raises(
        UnknownNameError, match=r"unknown model 'ani1x'\. Did you mean 'ani-1x'"
    ):
        load_model("ani1x", ModelOptions())


@pytest.mark.parametrize("name", sorted(ARGUMENTS))
def test_a_row_that_needs_an_argument(name: str) -> None:
    if MODELS.entry(name).missing():
        pytest.skip("extra is not installed")
    with pytest.raises(ModelError, match=f"needs to be told which: {name}:"):
        load_model(name, ModelOptions())


def test_a_row_that_takes_none() -> None:
    with pytest.raises(ModelError, match="'zero' takes nothing after a colon, got 'nil'"):
        load_model("zero:nil", ModelOptions())


def test_an_impossible_device_or_dtype() -> None:
    with pytest.raises(ModelError, match="device 'abacus'"):
        load_model("zero", ModelOptions(device="abacus"))
    with pytest.raises(ModelError, match="dtype 'int8'"):
        load_model("zero", ModelOptions(dtype="int8"))


def test_a_factory_of_the_user(tmp_path: Path) -> None:
    path = write(tmp_path, "def make():\n    return Flat()\n")
    model = load_model(f"{path}:make", ModelOptions())
    assert model.name == "flat"
    assert load_model(f"{path}:Flat", ModelOptions()).elements == {1, 8}
    card = card_of(model)
    assert card.elements == {1, 8}
    assert card.charges is None
    assert card.periodic


def test_a_model_with_a_card_speaks_for_itself() -> None:
    assert card_of(load_model("zero", ModelOptions())).elements == ALL_ELEMENTS


def test_a_factory_is_told_device_and_dtype(tmp_path: Path) -> None:
    code = """
def both(device, dtype=torch.float32):
    model = Flat()
    model.told = device, dtype
    return model
def anything(**keywords):
    model = Flat()
    model.told = keywords
    return model
"""
    path = write(tmp_path, code)
    cpu = torch.device("cpu")
    model = load_model(f"{path}:both", ModelOptions())
    assert model.told == (cpu, torch.float32)  # type: ignore[attr-defined]
    model = load_model(f"{path}:both", ModelOptions(dtype="float64"))
    assert model.told == (cpu, torch.float64)  # type: ignore[attr-defined]
    model = load_model(f"{path}:anything", ModelOptions())
    assert model.told == {"device": cpu}  # type: ignore[attr-defined]


def test_a_file_may_import_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "mlffbench_test_neighbour.py").write_text("NAME = 'from next door'\n")
    code = "import mlffbench_test_neighbour as n\nFlat.name = n.NAME\n"
    path = write(tmp_path, code)
    try:
        assert load_model(f"{path}:Flat", ModelOptions()).name == "from next door"
    finally:
        sys.path.remove(str(tmp_path))
        del sys.modules["mlffbench_test_neighbour"]


BAD = {
    "raises": ("def make():\n    raise KeyError('weights')\n", "make raised KeyError"),
    "exits": ("def make():\n    raise SystemExit(3)\n", "make raised SystemExit: 3"),
    "no force field": (
        "def make():\n    return torch.nn.Linear(1, 1)\n",
        "a Linear, which is no force field: it lacks .name, .elements, .predict",
    ),
    "no predict": (
        "class Half:\n    name = 'h'\n    elements = frozenset({1})\nmake = Half\n",
        "a Half, which is no force field: it lacks .predict;",
    ),
    "predict is data": (
        "def make():\n    f = Flat()\n    f.predict = 3\n    return f\n",
        "lacks a callable .predict",
    ),
    "no such element": (
        "def make():\n    f = Flat()\n    f.elements = frozenset({150})\n    return f\n",
        r"\.elements holds \[150\]; expected atomic numbers from 1 to 118",
    ),
    "elements": (
        "def make():\n    f = Flat()\n    f.elements = ['H']\n    return f\n",
        r"\.elements is \['H'\]; expected a frozenset of atomic numbers",
    ),
    "nothing": ("def make():\n    pass\n", "returned a NoneType"),
    "no such function": ("def maker():\n    return Flat()\n", "it has: Flat, maker"),
    "does not import": ("import nowhere_at_all\n", "cannot be imported: ModuleNotFound"),
    "does not parse": ("def make(:\n", "cannot be imported: SyntaxError"),
    "wants more": ("def make(size):\n    return Flat()\n", "make raised TypeError.*size"),
}


@pytest.mark.parametrize("kind", sorted(BAD))
def test_a_bad_factory_is_one_sentence(tmp_path: Path, kind: str) -> None:
    code, message = BAD[kind]
    path = write(tmp_path, code)
    with pytest.raises(ModelError, match=message) as caught:
        load_model(f"{path}:make", ModelOptions())
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("card", ["{'elements': 'H O'}", "None", "'H O'"])
def test_a_card_that_is_none(tmp_path: Path, card: str) -> None:
    path = write(tmp_path, f"Flat.card = {card}\n")
    with pytest.raises(
        ModelError, match=r"Flat whose \.card is a .*; expected a"
    ) as caught:
        load_model(f"{path}:Flat", ModelOptions())
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(
        ModelError, match=r"there is no file .*gone\.py; expected path/to"
    ):
        load_model(f"{tmp_path}/gone.py:make", ModelOptions())
    path = write(tmp_path, "")
    with pytest.raises(ModelError, match="say which function"):
        load_model(str(path), ModelOptions())


def test_another_package_adds_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = """
from mlffbench.core.registry import Entry
ROW = Entry("mlffbench_test_plugin:make", "from outside")
def make(options):
    model = Flat()
    model.told = options.argument
    return model
WRONG = 3
"""
    write(tmp_path, code, "mlffbench_test_plugin.py")
    info = tmp_path / "mlffbench_test_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: mlffbench-test-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[mlffbench.models]\nrow = mlffbench_test_plugin:ROW\n"
        "bare = mlffbench_test_plugin:make\nwrong = mlffbench_test_plugin:WRONG\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    assert {"row", "bare"} <= set(MODELS.names())
    for name in ("row", "bare"):
        model = load_model(f"{name}:x=1", ModelOptions())
        assert model.told == "x=1"  # type: ignore[attr-defined]
    with pytest.raises(ModelError, match="'wrong' is registered as a int"):
        load_model("wrong", ModelOptions())


def test_memory_is_collected_while_a_factory_of_the_user_works(tmp_path: Path) -> None:
    path = write(tmp_path, "import gc\nclass Fitted(Flat):\n    on = gc.isenabled()\n")
    model: object = load_model(f"{path}:Fitted", ModelOptions())
    assert model.on  # type: ignore[attr-defined]
