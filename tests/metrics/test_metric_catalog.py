import doctest
import importlib
import inspect
import subprocess
import sys

import numpy as np
import pytest
from metric_batches import random_batch

from mlffbench.metrics.catalog import METRICS
from mlffbench.metrics.facts import MetricFacts

NAMES = METRICS.names()


@pytest.mark.parametrize("name", NAMES)
def test_every_row_is_a_metric_that_defines_itself(name):
    metric, facts = METRICS.load(name), METRICS.entry(name).facts
    assert metric.__name__ == name
    assert isinstance(facts, MetricFacts)
    definition = inspect.getdoc(metric)
    assert definition is not None
    assert definition.startswith(("Mean", "Root"))
    structures, prediction, reference = random_batch(5)
    parts = metric(prediction, reference, structures)
    assert ("" in parts) == ("_by_" not in name)
    for part in parts.values():
        assert part.value.shape == (structures.n_systems,)
        inside = part.value[part.evaluated]
        assert (inside >= facts.bounds[0]).all()
        assert (inside <= facts.bounds[1]).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_perfect_prediction_scores_perfectly(name):
    structures, prediction, _ = random_batch(6)
    perfect = 1.0 if METRICS.entry(name).facts.better == "higher" else 0.0
    for part in METRICS.load(name)(prediction, prediction, structures).values():
        assert np.all(part.value[part.evaluated] == perfect)


def test_facts_are_rows_of_text():
    facts = METRICS.entry("energy_mae_aligned").facts
    assert ("unit", "eV/atom") in facts.rows()
    assert ("reads", "aligned energies") in facts.rows()
    assert ("reads", "forces") in METRICS.entry("forces_rmse").facts.rows()


def test_listing_imports_no_torch():
    code = (
        "import sys; from mlffbench.metrics.catalog import METRICS; METRICS.rows(); "
        "assert not {'torch', 'numpy', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("module", ["breakdown", "interval", "molecules"])
def test_examples_in_docstrings(module):
    found = doctest.testmod(importlib.import_module(f"mlffbench.metrics.{module}"))
    assert found.attempted > 0
    assert found.failed == 0
