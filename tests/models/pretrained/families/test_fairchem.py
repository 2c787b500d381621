"""UMA and eSEN at random weights; without fairchem, skipped."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from family_checks import broken, check_cutoff, check_trunk, of, with_head

from mlffbench.core.errors import ModelError
from mlffbench.core.model_options import ModelOptions
from mlffbench.models.load import load_model

pytest.importorskip("fairchem.core")
pytestmark = pytest.mark.filterwarnings("ignore")  # of fairchem and torch
TRUSTED = ModelOptions(dtype="float64", trust=True)
BACKBONE: dict[str, Any] = {
    **{"sphere_channels": 8, "hidden_channels": 8, "edge_channels": 8},
    **{"lmax": 2, "mmax": 2, "num_layers": 2, "num_distance_basis": 8},
    **{"max_num_elements": 20, "cutoff": 5.0, "otf_graph": True},
    **{"direct_forces": False, "regress_forces": True, "regress_stress": True},
    **{"cs_emb_grad": True, "ff_type": "spectral"},
}
UMA = "fairchem.core.models.uma."
TASKS = ("omat", "omol")


def task_of(dataset: str, what: str) -> dict[str, Any]:
    """Return the configuration of a task, as checkpoints store it."""
    unit = "fairchem.core.units.mlip_unit.mlip_unit."
    normal = "fairchem.core.modules.normalization."
    made: dict[str, Any] = {
        "_target_": unit + "Task",
        "name": f"{dataset}_{what}",
        "property": what,
        "level": "system" if what == "energy" else "atom",
        "datasets": [dataset],
        "out_spec": {"_target_": unit + "OutputSpec", "dim": [1], "dtype": "float32"},
        "normalizer": {
            "_target_": normal + "normalizer.Normalizer",
            "mean": 0.0,
            "rmsd": 1.5,
        },
    }
    if what == "energy":
        alone = [0.0] * 20
        alone[1], alone[6], alone[8] = -13.0, -1000.0, -2000.0
        made["element_references"] = {
            "_target_": normal + "element_references.ElementReferences",
            "element_references": {"_target_": "torch.DoubleTensor", "_args_": [alone]},
        }
    return made


def checkpoint(path: Path, kind: str, **changes: Any) -> Path:
    """Write an inference checkpoint of a small network at random weights."""
    from fairchem.core.units.mlip_unit.api.inference import MLIPInferenceCheckpoint
    from hydra.utils import instantiate

    backbone = BACKBONE | {"dataset_mapping": {name: name for name in TASKS}} | changes
    backbone["model"] = UMA + "escn_md.eSCNMDBackbone"
    head = {"module": UMA + "escn_moe.DatasetSpecificSingleHeadWrapper"}
    inside = {"head_cls": UMA + "escn_md.MLP_EFS_Head"}
    config = {"_target_": "fairchem.core.models.base.HydraModel"}
    inside |= {"head_kwargs": {"wrap_property": False}}
    heads = {"all": head | inside | {"dataset_names": list(TASKS)}}
    if kind == "uma":
        backbone |= {"model": UMA + "escn_moe.eSCNMDMoeBackbone", "num_experts": 4}
        config["model_id"] = "UMA-1.2"
    elif kind == "direct":
        backbone |= {"direct_forces": True, "regress_stress": False}
        heads["all"]["head_cls"] = UMA + "escn_md.MLP_Energy_Head"
        forces = {"head_cls": UMA + "escn_md.Linear_Force_Head", "head_kwargs": {}}
        heads["forces"] = heads["all"] | forces
    config |= {"backbone": backbone, "heads": heads, "pass_through_head_outputs": True}
    torch.manual_seed(0)
    model = torch.optim.swa_utils.AveragedModel(instantiate(config))
    tasks = [task_of(name, what) for name in TASKS for what in ("energy", "forces")]
    state = model.state_dict()
    plain = {key.removeprefix("module."): one for key, one in state.items()}
    torch.save(MLIPInferenceCheckpoint(config, plain, state, tasks), path)
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("fairchem")
    kinds = ("esen", "uma", "direct")
    return {kind: checkpoint(folder / f"{kind}.pt", kind) for kind in kinds}


@pytest.mark.parametrize("kind", ["esen", "uma"])
def test_it_keeps_every_promise(files: dict[str, Path], kind: str) -> None:
    model = load_model(f"fairchem:{files[kind]}?task=omol", TRUSTED)
    assert broken(model) == []
    assert with_head(model).predict(of("H2O")).energy.isfinite()
    check_trunk(model, "net.backbone.sphere_embedding.weight")
    check_cutoff(model)
    assert model.elements == {1, 6, 8}
    assert len(model.weights_sha256) == 64


@pytest.mark.parametrize("kind", ["esen", "uma", "direct"])
def test_it_says_what_its_own_calculator_says(files: dict[str, Path], kind: str) -> None:
    import ase_structures
    from ase.build import bulk, molecule
    from fairchem.core import FAIRChemCalculator
    from fairchem.core.units.mlip_unit import load_predict_unit
    from fairchem.core.units.mlip_unit.api.inference import InferenceSettings

    settings = InferenceSettings(base_precision_dtype=torch.float64)
    unit = load_predict_unit(files[kind], settings, device="cpu")
    crystal = bulk("C", cubic=True)
    crystal.rattle(0.1, seed=0)
    ion = molecule("CH3CH2OH")
    ion.info |= {"charge": 1, "spin": 2}
    for task, atoms in (("omol", ion), ("omat", crystal)):
        ours = load_model(f"fairchem:{files[kind]}?task={task}", TRUSTED)
        atoms.calc = FAIRChemCalculator(unit, task_name=task)
        here = ase_structures.of(atoms)
        if task == "omol":
            here = of("CH3CH2OH", charge=[1], multiplicity=[2])
        told = ours.predict(here)
        assert float(told.energy) == pytest.approx(atoms.get_potential_energy(), abs=1e-4)
        theirs = torch.tensor(atoms.get_forces()).double()
        torch.testing.assert_close(told.forces, theirs, atol=1e-5, rtol=0)
        assert ours.card.conservative == (kind != "direct")


def test_charge_and_spin_are_told_for_molecules_only(files: dict[str, Path]) -> None:
    model = load_model(f"fairchem:{files['esen']}?task=omol", TRUSTED)
    assert model.card.charges is None
    for changes in ({"charge": [1]}, {"multiplicity": [3]}):
        other = model.predict(of("CH4", **changes))
        assert float(other.energy) != pytest.approx(
            float(model.predict(of("CH4")).energy), abs=1e-6
        )
    of_solids = load_model(f"fairchem:{files['esen']}?task=omat", TRUSTED)
    assert of_solids.card.charges == {0}


def test_electrons_that_a_table_does_not_reach(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "table.pt", "esen", chg_spin_emb_type="rand_emb")
    model = load_model(f"fairchem:{path}?task=omol", TRUSTED)
    here = of(*["CH4"] * 4, charge=[-100, 100, 102, 0], multiplicity=[1, 1, 1, 102])
    here = replace(here, ids=tuple("abcd"))
    told = model.predict(here)
    assert told.energy[:2].isfinite().all()
    assert told.failures == {
        2: "charge +102 not supported",
        3: "multiplicity 102 not supported, at most 100",
    }


def test_files_and_words_that_do_not_fit(files: dict[str, Path], tmp_path: Path) -> None:
    path = files["esen"]
    with pytest.raises(ModelError, match="repeat the command with --trust"):
        load_model(f"fairchem:{path}", ModelOptions())
    with pytest.raises(ModelError, match="no single task: it has omat, omol"):
        load_model(f"fairchem:{path}", TRUSTED)
    with pytest.raises(ModelError, match="no task 'x'"):
        load_model(f"fairchem:{path}?task=x", TRUSTED)
    with pytest.raises(ModelError, match="got x too"):
        load_model(f"fairchem:{path}?x=1", TRUSTED)
    with pytest.raises(ModelError, match="there is no file"):
        load_model("fairchem:nowhere.pt", TRUSTED)
    other = tmp_path / "x.pt"
    torch.save({"a": 1}, other)
    with pytest.raises(ModelError, match=r"x\.pt: it is no inference checkpoint"):
        load_model(f"fairchem:{other}", TRUSTED)
    stored = torch.load(files["uma"], weights_only=False)
    stored.model_config["backbone"]["surprise"] = 1
    torch.save(stored, other)
    with pytest.raises(ModelError, match="unexpected keyword argument 'surprise'"):
        load_model(f"fairchem:{other}?task=omol", TRUSTED)
    del stored.model_config["backbone"]["surprise"]
    stored.model_config["backbone"]["max_neighbors"] = 30
    torch.save(stored, other)
    with pytest.raises(ModelError, match="sees 30 neighbours of an atom at most"):
        load_model(f"fairchem:{other}?task=omol", TRUSTED)
    no_forces = checkpoint(tmp_path / "direct.pt", "direct")
    direct = torch.load(no_forces, weights_only=False)
    direct.tasks_config = [
        one for one in direct.tasks_config if one["property"] == "energy"
    ]
    torch.save(direct, no_forces)
    with pytest.raises(ModelError, match="a head for forces and no task for them"):
        load_model(f"fairchem:{no_forces}?task=omol", TRUSTED)
    del stored.model_config["model_id"]
    torch.save(stored, other)
    with pytest.raises(ModelError, match="has no model_id"):
        load_model(f"fairchem:{other}?task=omol", TRUSTED)


def test_copies_with_other_radii_do_not_disturb_each_other(
    files: dict[str, Path],
) -> None:
    model = load_model(f"fairchem:{files['esen']}?task=omol", TRUSTED)
    moved, cut = (model.with_cutoff(2.0, scope) for scope in model.cutoff_scopes)
    here = of("CH3CH2OH")
    first = [one.predict(here).forces for one in (model, moved, cut)]
    again = [one.predict(here).forces for one in (cut, moved, model)]
    assert all(map(torch.equal, first, reversed(again)))
    assert not torch.equal(first[1], first[2])


def test_a_batch_of_crystals_molecules_and_lone_atoms(files: dict[str, Path]) -> None:
    import ase_structures
    from ase import Atoms
    from ase.build import bulk, molecule

    from mlffbench.core.structures import Structures

    model = load_model(f"fairchem:{files['uma']}?task=omol", TRUSTED)
    crystal = bulk("C")  # its cell is smaller than the cutoff
    crystal.rattle(0.05, seed=1)
    alone = Atoms("H", [[1.0, 2.0, 3.0]])
    many = [ase_structures.of(one) for one in (crystal, molecule("H2O"), alone)]
    named = [replace(one, ids=(str(n),), group=(str(n),)) for n, one in enumerate(many)]
    together = model.predict(Structures.concatenate(named)).energy
    single = torch.cat([model.predict(one).energy for one in many])
    torch.testing.assert_close(together, single, atol=1e-8, rtol=0)
    assert model.predict(many[0].select([])).energy.shape == (0,)
