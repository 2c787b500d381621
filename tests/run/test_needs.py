"""What has to be downloaded for a name."""

from pathlib import Path

import pytest

from mlffbench.core.card import DataCard
from mlffbench.core.errors import SuiteError, UnknownNameError
from mlffbench.core.registry import Entry
from mlffbench.datasets.catalog import DATASETS
from mlffbench.datasets.download.table import target_of
from mlffbench.run.catalog import suite_rows
from mlffbench.run.suite import needs

CARD = DataCard(
    level_of_theory="none",
    elements=frozenset({1}),
    licence="none",
    citation="none",
    source="none",
    size="none",
    downloads=("spice-1", "md17/aspirin"),
)


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return a suite of a dataset that has to be downloaded."""
    rows = {**DATASETS.rows(), "made-up": Entry("nowhere:nothing", "x", card=CARD)}
    monkeypatch.setattr(DATASETS, "_rows", rows)
    path = tmp_path / "suite.yaml"
    path.write_text("name: x\ndataset: made-up\n")
    return path


def test_downloads_datasets_and_suites_are_known(made_up: Path) -> None:
    assert needs("spice-1") == ("spice-1",)
    assert needs("md17/aspirin") == ("md17/aspirin",)
    assert needs("made-up") == CARD.downloads
    assert needs(str(made_up)) == CARD.downloads
    assert needs("mini") == needs("mini-ood") == ()
    assert ("needs", "mlffbench download md17/aspirin") in CARD.rows()


def test_a_suite_of_files_needs_nothing(tmp_path: Path) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text("name: x\nsplits: []\n")
    assert needs(str(path)) == ()


def test_an_unknown_name_and_a_broken_suite_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'mini-ood'"):
        needs("mini-odd")
    path = tmp_path / "suite.yaml"
    for content in ("- a\n", "a: [", "\t"):
        path.write_text(content)
        with pytest.raises(SuiteError, match="cannot read the suite"):
            needs(str(path))


def test_every_need_of_the_catalogue_can_be_downloaded() -> None:
    for name in [*DATASETS.names(), *suite_rows()]:
        for need in needs(name):
            assert target_of(need).files
