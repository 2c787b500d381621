"""What every adapter of a published family is held to, whatever its package."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from ase.build import molecule
from feature_slopes import FeatureSlope

from mlffbench.contract.contracts import check_forcefield
from mlffbench.core.errors import ModelError
from mlffbench.core.structures import Structures
from mlffbench.training.attached import AttachedPriorHead
from mlffbench.training.examples import Baseline


def of(*names: str, **changes: Any) -> Structures:
    many = [molecule(name) for name in names]
    return Structures.build(
        [torch.tensor(atoms.positions) for atoms in many],
        [torch.tensor(atoms.numbers) for atoms in many],
        ids=list(names),
        **changes,
    )


def broken(model: Any) -> list[tuple[str, str]]:
    """Return the promises that a model breaks: batch = single, gradients, charge …"""
    promises = check_forcefield(model)
    return [(one.name, one.detail) for one in promises if one.status == "broken"]


def check_trunk(model: Any, name: str) -> None:
    """Check features, their derivatives, and labels with the graph to a parameter."""
    structures = of("H2O", "CH4")
    check_nothing(model, structures)
    twin = model.clone()
    weight = twin.trunk_parameters()[name].requires_grad_()
    generator = torch.Generator().manual_seed(1)
    way = torch.randn((8, 3), generator=generator, dtype=torch.float64)
    side = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
    slope = FeatureSlope(twin, structures, way)
    assert slope.value() == pytest.approx(slope.differences(), rel=1e-5)
    mixed = slope.mixed_differences(weight, side)
    assert slope.mixed(weight, side) == pytest.approx(mixed, rel=1e-4)
    labels, expected = twin.labels_graph(structures), model.predict(structures)
    assert torch.equal(labels.energy.detach(), expected.energy)
    moved = torch.autograd.grad(labels.forces.square().sum(), [weight])[0]
    assert bool(moved.any())
    assert not any(p.requires_grad for p in model.trunk_parameters().values())


def check_nothing(model: Any, structures: Structures) -> None:
    """Check that an empty batch has features of the same width, and labels."""
    none, width = structures.select([]), model.embed(structures).shape[1]
    shapes = [tuple(read(none).shape) for read in (model.embed, model.embed_graph)]
    assert shapes == [(0, width)] * 2
    for labels in (model.predict(none), model.labels_graph(none)):
        assert (tuple(labels.energy.shape), tuple(labels.forces.shape)) == ((0,), (0, 3))


def check_cutoff(model: Any) -> None:
    """Check that a smaller radius is another answer, and a larger one is refused."""
    structures, radius = of("CH3CH2OH"), model.trained_cutoff
    whole = model.predict(structures)
    for scope in model.cutoff_scopes:
        assert torch.equal(
            model.with_cutoff(radius, scope).predict(structures).forces, whole.forces
        )
        narrow = model.with_cutoff(2.0, scope)
        assert not torch.allclose(narrow.predict(structures).forces, whole.forces)
        step, way = 1e-5, torch.zeros_like(structures.positions)
        way[0, 0] = step
        up, down = (
            narrow.predict(replace(structures, positions=structures.positions + by))
            for by in (way, -way)
        )
        slope = float(up.energy - down.energy) / (2 * step)
        force = float(narrow.predict(structures).forces[0, 0])
        assert force == pytest.approx(-slope, abs=1e-5)
    with pytest.raises(ModelError, match=f"beyond the trained {radius:g} Å"):
        model.with_cutoff(radius + 0.1)


def with_head(model: Any) -> AttachedPriorHead:
    """Return the model with an untrained prior head."""
    baseline = Baseline(scale=1.0, atomic_energies=dict.fromkeys(model.elements, 0.0))
    return AttachedPriorHead.attach(model, baseline, of("H2O", "CH4"), seed=0)
