from pathlib import Path

from small_runs import change
from typer.testing import CliRunner

from mlffbench.cli.app import app
from mlffbench.run.folder import RunFolder


def test_what_was_stopped_is_no_error_and_what_is_broken_is(
    folders: list[RunFolder], tmp_path: Path
) -> None:
    change(folders[0], status="running", command="mlffbench run --suite toy")
    (folders[1].path / "forces.npz").write_bytes(b"")
    out = tmp_path / "report.html"
    done = CliRunner().invoke(app, ["report", str(tmp_path / "runs"), "--out", str(out)])
    assert done.exit_code == 0
    broken, stopped = sorted(done.stderr.splitlines(), key=lambda line: "not fin" in line)
    assert broken.startswith(f"error: left out {folders[1].path}: ")
    assert stopped == (
        f"{folders[0].path}: not finished: nothing is stored yet, repeat the command to "
        "go on: mlffbench run --suite toy"
    )
    assert out.exists()
