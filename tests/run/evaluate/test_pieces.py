import numpy as np
import pytest
import torch

from mlffbench.core.labels import Labels
from mlffbench.core.structures import Structures
from mlffbench.metrics.catalog import METRICS
from mlffbench.run.evaluate.pieces import ONE_BY_ONE, measured


@pytest.mark.parametrize("name", METRICS.names())
def test_pieces_say_what_the_whole_says_to_the_last_bit(name: str) -> None:
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 9, 30)
    structures = Structures.build(
        [torch.tensor(rng.normal(size=(n, 3))) for n in sizes],
        [torch.tensor(rng.choice([1, 8] if n < 6 else [6, 17], n)) for n in sizes],
        ids=[f"m{i}" for i in range(30)],
        group=[f"g{i % 4}" for i in range(30)],
    )
    both = [
        Labels(
            energy=torch.tensor(rng.normal(size=30)),
            forces=torch.tensor(rng.normal(scale=3, size=(int(sizes.sum()), 3))),
            source="test",
        )
        for _ in range(2)
    ]
    both[0].forces[5] = torch.nan
    metric = METRICS.load(name)
    whole = metric(*both, structures)
    for most in (1, 7, 40):
        found = measured(metric, *both, structures, most)
        assert list(found) == list(whole)
        for label, samples in whole.items():
            np.testing.assert_array_equal(found[label].value, samples.value)
            np.testing.assert_array_equal(found[label].weight, samples.weight)
    assert (metric in ONE_BY_ONE) == name.startswith("forces")
