"""How ``run`` and its like end: what was left out, where they wrote, the exit code."""

import inspect
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from mlffbench.cli.app import app
from mlffbench.cli.plan import plan
from mlffbench.cli.run import run


def command(suite: Path, out: Path, model: str, mode: str) -> Result:
    words = ["run", "--suite", str(suite), "--model", model, "--mode", mode]
    return CliRunner().invoke(app, [*words, "--no-diagnose", "--out", str(out)])


def test_a_mode_that_a_model_lacks_is_a_note_where_another_job_finished(
    suite_file: Path, tmp_path: Path
) -> None:
    done = command(suite_file, tmp_path / "runs", "zero", "baseline,rr")
    assert done.exit_code == 0, done.output
    told = " ".join(done.output.split())
    assert "left out: zero rr: model 'zero' has no graph cutoff" in told
    assert f"wrote {tmp_path}/runs/toy/zero/baseline" in done.output
    assert done.output.rstrip().endswith("runs/report.html")


def test_it_fails_where_nothing_could_be_done(suite_file: Path, tmp_path: Path) -> None:
    done = command(suite_file, tmp_path / "runs", "zero", "rr")
    assert done.exit_code == 1
    assert "error: zero rr: model 'zero' has no graph cutoff" in done.output
    assert "wrote" not in done.output


def test_it_fails_where_one_model_cannot_be_loaded(
    suite_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad.py").write_text("import nowhere_at_all")
    done = command(suite_file, tmp_path / "runs", f"zero,{tmp_path}/bad.py:x", "baseline")
    assert done.exit_code == 1
    assert "bad.py cannot be imported: ModuleNotFoundError" in done.output
    assert f"wrote {tmp_path}/runs/toy/zero/baseline" in done.output


def test_run_and_plan_take_the_same_options() -> None:
    planned = inspect.signature(plan).parameters
    ran = inspect.signature(run).parameters
    assert set(planned) < set(ran)
    assert all(planned[name] == ran[name] for name in planned)
    kept = {"out", "overwrite", "units"}
    helped = {"workers", "engine", "slurm", "profile", "address", "num_gpus"}
    assert set(ran) - set(planned) == kept | helped | {"dry_run", "diagnose", "wide"}


@pytest.mark.parametrize("name", ["simulate", "finetune-curve"])
def test_the_others_check_names_just_the_same(suite_file: Path, name: str) -> None:
    words = [name, "--suite", str(suite_file), "--model", "zeroo"]
    result = CliRunner().invoke(app, words)
    assert "unknown model 'zeroo'" in str(result.exception)
