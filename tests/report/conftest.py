"""Runs that the tests of the report share: made once, copied for who changes them."""

import shutil
from pathlib import Path

import pytest
from small_runs import run_small

from mlffbench.run.folder import RunFolder


@pytest.fixture(scope="session")
def shared_runs(
    shared_suite_file: Path, shared_springs: str, tmp_path_factory: pytest.TempPathFactory
) -> list[RunFolder]:
    """Return zero and springs in three modes, for tests that only read."""
    return run_small(
        shared_suite_file, shared_springs, tmp_path_factory.mktemp("shared") / "runs"
    )


@pytest.fixture
def folders(shared_runs: list[RunFolder], tmp_path: Path) -> list[RunFolder]:
    """Return the same runs under ``tmp_path / "runs"``, to be changed at will."""
    root = shared_runs[0].path.parents[2]
    shutil.copytree(root, tmp_path / "runs")
    return [
        RunFolder(tmp_path / "runs" / one.path.relative_to(root)) for one in shared_runs
    ]
