"""Runs that the tests of exports share: made once, copied for who changes them."""

import shutil
from pathlib import Path

import pytest
from small_runs import refined, score

from mlffbench.publish.export_job import ExportRequest, export_runs
from mlffbench.run.loop import run_campaign
from mlffbench.run.request import Request, resolve


@pytest.fixture(scope="session")
def published(
    shared_suite_file: Path, shared_springs: str, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return a folder with ``runs`` and exports of them, ``whole`` and ``records``."""
    folder = tmp_path_factory.mktemp("published")
    request = Request(
        suite=str(shared_suite_file),
        models=("zero", shared_springs),
        out=folder / "runs",
        diagnose=False,
    )
    made = run_campaign(resolve(request)).folders
    for one in (*made, refined(made[-1], "ttt", 0.4, unit="group")):
        score(one)
    for name in ("whole", "records"):
        export_runs(
            ExportRequest(
                runs=(folder / "runs",),
                out=folder / name,
                licence="CC0-1.0",
                records_only=name == "records",
            )
        )
    return folder


@pytest.fixture
def runs(published: Path, tmp_path: Path) -> Path:
    """Return a copy of the runs, to be changed at will."""
    return shutil.copytree(published / "runs", tmp_path / "runs")


@pytest.fixture
def whole(published: Path, tmp_path: Path) -> Path:
    """Return a copy of the export with predictions, to be changed at will."""
    return shutil.copytree(published / "whole", tmp_path / "whole")


@pytest.fixture
def records(published: Path, tmp_path: Path) -> Path:
    """Return a copy of the export without predictions, to be changed at will."""
    return shutil.copytree(published / "records", tmp_path / "records")
