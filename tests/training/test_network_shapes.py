"""Which network an order builds: kinds, widths and single values of its shape."""

from typing import Any

import pytest
from tiny_training import few_splits, springs

from mlffbench.core.errors import BenchError
from mlffbench.models.twoheaded.architecture import GemnetShape
from mlffbench.models.twoheaded.model import TwoHeaded
from mlffbench.training.project import Order, Project, prepare, shape_of


def project(model: str, labeller: Any = springs, **options: Any) -> Project:
    order = Order(
        suite="mini-ood",
        model=model,
        recipe="prior-freeze-finetune",
        epochs=1,
        prior_epochs=1,
        **options,
    )
    return prepare(order, few_splits(), further=(), labeller=labeller, pretrained=None)


def gemnet_of(found: Project) -> GemnetShape:
    assert isinstance(found.model, TwoHeaded)
    shape = found.model.architecture.shape
    assert isinstance(shape, GemnetShape)
    return shape


def test_gemnet_dt_has_direct_forces_and_at_most_fifty_neighbours() -> None:
    found = project("gemnet-dt", channels=8, shape=shape_of(["blocks=2", "radial=4"]))
    shape = gemnet_of(found)
    assert (shape.direct_forces, shape.max_neighbours) == (True, 50)
    assert (shape.atom, shape.edge, shape.triplet) == (8, 8, 4)
    assert (shape.blocks, shape.radial) == (2, 4)
    assert found.plan.network == "gemnet-dt"
    assert found.plan.architecture["network"] == "gemnet"
    free = gemnet_of(project("gemnet", channels=8))
    assert (free.direct_forces, free.max_neighbours) == (False, None)


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["blocks"], "write NAME=VALUE"),
        (["blocks=2", "blocks=3"], "each name once"),
        (["blocks=many"], "gemnet.blocks"),
        (["lobes=2"], "gemnet.lobes"),
    ],
)
def test_a_shape_that_is_none_is_one_sentence(typed: list[str], words: str) -> None:
    def never(*_: object) -> None:
        pytest.fail("a prior labelled structures before the shape was looked at")

    with pytest.raises(BenchError, match=words):
        project("gemnet", never, shape=shape_of(typed))
