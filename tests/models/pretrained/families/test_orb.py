"""ORB's networks at random weights; without the package, skipped."""

from pathlib import Path
from typing import Any

import pytest
import torch
from family_checks import broken, check_cutoff, check_trunk, of, with_head

from mlffbench.core.errors import ModelError
from mlffbench.core.model_options import ModelOptions
from mlffbench.models import cards
from mlffbench.models.load import load_model

pytest.importorskip("orb_models")
pytestmark = pytest.mark.filterwarnings("ignore")  # of torch.jit, inside orb-models
DOUBLE = ModelOptions(dtype="float64")
TURNS = {"rotation"}
"""ORB learns invariance from data; at random weights it has none."""


def regressor(kind: str, **changes: Any) -> Any:
    from orb_models.forcefield import pretrained
    from orb_models.forcefield.atomic_system import SystemConfig

    torch.manual_seed(0)
    build = getattr(pretrained, f"orb_v3_{kind}_architecture")
    return build(
        system_config=SystemConfig(radius=6.0, max_num_neighbors=120),
        has_charge_spin_cond=True,
        has_stress=False,
        device="cpu",
        **changes,
    )


def small(kind: str) -> Any:
    from mlffbench.models.pretrained.families.orb import OrbNetwork, wrap

    few = {"latent_dim": 16, "base_mlp_hidden_dim": 16, "head_mlp_hidden_dim": 16}
    network = OrbNetwork(regressor(kind, num_message_passing_steps=2, **few))
    return wrap("small", network, cards.ORB_OMOL, DOUBLE)


def test_it_keeps_every_promise_but_the_one_it_learns() -> None:
    for model in (small("conservative"), with_head(small("conservative"))):
        assert {name for name, _ in broken(model)} <= TURNS


def test_trunk_and_cutoff() -> None:
    model = small("conservative")
    check_trunk(model, "regressor.model.atom_emb.embeddings.weight")
    check_cutoff(model)


def test_charge_and_spin_reach_it() -> None:
    model = small("conservative")
    energies = [
        float(model.predict(of("H2O", charge=[charge], multiplicity=[spin])).energy)
        for charge, spin in ((0, 1), (1, 2), (0, 3))
    ]
    assert len({round(energy, 6) for energy in energies}) == 3


def test_a_published_file_opens_as_its_own_package_opens_it(tmp_path: Path) -> None:
    from ase.build import molecule
    from orb_models.forcefield.atomic_system import SystemConfig, ase_atoms_to_atom_graphs

    whole = regressor("conservative")
    path = tmp_path / "orb.ckpt"
    torch.save(whole.state_dict(), path)
    model: Any = load_model(f"orb:orb-v3-conservative-omol?weights={path}", DOUBLE)
    assert torch.get_default_dtype() == torch.float32
    atoms = molecule("CH3CH2OH")
    atoms.info |= {"charge": 1, "spin": 2}
    graph = ase_atoms_to_atom_graphs(atoms, SystemConfig(6.0, 120), wrap=False)
    theirs = whole.eval().predict(graph)
    ours = model.predict(of("CH3CH2OH", charge=[1], multiplicity=[2]))
    assert float(ours.energy) == pytest.approx(float(theirs["energy"]), abs=1e-3)
    slopes = theirs["grad_forces"].detach().double()
    torch.testing.assert_close(ours.forces, slopes, atol=1e-4, rtol=0)
    assert len(model.weights_sha256) == 64


def test_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no network 'orb-v3-conservative-20-"):
        load_model("orb:orb-v3-conservative-20-omat", DOUBLE)
    with pytest.raises(ModelError, match="there is no file"):
        load_model(f"orb:orb-v3-direct-omol?weights={tmp_path / 'x'}", DOUBLE)
    path = tmp_path / "x.ckpt"
    torch.save({}, path)
    with pytest.raises(ModelError, match=r"cannot read .*x\.ckpt as orb-v3"):
        load_model(f"orb:orb-v3-direct-omol?weights={path}", DOUBLE)


def test_forces_of_a_head_are_no_gradient() -> None:
    from dataclasses import replace

    from mlffbench.models.pretrained.families.orb import OrbNetwork, wrap

    few = {"latent_dim": 16, "base_mlp_hidden_dim": 16, "head_mlp_hidden_dim": 16}
    network = OrbNetwork(regressor("direct", num_message_passing_steps=2, **few))
    card = replace(cards.ORB_OMOL, conservative=False)
    model = wrap("small", network, card, DOUBLE)
    assert {name for name, _ in broken(model)} <= TURNS
