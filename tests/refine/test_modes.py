from pathlib import Path

import pytest

from mlffbench.core.errors import BenchError, UnknownNameError
from mlffbench.refine.modes import load_refiner, mode_name

CODE = '''
from mlffbench.refine.refiner import Refined


class Good:
    """Nothing is done."""

    name = "my-mode"
    unit = "structure"
    sees = "nothing"

    def __init__(self, *, share=0.5):
        self.share = share

    def check(self, model): ...

    def settings(self, model):
        return {"share": self.share}

    def refine(self, model, structures):
        return Refined(model=model)


class Numbered(Good):
    name = 3


class Folder(Good):
    name = "../up"


class Taken(Good):
    name = "ttt"


class Atoms(Good):
    unit = "atom"


class Raises(Good):
    def __init__(self):
        raise KeyError("hello")


class Renamed(Good):
    def __init__(self):
        self.name = "other"


class Half:
    name = "half"
    unit = "structure"
'''

SENTENCES = {
    "Numbered": "has the name 3; expected a class attribute such as name = 'my-mode'",
    "Folder": "has the name '../up'; expected a class attribute",
    "Taken": "has the name 'ttt', which is a mode of the catalogue; give it another",
    "Atoms": "has the unit 'atom'; expected one of structure, group, split",
    "Raises": "raised KeyError: 'hello' (mine.py, line 42)",
    "Renamed": "a refiner of the name 'other'; expected 'my-mode'",
    "Half": "makes a Half, which is no refiner: it lacks .sees, .check(), .settings(), "
    ".refine();",
    "Missing": "has no function or class 'Missing'; it has: Good, Numbered,",
}


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(CODE)
    return path


def test_a_mode_of_a_file_is_called_as_its_class_says(mine: Path) -> None:
    assert mode_name(f"{mine}:Good") == "my-mode"
    refiner = load_refiner(f"{mine}:Good", {"share": 0.25})
    assert refiner.name == "my-mode"
    assert refiner.settings(None) == {"share": 0.25}  # type: ignore[arg-type]


def test_a_mode_of_the_catalogue_is_called_as_it_is_typed() -> None:
    assert mode_name("rr+ttt") == "rr+ttt"
    assert load_refiner("baseline", {}).name == "baseline"
    with pytest.raises(UnknownNameError, match="Did you mean 'ttt'"):
        mode_name("tttt")


@pytest.mark.parametrize("name", sorted(SENTENCES))
def test_what_is_no_mode_is_one_sentence(mine: Path, name: str) -> None:
    with pytest.raises(BenchError) as caught:
        load_refiner(f"{mine}:{name}", {})
    assert SENTENCES[name] in str(caught.value)
    assert str(mine) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_setting_that_there_is_not(mine: Path) -> None:
    with pytest.raises(BenchError, match=r"does not take the settings \{'stepz': 3\}"):
        load_refiner("ttt", {"stepz": 3})
    with pytest.raises(BenchError, match="unexpected keyword argument 'shar'"):
        load_refiner(f"{mine}:Good", {"shar": 1})
