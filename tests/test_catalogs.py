"""Every catalogue row: it imports, is documented, and says what it needs."""

from pathlib import Path
from typing import Any

import pytest

from mlffbench.core.card import DataCard, ModelCard
from mlffbench.core.registry import Entry, Registry
from mlffbench.datasets.catalog import DATASETS
from mlffbench.diagnostics.catalog import DIAGNOSTICS
from mlffbench.metrics.catalog import METRICS
from mlffbench.models.catalog import MODELS
from mlffbench.refine.catalog import REFINERS

ROOT = Path(__file__).parent.parent
REGISTRIES = [DATASETS, DIAGNOSTICS, METRICS, MODELS, REFINERS]
ROWS = [
    (registry, name, entry)
    for registry in REGISTRIES
    for name, entry in registry.rows().items()
    if not entry.package  # of whatever else is installed here we know nothing
]
PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
IDS = [f"{registry.kind}-{name}" for registry, name, _ in ROWS]


@pytest.mark.parametrize(("registry", "name", "entry"), ROWS, ids=IDS)
def test_a_row_loads_or_names_its_extra(
    registry: Registry, name: str, entry: Entry
) -> None:
    if entry.missing():
        pytest.skip(f"extra {entry.extra} is not installed")
    thing: Any = registry.load(name)
    assert callable(thing)
    assert thing.__doc__


@pytest.mark.parametrize(("registry", "name", "entry"), ROWS, ids=IDS)
def test_a_row_says_what_it_is(registry: Registry, name: str, entry: Entry) -> None:
    assert entry.summary, f"{registry.kind} {name!r} needs a summary"
    assert len(entry.summary) <= 90


@pytest.mark.parametrize(("registry", "name", "entry"), ROWS, ids=IDS)
def test_an_extra_is_one_of_pyproject(
    registry: Registry, name: str, entry: Entry
) -> None:
    assert bool(entry.extra) == bool(entry.requires), (registry.kind, name)
    assert entry.extra is None or f"\n{entry.extra} = [" in PYPROJECT


def test_models_and_data_state_their_facts() -> None:
    for name, entry in MODELS.rows().items():
        assert isinstance(entry.card, ModelCard), name
    for name, entry in DATASETS.rows().items():
        assert isinstance(entry.card, DataCard), name


def test_data_readme_and_catalogue_agree() -> None:
    text = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    for name in DATASETS.names():
        assert f"| `{name}` |" in text
