import numpy as np
import pytest
import torch

from mlffbench.core.labels import Labels
from mlffbench.core.structures import Structures
from mlffbench.metrics.catalog import METRICS
from mlffbench.run.evaluate.pieces import BY_MOLECULE, ONE_BY_ONE


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
    assert metric in ONE_BY_ONE | BY_MOLECULE
    whole = metric(*both, structures)
    cuts: list[list[int]] = [[i] for i in range(30)]
    if metric in BY_MOLECULE:
        cuts = [[i for i in range(30) if i % 4 == group] for group in range(4)]
    for rows in cuts:
        atoms = torch.isin(structures.system, torch.tensor(rows))
        cut = [
            Labels(energy=one.energy[rows], forces=one.forces[atoms], source="test")
            for one in both
        ]
        found = metric(*cut, structures.select(rows))
        for label, samples in whole.items():
            if label not in found:
                assert np.isnan(samples.value[rows]).all()
                continue
            np.testing.assert_array_equal(found[label].value, samples.value[rows])
            np.testing.assert_array_equal(found[label].weight, samples.weight[rows])
