"""What comes from elsewhere: verified number by number, and refused in one sentence."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sealing import change_records, seal_again
from small_runs import score
from typer.testing import CliRunner

from mlffbench.cli.app import app
from mlffbench.core.errors import BenchError, StoreError
from mlffbench.core.guards import caps
from mlffbench.publish.export_folder import exports_among, open_export, refuse_exports
from mlffbench.publish.export_job import ExportRequest, export_runs
from mlffbench.publish.verification import verify_export
from mlffbench.report.document import compose
from mlffbench.run.folder import RunFolder, read_arrays
from mlffbench.run.loop import run_campaign
from mlffbench.run.request import Request, resolve

MODE = "runs/toy/springs.py-Springs-*/ttt"


def run_of(export: Path) -> Path:
    return next(export.glob(MODE))


def test_every_number_is_computed_again(published: Path) -> None:
    found = verify_export(published / "whole")
    assert "27 files are what was written, by their checksums" in found.verified
    numbers = next(one for one in found.verified if "numbers" in one)
    assert int(numbers.split()[0].replace(",", "")) > 900
    assert numbers.endswith("are what the stored predictions and references give")
    assert any("the suite does not ship" in one for one in found.open)


def test_records_alone_are_checked_against_one_another(published: Path) -> None:
    found = verify_export(published / "records")
    assert any("agree with one another" in one for one in found.verified)
    assert any("nothing here can compute them again" in one for one in found.open)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def link(export: Path) -> None:
    target = run_of(export) / "alignment.json"
    target.unlink()
    target.symlink_to("/etc/hostname")


def climb(export: Path) -> None:
    sums = export / "sha256sums"
    sums.write_text(sums.read_text() + f"{'0' * 64}  ../../secret\n")


def climb_in_manifest(export: Path) -> None:
    path = export / "export.json"
    manifest = json.loads(path.read_text())
    manifest["runs"][0]["folder"] = "runs/../../elsewhere"
    path.write_text(json.dumps(manifest))
    seal_again(export)


def extra(export: Path) -> None:
    (run_of(export) / "diagnostics.json").write_text("{}")
    seal_again(export)


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda export: flip(run_of(export) / "forces.npz"), "was damaged or altered"),
        (lambda export: flip(export / "report.md"), "was damaged or altered"),
        (lambda export: flip(export / "export.json"), "export.json"),
        (lambda export: (export / "README.md").unlink(), "README.md is missing"),
        (lambda export: (export / "more.txt").write_text("x"), "put there later"),
        (lambda export: (export / "sha256sums").unlink(), "sha256sums does not exist"),
        (lambda export: (export / "export.json").unlink(), "so it is no export"),
        (link, "is a link or no file"),
        (climb, "leads out of the export"),
        (climb_in_manifest, "leads out of the export"),
        (extra, "belongs to no run"),
    ],
)
def test_damage_is_one_sentence(
    whole: Path, harm: Callable[[Path], Any], told: str
) -> None:
    harm(whole)
    with pytest.raises(BenchError) as caught:
        open_export(whole)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def better(record: dict[str, Any]) -> None:
    record["metrics"]["forces_mae"]["value"] *= 0.99


def not_a_number(record: dict[str, Any]) -> None:
    record["metrics"]["forces_mae"]["value"] = float("nan")


def endless(record: dict[str, Any]) -> None:
    record["metrics"]["forces_mae"]["value"] = 1e300 * 1e300


def miscounted(record: dict[str, Any]) -> None:
    record["counts"]["evaluated"] += 1


def wider(record: dict[str, Any]) -> None:
    for compared in record["gap"].values():
        compared["difference"]["value"] += 0.1


def renamed(record: dict[str, Any]) -> None:
    record["model"] = "somebody-elses"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (better, "metrics.forces_mae.value"),
        (not_a_number, "not finite"),
        (endless, "not finite"),
        (miscounted, "counts.evaluated"),
        (renamed, "is not the run that export.json names"),
    ],
)
def test_a_forged_record_is_found_out(
    whole: Path, change: Callable[[dict[str, Any]], None], told: str
) -> None:
    change_records(run_of(whole), change)
    seal_again(whole)
    with pytest.raises(StoreError, match=told):
        verify_export(whole)


@pytest.mark.parametrize(
    ("change", "told"),
    [(miscounted, "do not add up"), (wider, "gap of"), (not_a_number, "not finite")],
)
def test_records_that_exclude_each_other_are_found_out(
    records: Path, change: Callable[[dict[str, Any]], None], told: str
) -> None:
    change_records(run_of(records), change)
    seal_again(records)
    with pytest.raises(StoreError, match=told):
        verify_export(records)


def test_forged_predictions_do_not_fit_their_records(whole: Path) -> None:
    path = run_of(whole) / "forces.npz"
    forces = read_arrays(path)["forces"]
    np.savez_compressed(path, forces=0.9 * forces)
    seal_again(whole)
    with pytest.raises(StoreError, match="is not what the predictions beside it give"):
        verify_export(whole)


def test_a_small_file_that_would_unpack_into_much_is_not_unpacked(
    whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caps, "FREE_BYTES", 1 << 20)
    path = run_of(whole) / "forces.npz"
    np.savez_compressed(path, forces=np.zeros(2 << 20))
    seal_again(whole)
    with pytest.raises(StoreError, match="would unpack"):
        open_export(whole)


def test_forged_references_are_not_those_of_the_data(tmp_path: Path) -> None:
    request = Request(
        suite="mini-ood", models=("zero",), limit=1, diagnose=False, out=tmp_path / "runs"
    )
    folder = run_campaign(resolve(request)).folders[0]
    score(folder)
    out = tmp_path / "export"
    export_runs(ExportRequest(runs=(folder.path,), out=out))
    found = verify_export(out)
    told = "references and structures of 1 run are those of the data set on this machine"
    assert told in found.verified
    assert ", trial of 1 per split |" in (out / "README.md").read_text()
    forged = RunFolder(out / "runs/mini-ood--limit-1/zero/baseline")
    path = forged.path / "reference.npz"
    arrays = read_arrays(path)
    np.savez_compressed(path, **{**arrays, "forces": 0.5 * arrays["forces"]})
    seal_again(out)
    score(forged)
    seal_again(out)
    with pytest.raises(StoreError, match=r"reference forces of .* not those of the data"):
        verify_export(out)


def test_exports_of_two_stand_on_one_board(published: Path, tmp_path: Path) -> None:
    runs = published / "runs"
    ttt = next(runs.rglob("ttt/run.json")).parent
    export_runs(ExportRequest(runs=(runs / "toy" / "zero",), out=tmp_path / "a"))
    export_runs(ExportRequest(runs=(ttt,), out=tmp_path / "b"))
    made = compose([tmp_path / "a", tmp_path / "b"], "html")
    assert len(made.boards) == 1
    rows = {(row.model, row.mode) for row in made.boards[0].rows}
    assert rows == {
        ("zero", "baseline"),
        ("springs.py:Springs", "baseline"),
        ("springs.py:Springs", "ttt"),
    }
    assert not made.left_out


def test_commands_verify_merge_and_change_nothing(whole: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["score", "--verify", str(whole)])
    assert done.exit_code == 0
    assert "3 runs, nothing was altered" in done.stdout
    other = shutil.copytree(whole, tmp_path / "other")
    page = tmp_path / "leaderboard.html"
    words = ["report", str(whole), str(other), "--out", str(page)]
    assert CliRunner().invoke(app, words).exit_code == 0
    assert page.stat().st_size > 1e6
    flip(run_of(other) / "structures.npz")
    done = CliRunner().invoke(app, words)
    assert isinstance(done.exception, StoreError)
    assert exports_among([tmp_path]) == [other, whole]
    with pytest.raises(StoreError, match="which nobody changes"):
        refuse_exports([tmp_path])
