"""Damage to a run folder is noticed, and costs no other run."""

import hashlib
import json
import logging
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from mlffbench.api.benchmark import score_folders
from mlffbench.core.errors import StoreError
from mlffbench.report.document import compose
from mlffbench.report.run_inventory import take_inventory
from mlffbench.run.checksums import NAME, forget, note, read_checksums, verify
from mlffbench.run.evaluate.evaluation_score import score_run
from mlffbench.run.folder import RunFolder, find_runs, read_arrays, write_arrays
from mlffbench.run.loop import run_campaign
from mlffbench.run.request import Request, resolve


@pytest.fixture(scope="module")
def made(shared_suite_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of two scored runs, zero and zero again under another name."""
    out = tmp_path_factory.mktemp("sums") / "runs"
    for folder in (out, out.with_name("again")):
        request = Request(suite=str(shared_suite_file), models=("zero",), out=folder)
        done = run_campaign(resolve(request))
        assert done.faults == []
        assert score_folders(done.folders).faults == []
    shutil.move(out.with_name("again") / "toy" / "zero", out / "toy" / "other")
    return out


@pytest.fixture
def runs(made: Path, tmp_path: Path) -> Path:
    """Return a copy of them that a test may damage."""
    return Path(shutil.copytree(made, tmp_path / "runs"))


def test_every_file_is_listed_as_sha256sum_lists_it(runs: Path) -> None:
    folder = runs / "toy" / "zero" / "baseline"
    known = read_checksums(folder)
    assert known is not None
    there = {path.name for path in folder.iterdir() if path.is_file()}
    assert there - {NAME, ".lock"} == set(known)
    assert {"run.json", "reference.npz", "records.jsonl", "alignment.json"} < set(known)
    for name, digest in known.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    tool = shutil.which("sha256sum")
    if tool is not None:
        command = [tool, "--check", "--strict", NAME]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    assert verify(folder)


def test_a_scaled_reference_changes_no_score_silently(runs: Path) -> None:
    folder = RunFolder(runs / "toy" / "zero" / "baseline")
    arrays = read_arrays(folder.path / "reference.npz")
    scaled = {name: np.asarray(0.5 * value) for name, value in arrays.items()}
    write_arrays(folder.path / "reference.npz", scaled)
    said = r"reference\.npz is not what was written .* --overwrite"
    with pytest.raises(StoreError, match=said):
        score_run(folder)
    scored = score_folders(find_runs([runs]))
    assert len(scored.folders) == len(scored.faults) == 1


@pytest.mark.parametrize(
    "name", ["run.json", "predictions.parquet", "forces.npz", "records.jsonl", NAME]
)
@pytest.mark.parametrize("how", ["bit", "cut", "gone"])
def test_an_altered_run_is_left_out_and_the_other_is_not(
    runs: Path, name: str, how: str
) -> None:
    path = runs / "toy" / "zero" / "baseline" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(content if how == "bit" else content[: len(content) // 3])
    inventory = take_inventory([runs])
    gone = {run.path for run in inventory.left_out}
    if how == "gone" and name in {"run.json", NAME}:
        assert gone == set()  # no run at all, or one that nothing vouches for
        return
    assert gone == {str(path.parent)}
    (left_out,) = inventory.left_out
    assert left_out.reason.count("\n") == 0
    assert "--overwrite" in left_out.reason or "mlffbench score" in left_out.reason
    made = compose([runs], "csv")
    assert [one.path for one in made.left_out] == [str(path.parent)]
    assert "zero" in made.text


def test_scores_that_are_altered_are_made_again(runs: Path) -> None:
    folder = RunFolder(runs / "toy" / "zero" / "baseline")
    before = (folder.path / "records.jsonl").read_bytes()
    (folder.path / "records.jsonl").write_bytes(before.replace(b"zero", b"hero"))
    with pytest.raises(StoreError, match="run: mlffbench score"):
        verify(folder.path)
    assert score_folders([folder]).faults == []
    assert (folder.path / "records.jsonl").read_bytes() == before
    assert verify(folder.path)


def test_old_runs_are_read_and_said_to_be_unverifiable_once(
    runs: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for folder in find_runs([runs]):
        forget(folder.path)
        assert not verify(folder.path)
    with caplog.at_level(logging.WARNING):
        assert len(take_inventory([runs]).runs) == 2
    (record,) = caplog.records
    assert "not verifiable" in record.getMessage()
    assert "and 1 more" in record.getMessage()


def test_what_is_scored_later_gives_an_old_run_no_checksums(tmp_path: Path) -> None:
    note(tmp_path, {"records.jsonl": b"{}"})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["abc\n", "0" * 64 + "  ../run.json\n", "\xff"])
def test_damaged_checksums_are_a_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / NAME).write_bytes(text.encode("latin-1"))
    with pytest.raises(StoreError, match="repeat the run with --overwrite"):
        read_checksums(tmp_path)


def test_a_part_with_a_flipped_bit_counts_as_not_computed(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.parts.mkdir()
    rows = np.arange(3)
    folder.write_part(0, {"rows": rows, "forces": np.full((40, 3), 1.5)})
    assert folder.read_part(0, rows) is not None
    content = bytearray(folder.part(0).read_bytes())
    at = content.index(np.float64(1.5).tobytes() * 3)
    content[at + 1] ^= 1
    folder.part(0).write_bytes(content)
    assert folder.read_part(0, rows) is None


def test_a_manifest_nested_without_end_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("[" * 100_000)
    with pytest.raises(StoreError, match="missing or broken"):
        RunFolder(tmp_path).read_manifest()
    (tmp_path / "run.json").write_text(json.dumps({"schema_version": 0}))
    assert [run.path for run in find_runs([tmp_path])] == [tmp_path]


def test_what_cannot_be_opened_is_not_called_broken(tmp_path: Path) -> None:
    (tmp_path / "run.json").mkdir()
    with pytest.raises(StoreError, match=r"cannot read .*run\.json: Is a directory"):
        RunFolder(tmp_path).read_manifest()
