"""NequIP and Allegro at random weights; without their packages, skipped."""

from pathlib import Path
from typing import Any

import pytest
import torch
from family_checks import broken, check_cutoff, check_trunk, with_head

from mlffbench.core.errors import ModelError
from mlffbench.core.model_options import ModelOptions
from mlffbench.models import cards
from mlffbench.models.load import load_model

pytest.importorskip("nequip")
pytest.importorskip("allegro")
pytestmark = pytest.mark.filterwarnings("ignore")  # of torch.jit, inside e3nn
DOUBLE = ModelOptions(dtype="float64")
WIDTHS = (
    "scalar_embed_mlp_hidden_layers_width",
    "allegro_mlp_hidden_layers_width",
    "readout_mlp_hidden_layers_width",
)


def network(kind: str, *, names: tuple[str, ...] = ("H", "C", "O")) -> Any:
    from nequip.utils.global_state import set_global_state

    set_global_state(allow_tf32=False)
    shared: dict[str, Any] = {
        "seed": 0,
        "model_dtype": "float32",
        "r_max": 4.0,
        "type_names": list(names),
        "avg_num_neighbors": 5.0,
        "per_type_energy_shifts": dict.fromkeys(names, -1000.0),
        "per_type_energy_scales": 1.0,
        "l_max": 1,
        "num_layers": 2,
    }
    if kind == "nequip":
        from nequip.model import NequIPGNNModel

        made = NequIPGNNModel(num_features=8, radial_mlp_width=8, **shared)
    else:
        from allegro.model import AllegroModel

        embed = {"_target_": "allegro.nn.TwoBodyBesselScalarEmbed", "num_bessels": 8}
        widths = dict.fromkeys(WIDTHS, 8)
        made = AllegroModel(
            num_scalar_features=8,
            num_tensor_features=4,
            radial_chemical_embed=embed,
            **widths,
            **shared,
        )
    torch.set_default_dtype(torch.float32)  # nequip sets float64
    return made


def small(kind: str) -> Any:
    from mlffbench.models.pretrained.families.nequip_allegro import wrap

    return wrap("small", network(kind), cards.NEQUIP, DOUBLE)


@pytest.mark.parametrize(
    ("kind", "weight"),
    [
        ("nequip", "layers.layer0_convnet.conv.linear_1.weight"),
        ("allegro", "layers.scalar_embed_mlp.mlp_module.mlp.0.weight"),
    ],
)
def test_it_keeps_every_promise(kind: str, weight: str) -> None:
    model = small(kind)
    assert broken(model) == []
    assert broken(with_head(model)) == []
    check_trunk(model, weight)
    check_cutoff(model)


def test_it_says_what_the_network_itself_says() -> None:
    from ase.build import molecule
    from family_checks import of
    from nequip.data import AtomicDataDict, compute_neighborlist_, from_ase
    from nequip.data.transforms import ChemicalSpeciesToAtomTypeMapper

    whole = network("nequip").eval()
    data = compute_neighborlist_(from_ase(molecule("CH3CH2OH")), r_max=4.0)
    mapped = ChemicalSpeciesToAtomTypeMapper(model_type_names=["H", "C", "O"])(data)
    theirs = whole(mapped)
    ours = small("nequip").predict(of("CH3CH2OH"))
    energy = float(theirs[AtomicDataDict.TOTAL_ENERGY_KEY].detach())
    assert float(ours.energy) == pytest.approx(energy, abs=1e-4)
    slopes = theirs[AtomicDataDict.FORCE_KEY].detach().double()
    torch.testing.assert_close(ours.forces, slopes, atol=1e-5, rtol=0)


def test_what_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.ckpt"
    with pytest.raises(ModelError, match="there is no file"):
        load_model(f"nequip:{path}", DOUBLE)
    path.write_bytes(b"no network")
    with pytest.raises(ModelError, match="repeat the command with --trust"):
        load_model(f"nequip:{path}", DOUBLE)
    with pytest.raises(ModelError, match=r"cannot read .*x\.ckpt"):
        load_model(f"nequip:{path}", ModelOptions(trust=True))
    from mlffbench.models.pretrained.families.nequip_allegro import wrap

    strange = network("nequip", names=("H", "water"))
    with pytest.raises(ModelError, match="atom types that are no elements: water"):
        wrap("small", strange, cards.NEQUIP, DOUBLE)
