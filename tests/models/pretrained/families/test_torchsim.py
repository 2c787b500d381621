"""Models of TorchSim; without the package, skipped."""

from typing import Any

import pytest
import torch
from family_checks import broken, of

from mlffbench.core.errors import ModelError
from mlffbench.core.graph import radius_graph
from mlffbench.core.model_options import ModelOptions
from mlffbench.core.structures import Structures
from mlffbench.models.load import load_model
from mlffbench.models.model_spec import runs_code

pytest.importorskip("torch_sim")
from torch_sim.models.interface import ModelInterface

pytestmark = pytest.mark.filterwarnings("ignore")
HERE = f"torchsim:{__name__}"
DOUBLE = ModelOptions(dtype="float64")


class Springs(ModelInterface):
    """Every pair closer than 3 Å, smoothly."""

    def __init__(self, device: Any, dtype: Any, strength: float = 1.0) -> None:
        super().__init__()
        self._device, self._dtype, self.strength = device, dtype, strength

    def forward(self, state: Any, **_: Any) -> dict[str, torch.Tensor]:
        n_systems = int(state.system_idx.max()) + 1
        pbc = torch.full((n_systems, 3), bool(state.pbc))
        here = Structures(
            positions=state.positions.detach().clone().requires_grad_(),
            numbers=state.atomic_numbers,
            system=state.system_idx,
            cell=state.row_vector_cell,
            pbc=pbc,
            charge=torch.zeros(n_systems, dtype=torch.int64),
            multiplicity=torch.ones(n_systems, dtype=torch.int64),
            ids=("",) * n_systems,
            group=("",) * n_systems,
            smiles=("",) * n_systems,
        )
        with torch.enable_grad():
            graph = radius_graph(here, 3.0)
            pairs = self.strength * (3.0 - graph.vectors(here).norm(dim=1)) ** 3
            energy = pairs.new_zeros(n_systems)
            energy = energy.index_add(0, here.system[graph.edges[0]], pairs)
            slope = torch.autograd.grad(
                energy.sum(), here.positions, materialize_grads=True
            )[0]
        return {"energy": energy.detach(), "forces": -slope}


class Silent(Springs):
    """Leaves forces out."""

    def forward(self, state: Any, **given: Any) -> dict[str, torch.Tensor]:
        found = super().forward(state, **given)
        return {"energy": found["energy"]}


def test_it_keeps_every_promise() -> None:
    assert broken(load_model(f"{HERE}:Springs?strength=0.1", DOUBLE)) == []
    one, two = (
        load_model(f"{HERE}:Springs?strength={n}", DOUBLE).predict(of("H2O")).energy
        for n in (1, 2)
    )
    torch.testing.assert_close(2 * one, two)


def test_what_is_refused() -> None:
    assert runs_code(f"{HERE}:Springs")
    with pytest.raises(ModelError, match="is no class of TorchSim's ModelInterface"):
        load_model("torchsim:collections:Counter", DOUBLE)
    with pytest.raises(ModelError, match="cannot import 'nowhere:Thing'"):
        load_model("torchsim:nowhere:Thing", DOUBLE)
    with pytest.raises(ModelError, match="cannot be made: TypeError"):
        load_model(f"{HERE}:Springs?colour=red", DOUBLE)
    with pytest.raises(ModelError, match="returns no forces"):
        load_model(f"{HERE}:Silent", DOUBLE).predict(of("H2O"))
