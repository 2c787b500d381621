"""What leaves: enough to compute every number again, and nothing of this machine."""

import getpass
import io
import json
import socket
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_runs import change, score

from mlffbench.core.errors import StoreError
from mlffbench.publish.export_folder import open_export
from mlffbench.publish.export_job import ExportRequest, _check_private, export_runs
from mlffbench.publish.private import bare, told, told_command
from mlffbench.publish.verification import verify_export
from mlffbench.run.folder import RunFolder, read_arrays, write_arrays, write_table

SECRETS = (
    *("janedoe", "node17", "/home", "/Users", "/tmp", "/scratch", "hunter2"),
    *("hf_abcdefghijklmnop", "C:\\Users"),
)


def everything_in(export: Path) -> bytes:
    """Return all bytes of an export, its arrays and tables unpacked."""
    parts = []
    for path in sorted(export.rglob("*")):
        parts.append(str(path.relative_to(export)).encode())
        if path.suffix == ".npz":
            with zipfile.ZipFile(path) as archive:
                parts += [archive.read(name) for name in archive.namelist()]
        elif path.suffix == ".parquet":
            parts += [path.read_bytes(), pd.read_parquet(path).to_csv().encode()]
        elif path.is_file():
            parts.append(path.read_bytes())
    return b"\n".join(parts)


def test_an_export_holds_no_place_user_machine_or_password(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: "janedoe")
    monkeypatch.setattr(socket, "gethostname", lambda: "node17.lab.example")
    folder = next(RunFolder(path.parent) for path in runs.rglob("ttt/run.json"))
    change(
        folder,
        command="mlffbench run --suite /home/janedoe/my suites/a.yaml --out "
        "'C:\\Users\\janedoe\\x y' https://janedoe:hunter2@host/w?token=hunter2 "
        "HF_TOKEN=hf_abcdefghijklmnop janedoe@node17:/scratch/janedoe",
        hardware={"platform": "Linux-6.1-node17"},
        mode={"settings": {"prior_head": "/home/janedoe/heads/mine.json"}},
        checks={"remarks": ["/scratch/janedoe/data.xyz on node17 has odd units"]},
    )
    table = folder.read_table()
    last = len(table) - 1
    table.loc[last, ["status", "reason"]] = ["failed", "no file /home/janedoe/b.bin"]
    table.loc[last, "energy"] = float("nan")
    arrays = read_arrays(folder.path / "forces.npz")
    arrays["forces"][-int(table["n_atoms"].iloc[last]) :] = float("nan")
    write_arrays(folder.path / "forces.npz", arrays)
    write_table(folder.path / "predictions.parquet", table)
    score(folder)

    out = tmp_path / "export"
    export_runs(ExportRequest(runs=(folder.path,), out=out))
    content = everything_in(out)
    assert [one for one in SECRETS if one.encode() in content] == []
    assert str(tmp_path).encode() not in content
    assert b"springs.py:Springs" in content
    assert b"failed: no file b.bin" in content
    assert verify_export(out).verified[0].endswith("by their checksums")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("../jane/net.py:make", "net.py:make"),
        ("file:///data/jane/a.xyz", "a.xyz"),
        ("~/nets/my.model", "my.model"),
        ("wB97X/6-31G(d), eV/Å, mini-ood/train", "wB97X/6-31G(d), eV/Å, mini-ood/train"),
        ("https://doi.org/10.1/x", "https://doi.org/10.1/x"),
        ("mace:/home/jane/my.model", "mace:my.model"),
        ("F/C=C/F", "F/C=C/F"),
        (r"C:\Users\jane\net.py:make", "net.py:make"),
    ],
)
def test_a_name_loses_its_place_and_nothing_else(text: str, expected: str) -> None:
    assert bare(text) == expected
    assert told(text) == expected


def test_a_command_keeps_its_words() -> None:
    line = (
        "mlffbench run --suite mini-ood --out '/home/a b/runs' --set rr.criterion=first"
    )
    assert told_command(line) == (
        "mlffbench run --suite mini-ood --out runs --set rr.criterion=first"
    )


def test_an_id_that_tells_a_home_is_refused(runs: Path, tmp_path: Path) -> None:
    folder = next(RunFolder(path.parent) for path in runs.rglob("zero/*/run.json"))
    change(folder)
    table = folder.read_table()
    table.loc[0, "id"] = "/home/janedoe/a.xyz"
    write_table(folder.path / "predictions.parquet", table)
    score(folder)
    with pytest.raises(StoreError, match="would tell '/home/janedoe'"):
        export_runs(ExportRequest(runs=(folder.path,), out=tmp_path / "export"))
    assert not (tmp_path / "export").exists()
    assert [one.name for one in tmp_path.iterdir() if one.name.startswith(".")] == []


def test_a_text_in_an_array_that_tells_a_home_is_refused(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("nothing")
    write_arrays(tmp_path / "errors.npz", {"split": np.array(["ood", "/home/janedoe/a"])})
    files = sorted(tmp_path.iterdir())
    with pytest.raises(StoreError, match=r"errors\.npz would tell '/home/janedoe'"):
        _check_private(files, tmp_path)


def test_what_others_are_compared_with_is_taken_along(
    published: Path, tmp_path: Path
) -> None:
    ttt = next((published / "runs").rglob("ttt/run.json")).parent
    done = export_runs(ExportRequest(runs=(ttt,), out=tmp_path / "one"))
    assert [path.name for path in done.beside] == ["baseline"]
    assert [run.mode for run in done.export.manifest.runs] == ["ttt", "baseline"]


def test_records_that_are_not_of_the_predictions_are_refused(
    runs: Path, tmp_path: Path
) -> None:
    folder = next(runs.rglob("ttt/run.json")).parent
    forces = read_arrays(folder / "forces.npz")["forces"]
    change(RunFolder(folder))
    write_arrays(folder / "forces.npz", {"forces": 2 * forces})
    with pytest.raises(StoreError, match="run first: mlffbench score"):
        export_runs(ExportRequest(runs=(folder,), out=tmp_path / "export"))


def test_what_stands_in_the_way_is_kept(published: Path, whole: Path) -> None:
    request = ExportRequest(runs=(published / "runs",), out=whole)
    with pytest.raises(StoreError, match="--overwrite"):
        export_runs(request)
    other = published.parent / "own"
    other.mkdir()
    (other / "letter.txt").write_text("dear")
    with pytest.raises(StoreError, match="is no export"):
        export_runs(ExportRequest(runs=(published / "runs",), out=other, overwrite=True))
    assert (other / "letter.txt").read_text() == "dear"


def test_an_export_says_its_licences_and_sizes(published: Path) -> None:
    whole, records = (open_export(published / one) for one in ("whole", "records"))
    assert records.n_bytes < whole.n_bytes < 400_000
    text = (whole.path / "README.md").read_text()
    assert "- results: CC0-1.0\n- data train.xyz: not stated" in text
    assert "- model zero: MIT (mlffbench)" in text
    # what earlier versions wrote and read
    assert "| suite | model | mode | predictions | size |" in text
    manifest = json.loads((whole.path / "export.json").read_text())
    assert not any("kind" in one for one in manifest["runs"])
    sizes = {one["mode"]: one["bytes"] for one in manifest["runs"]}
    folder = whole.path / manifest["runs"][-1]["folder"]
    mode = manifest["runs"][-1]["mode"]
    assert sizes[mode] == sum(path.stat().st_size for path in folder.iterdir())
    assert io.StringIO((whole.path / "report.md").read_text()).readline() == (
        "# mlffbench report\n"
    )
