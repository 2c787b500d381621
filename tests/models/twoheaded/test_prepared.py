"""Batches that are prepared for many looks, whole and in pieces."""

import pytest
import torch
from ase.build import bulk, molecule

from mlffbench.core.structures import Structures
from mlffbench.models.twoheaded.architecture import Architecture, Depth
from mlffbench.models.twoheaded.model import TwoHeaded
from mlffbench.models.twoheaded.prepared import Prepared, join, split

pytest.importorskip("torch_geometric")

LAYOUT = ("positions", "element_index", "system", "edges")


def built(depth: Depth = "min") -> TwoHeaded:
    architecture = Architecture.model_validate(
        {
            "network": "schnet",
            "elements": (1, 6, 8, 14),
            "cutoff": 3.0,
            "depth": depth,
            "schnet": {"hidden": 8, "filters": 6, "gaussians": 8},
        }
    )
    return TwoHeaded.build(
        architecture,
        atomic_energies={"prior": {}, "ref": {}},
        scale={"prior": 1.0, "ref": 1.0},
        seed=0,
        dtype="float64",
    )


def batch() -> Structures:
    atoms = [molecule("CH3OH"), bulk("Si"), molecule("H"), molecule("H2O")]
    atoms[1].rattle(0.1, seed=1)
    return Structures.build(
        [torch.tensor(one.positions) for one in atoms],
        [torch.tensor(one.numbers) for one in atoms],
        ids=["a", "b", "c", "d"],
        cell=torch.stack([torch.tensor(one.cell.array) for one in atoms]),
        pbc=torch.tensor([one.pbc.tolist() for one in atoms]),
    )


def looked_at(model: TwoHeaded, here: Structures | Prepared) -> list[torch.Tensor]:
    """Return forces, energies and what an error of forces makes of the parameters."""
    found = model.forward(here, "prior")
    slopes = torch.autograd.grad(
        found.forces.pow(3).sum(),
        model.representation_parameters(),
        allow_unused=True,
        materialize_grads=True,
    )
    return [found.forces.detach(), found.energy.detach(), *slopes]


@pytest.mark.parametrize("depth", ["min", "med", "max"])
def test_what_a_head_fixes_is_as_if_computed_anew(depth: Depth) -> None:
    model, structures = built(depth), batch()
    here = model.prepare_for(structures, "prior")
    assert here.fixed is not None
    n_fixed = {"min": 2, "med": 1, "max": 0}[depth]
    assert len(here.fixed.known) == 2 + n_fixed  # a basis and an envelope too
    for _ in range(2):
        for mine, expected in zip(
            looked_at(model, here), looked_at(model, structures), strict=True
        ):
            torch.testing.assert_close(mine, expected, rtol=1e-10, atol=1e-13)
        with torch.no_grad():  # the shared parameters may move
            for parameter in model.representation_parameters():
                wave = torch.sin(torch.arange(parameter.numel()))
                parameter.add_(0.03 * wave.view_as(parameter))


def test_the_other_head_does_not_take_what_one_fixes() -> None:
    model = built()
    with torch.no_grad():
        for parameter in model.parameters_of("ref").values():
            parameter.mul_(1.1)
    here = model.prepare_for(batch(), "prior")
    found, expected = (model.forward(one, "ref").forces for one in (here, batch()))
    assert torch.equal(found, expected)
    narrow = model.with_cutoff(2.9, "graph+envelope")
    there = narrow.prepare_for(batch(), "prior")
    torch.testing.assert_close(
        narrow.forward(there, "prior").forces, narrow.forward(batch(), "prior").forces
    )


def test_what_a_head_fixed_is_forgotten_when_the_head_moves() -> None:
    model, other = built(), built()
    here = model.prepare_for(batch(), "prior")
    for one in (other, model):
        with torch.no_grad():
            for parameter in one.parameters_of("prior").values():
                parameter.mul_(1.1)
        found, expected = (one.forward(x, "prior").forces for x in (here, batch()))
        assert torch.equal(found, expected)


def test_pieces_of_a_batch_are_what_they_are_alone() -> None:
    model, structures = built(), batch()
    parts = [[0], [1, 2], [3]]
    whole = model.prepare_for(structures, "prior")
    pieces = split(whole, [len(part) for part in parts])
    for part, piece in zip(parts, pieces, strict=True):
        alone = model.prepare(structures.select(part))
        assert piece.n_systems == len(part)
        for name in LAYOUT:
            assert torch.equal(getattr(piece, name), getattr(alone, name)), name
        found, expected = (looked_at(model, one) for one in (piece, alone))
        for mine, other in zip(found, expected, strict=True):
            torch.testing.assert_close(mine, other, rtol=1e-9, atol=1e-12)
    again, some = join(pieces), join(pieces[::2])
    for name in LAYOUT:
        assert torch.equal(getattr(again, name), getattr(whole, name)), name
    torch.testing.assert_close(
        model.forward(some, "prior").forces,
        model.forward(structures.select([0, 3]), "prior").forces,
    )
