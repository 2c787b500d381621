"""PET at random weights and from its package's own checkpoints; without it, skipped."""

import copy
import gzip
from pathlib import Path
from typing import Any

import pytest
import torch
from family_checks import broken, check_cutoff, check_trunk, of, with_head

from mlffbench.core.errors import ModelError
from mlffbench.core.model_options import ModelOptions
from mlffbench.models import cards
from mlffbench.models.load import load_model

metatrain = pytest.importorskip("metatrain")
pytestmark = pytest.mark.filterwarnings("ignore")  # of metatensor and metatrain
DOUBLE = ModelOptions(dtype="float64")
TRUSTED = ModelOptions(dtype="float64", trust=True)
SMALL = {
    **dict.fromkeys(("d_pet", "d_head", "d_node", "d_feedforward"), 8),
    **{"num_heads": 2, "num_attention_layers": 1, "num_gnn_layers": 2},
}


def network(
    *names: str,
    unit: str = "eV",
    length: str = "angstrom",
    kinds: tuple[int, ...] = (1, 6, 8),
    beside: dict[str, Any] | None = None,
    **changes: Any,
) -> Any:
    """Return a PET of energies of some names, whose lone atoms have thousands of eV."""
    from metatensor.torch import save_buffer
    from metatrain.pet import PET
    from metatrain.utils.architectures import get_default_hypers
    from metatrain.utils.data import DatasetInfo
    from metatrain.utils.data.target_info import get_energy_target_info

    hypers = copy.deepcopy(get_default_hypers("pet")["model"]) | SMALL | changes
    form = {"quantity": "energy", "unit": unit}
    targets = {name: get_energy_target_info(name, form) for name in names or ("energy",)}
    targets |= beside or {}
    info = DatasetInfo(length_unit=length, atomic_types=list(kinds), targets=targets)
    torch.manual_seed(0)
    made = PET(hypers, info).eval().double()
    composition = made.additive_models[0]
    for name, weights in composition.model.weights.items():
        if len(kinds) == 3 and weights.block().values.shape == (3, 1):
            weights.block().values[:] = torch.tensor([[-13.0], [-1000.0], [-2000.0]])
        setattr(composition, f"{name}_composition_buffer", save_buffer(weights))
    composition.sync_tensor_maps()
    return made


def small(**changes: Any) -> Any:
    from mlffbench.models.pretrained.families.pet import wrap

    return wrap("small", network(**changes), cards.PET, DOUBLE)


def saved(pet: Any, path: Path) -> Path:
    torch.save(pet.get_checkpoint() | {"epoch": 0, "best_epoch": 0}, path)
    return path


def test_it_keeps_every_promise_but_rotations() -> None:
    model = small()
    assert {name for name, _ in broken(model)} <= {"rotation", "rotations"}
    check_trunk(model, "pet.backend.gnn_layers.0.edge_embedder.weight")
    check_cutoff(model)
    assert with_head(model).predict(of("H2O")).energy.isfinite()
    assert model.card.charges == {0}


