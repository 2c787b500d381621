"""SevenNet with the weights its package carries; without the package, skipped."""

from pathlib import Path
from typing import Any

import pytest
import torch
from family_checks import broken, check_cutoff, check_trunk, of, with_head

from mlffbench.core.errors import ModelError
from mlffbench.core.model_options import ModelOptions
from mlffbench.models.load import load_model

sevenn = pytest.importorskip("sevenn")
pytestmark = pytest.mark.filterwarnings("ignore")  # of torch.jit, inside e3nn
DOUBLE = ModelOptions(dtype="float64")


@pytest.fixture(scope="module")
def model() -> Any:
    return load_model("7net-0", DOUBLE)


def test_it_keeps_every_promise(model: Any) -> None:
    assert broken(model) == []
    assert broken(with_head(model)) == []
    assert (len(model.elements), model.cutoff) == (89, 5.0)
    assert len(model.weights_sha256) == 64


def test_it_says_what_its_own_calculator_says(model: Any) -> None:
    import ase_structures
    from ase.build import bulk, molecule
    from sevenn.calculator import SevenNetCalculator

    calculator = SevenNetCalculator("7net-0", device="cpu")
    atoms = molecule("CH3CH2OH")
    atoms.calc = calculator
    ours = model.predict(of("CH3CH2OH"))
    assert float(ours.energy) == pytest.approx(atoms.get_potential_energy(), abs=1e-4)
    theirs = torch.tensor(atoms.get_forces()).double()
    torch.testing.assert_close(ours.forces, theirs, atol=1e-4, rtol=0)
    crystal = bulk("Cu", cubic=True)
    crystal.rattle(0.1, seed=0)
    crystal.calc = calculator
    ours = model.predict(ase_structures.of(crystal))
    assert float(ours.energy) == pytest.approx(crystal.get_potential_energy(), abs=1e-4)


def test_trunk_and_cutoff(model: Any) -> None:
    check_trunk(model, "layers.1_self_interaction_1.linear.weight")
    check_cutoff(model)


def test_files_that_are_no_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    torch.save({"config": {}}, path)
    with pytest.raises(ModelError, match=r"cannot read .*x\.pth"):
        load_model(f"sevennet:{path}", DOUBLE)
    known = Path(sevenn.__file__).parent / "pretrained_potentials" / "SevenNet_MF_0"
    path = next(known.glob("*.pth"))
    with pytest.raises(ModelError, match="needs a modality"):
        load_model(f"sevennet:{path}", DOUBLE)
    with pytest.raises(ModelError, match="knows \\?modal=NAME, not x"):
        load_model(f"sevennet:{path}?x=1", DOUBLE)
