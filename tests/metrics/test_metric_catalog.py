import doctest
import importlib
import inspect

import numpy as np
import pytest
from metric_batches import random_batch
from processes import new_python

from mlffbench.metrics.catalog import METRICS
from mlffbench.metrics.metric_card import MetricCard

NAMES = METRICS.names()


@pytest.mark.parametrize("name", NAMES)
def test_every_row_is_a_metric_that_defines_itself(name):
    metric, card = METRICS.load(name), METRICS.entry(name).card
    assert metric.__name__ == name
    assert isinstance(card, MetricCard)
    definition = inspect.getdoc(metric)
    assert definition is not None
    assert definition.startswith(("Mean", "Root"))
    structures, prediction, reference = random_batch(5)
    parts = metric(prediction, reference, structures)
    assert ("" in parts) == ("_by_" not in name)
    for part in parts.values():
        assert part.value.shape == (structures.n_systems,)
        inside = part.value[part.evaluated]
        assert (inside >= card.bounds[0]).all()
        assert (inside <= card.bounds[1]).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_perfect_prediction_scores_perfectly(name):
    structures, prediction, _ = random_batch(6)
    perfect = 1.0 if METRICS.entry(name).card.better == "higher" else 0.0
    for part in METRICS.load(name)(prediction, prediction, structures).values():
        assert np.all(part.value[part.evaluated] == perfect)


def test_facts_are_rows_of_text():
    card = METRICS.entry("energy_mae_aligned").card
    assert ("unit", "eV/atom") in card.rows()
    assert ("reads", "aligned energies") in card.rows()
    assert ("reads", "forces") in METRICS.entry("forces_rmse").card.rows()


def test_listing_imports_no_torch():
    code = (
        "import sys; from mlffbench.metrics.catalog import METRICS; METRICS.rows(); "
        "assert not {'torch', 'numpy', 'scipy'} & set(sys.modules)"
    )
    assert new_python("-c", code).returncode == 0


@pytest.mark.parametrize("module", ["breakdown", "intervals.interval", "molecules"])
def test_examples_in_docstrings(module):
    found = doctest.testmod(importlib.import_module(f"mlffbench.metrics.{module}"))
    assert found.attempted > 0
    assert found.failed == 0