@pytest.mark.parametrize("changes", [{}, {"featurizer_type": "residual", "zbl": True}])
def test_it_says_what_its_own_calculator_says(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    import ase_structures
    from ase.build import bulk, molecule
    from metatomic_ase import MetatomicCalculator

    pet = network(unit="kJ/mol", **changes)
    path = saved(pet, tmp_path / "pet.ckpt")
    ours = load_model(f"pet:{path}", TRUSTED)
    calculator = MetatomicCalculator(pet.export(), device="cpu")
    crystal = bulk("C", cubic=True)
    crystal.rattle(0.1, seed=0)
    for atoms in (molecule("CH3CH2OH"), crystal):
        atoms.calc = calculator
        told = ours.predict(ase_structures.of(atoms))
        assert float(told.energy) == pytest.approx(atoms.get_potential_energy(), abs=1e-6)
        theirs = torch.tensor(atoms.get_forces()).double()
        torch.testing.assert_close(told.forces, theirs, atol=1e-7, rtol=0)


def test_totals_of_thousands_keep_their_digits_in_float32() -> None:
    from mlffbench.models.pretrained.families.pet import wrap

    single = wrap("small", network(), cards.PET, ModelOptions(dtype="float32"))
    energies = [float(one.predict(of("C2H6")).energy) for one in (single, small())]
    assert energies[0] == pytest.approx(energies[1], abs=1e-5)


def test_charge_and_spin_are_told() -> None:
    from mlffbench.models.pretrained.families.pet import wrap

    pet = network(system_conditioning=True, max_charge=2)
    gate = pet.backend.system_conditioning.project[-1]  # zero in a network that is new
    torch.nn.init.ones_(gate.weight)
    model = wrap("small", pet, cards.PET, DOUBLE)
    assert model.card.charges == {-2, -1, 0, 1, 2}
    neutral, cation = (
        float(model.predict(of("CH4", charge=[charge], multiplicity=[1 + charge])).energy)
        for charge in (0, 1)
    )
    assert neutral != pytest.approx(cation, abs=1e-3)
    here = of("CH4", "H2O", charge=[0, 0], multiplicity=[1, 11])
    told = model.predict(here)  # one that is not known stops no others
    assert float(told.energy[0]) == neutral
    assert told.failures == {1: "multiplicity 11 not supported, at most 10"}
    with pytest.raises(ModelError, match="cannot treat 'H2O': multiplicity 11"):
        model.embed(here)


def test_what_is_no_element_and_what_is_no_energy_of_a_structure() -> None:
    from metatrain.utils.data.target_info import get_generic_target_info

    model = small(kinds=(0, 1, 6, 8, 119, 150))
    assert model.elements == {1, 6, 8}
    assert model.predict(of("CH4")).forces.isfinite().all()
    three = {
        "quantity": "energy",
        "unit": "eV",
        "type": "scalar",
        "num_subtargets": 3,
        "sample_kind": "system",
        "per_atom": False,
    }
    pushes = {
        "quantity": "force",
        "unit": "eV/A",
        "type": {"cartesian": {"rank": 1}},
        "num_subtargets": 1,
        "sample_kind": "atom",
        "per_atom": True,
    }
    beside = {
        name: get_generic_target_info(name, form)
        for name, form in (("mtt::three", three), ("non_conservative_forces", pushes))
    }
    told = small(beside=beside).predict(of("CH4")).energy
    assert float(told) == pytest.approx(-1052, abs=10)


@pytest.mark.parametrize("version", ["v1_trainer-v1", "v8_trainer-v7", "v16_trainer-v15"])
def test_checkpoints_of_every_age(version: str, tmp_path: Path) -> None:
    kept = Path(metatrain.__file__).parent / "pet" / "tests" / "checkpoints"
    path = tmp_path / "old.ckpt"
    path.write_bytes(gzip.decompress((kept / f"model-{version}.ckpt.gz").read_bytes()))
    with pytest.raises(ModelError, match="does not state its length"):
        load_model(f"pet:{path}", TRUSTED)
    model = load_model(f"pet:{path}?length=angstrom", TRUSTED)
    assert model.predict(of("CH4")).forces.isfinite().all()
    assert len(model.weights_sha256) == 64


def test_files_and_words_that_do_not_fit(tmp_path: Path) -> None:
    path = saved(network("energy", "energy/b"), tmp_path / "two.ckpt")
    with pytest.raises(ModelError, match="repeat the command with --trust"):
        load_model(f"pet:{path}", DOUBLE)
    with pytest.raises(ModelError, match="no single energy: it has energy, energy/b"):
        load_model(f"pet:{path}", TRUSTED)
    assert load_model(f"pet:{path}?target=energy/b", TRUSTED).cutoff == 4.5
    with pytest.raises(ModelError, match="no energy 'x'"):
        load_model(f"pet:{path}?target=x", TRUSTED)
    with pytest.raises(ModelError, match="got x too"):
        load_model(f"pet:{path}?x=1", TRUSTED)
    with pytest.raises(ModelError, match="there is no file"):
        load_model("pet:nowhere.ckpt", TRUSTED)
    broken_file = tmp_path / "x.ckpt"
    broken_file.write_text("no checkpoint")
    with pytest.raises(ModelError, match=r"cannot read .*x\.ckpt"):
        load_model(f"pet:{broken_file}", TRUSTED)
    torch.save([1], broken_file)
    with pytest.raises(ModelError, match="it is no checkpoint of metatrain"):
        load_model(f"pet:{broken_file}", TRUSTED)
    stored = torch.load(path, weights_only=False)
    stored["model_data"]["model_hypers"]["long_range"]["enable"] = True
    torch.save(stored, broken_file)
    with pytest.raises(ModelError, match="has a long-range part"):
        load_model(f"pet:{broken_file}", TRUSTED)
    exported = tmp_path / "x.pt"
    network().export().save(str(exported))
    with pytest.raises(ModelError, match="exported model, whose weights cannot be moved"):
        load_model(f"pet:{exported}", TRUSTED)
    assert small(length="Angstrom").cutoff == 4.5
    with pytest.raises(ModelError, match="takes lengths in nm"):
        small(length="nm")
    with pytest.raises(ModelError, match="does not state its unit"):
        small(unit="")
    with pytest.raises(ModelError, match="which is no unit of energy"):
        small(unit="angstrom")
    with pytest.raises(ModelError, match="states unit eV, not kJ/mol; leave unit out"):
        load_model(f"pet:{path}?target=energy&unit=kJ/mol", TRUSTED)
