"""The paper's shift rule on structures whose labels can be told by hand."""

import numpy as np
import pytest
import torch

from mlffbench.core.errors import DataError
from mlffbench.core.spectrum import share_near_one
from mlffbench.core.structures import Structures
from mlffbench.datasets.published_shifts import DeviationRule, Spread


def lines(*sizes: int, element: int = 6, space: float = 3.0) -> Structures:
    return Structures.build(
        [torch.arange(n)[:, None] * torch.tensor([space, 0.0, 0.0]) for n in sizes],
        [torch.full((n,), element) for n in sizes],
        ids=[f"{element}-{n}-{i}" for i, n in enumerate(sizes)],
    )


def forces(structures: Structures, norms: list[float]) -> torch.Tensor:
    each = torch.tensor(norms)[structures.system]
    return each[:, None] * torch.tensor([0.0, 0.6, 0.8])


def test_share_near_one_of_paths_is_that_of_their_known_spectra() -> None:
    # a path of n atoms has the eigenvalues 1 - cos(pi k / (n - 1))
    shares = share_near_one(lines(2, 3, 5), 5.0)
    np.testing.assert_allclose(shares, [0, 1 / 3, 1 / 5])


def test_further_than_one_deviation_on_either_side() -> None:
    train = lines(3, 3, 3, 3)
    rule = DeviationRule.of(train, forces(train, [1.0, 2.0, 3.0, 2.0]))
    assert rule.force_norm.mean == pytest.approx(2.0)
    assert rule.force_norm.deviation == pytest.approx(np.sqrt(0.5))
    test = lines(3, 3, 3, 5)
    found = rule.labels(test, forces(test, [1.2, 2.9, 2.5, 2.0]))
    assert found == [{"force_norm"}, {"force_norm"}, set(), {"connectivity"}]
    assert rule.force_norm.in_words == "1.293 to 2.707"


def test_elements_and_what_is_not_known() -> None:
    rule = DeviationRule.of(lines(3, 5))
    assert np.isnan(rule.force_norm.mean)
    silicon = lines(3, 5, element=14)
    found = rule.labels(silicon, forces(silicon, [9.0, 0.0]))
    assert found == [{"elements"}, {"elements"}]
    assert rule.labels(lines(3)) == [set()]
    with pytest.raises(DataError, match="without structures"):
        DeviationRule.of(lines())
    assert Spread.of(np.array([np.nan, 2.0])).mean == 2.0
