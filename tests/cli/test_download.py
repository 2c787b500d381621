"""``mlffbench download`` against a real server on this machine, killed and cut."""

import hashlib
import io
import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from file_server import FileServer, file_server
from processes import Started, environment, mlffbench, python

from mlffbench.datasets.download.readme_tables import with_tables
from mlffbench.datasets.download.table import DOWNLOADS

ROOT = Path(__file__).parent.parent.parent


def packed(n_bytes: int) -> bytes:
    """Return an npz file of so many bytes: a first copy is opened."""
    around = 0
    while True:
        file = io.BytesIO()
        noise = np.random.default_rng(3).bytes(n_bytes - around)
        np.savez(file, R=np.frombuffer(noise, dtype=np.uint8))
        if file.tell() == n_bytes:
            return file.getvalue()
        around += file.tell() - n_bytes


NPZ = packed(1_000_004)
NAME = "md17_ethanol.npz"
TRUST = "--accept-unknown-hash"


@pytest.fixture(autouse=True)
def _own_data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFFBENCH_DATA", raising=False)


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server() as running:
        running.serve(NAME, NPZ)
        yield running


def words(server: FileServer, *more: str) -> list[str]:
    """Return the command that downloads ethanol from the server."""
    command = ["-m", "mlffbench", "download", "md17/ethanol"]
    return [*command, "--mirror", server.url, "--tries", "1", *more]


def run(command: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in this process, which saves the time to start another."""
    return mlffbench(*command[2:], cwd=cwd)


def start(command: list[str], cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own."""
    return python(*command, cwd=cwd, env={**environment(), **more})


def download(
    server: FileServer, cwd: Path, *more: str
) -> subprocess.CompletedProcess[str]:
    return run(words(server, *more), cwd)


def sentence(done: subprocess.CompletedProcess[str]) -> str:
    """Return the one sentence of a command that failed."""
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    return done.stderr


def path_in(cwd: Path) -> Path:
    return cwd / "data" / "md17" / NAME


def wait_for_part(path: Path, n_bytes: int) -> None:
    part = path.with_name(f"{path.name}.part")
    deadline = time.monotonic() + 60
    while not (part.exists() and part.stat().st_size >= n_bytes):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_it_downloads_and_everything_knows_it(server: FileServer, tmp_path: Path) -> None:
    done = download(server, tmp_path, TRUST)
    assert done.returncode == 0, done.stderr
    assert path_in(tmp_path).read_bytes() == NPZ
    assert "md17: licence not stated" in done.stdout
    assert re.search(
        r"md17_ethanol.npz: \d+\.\d kB of 1.0 MB, .*/s, 0 s left", done.stdout
    )
    listed = run(["-m", "mlffbench", "list", "downloads"], tmp_path)
    assert re.search(r"^md17 .* partly *$", listed.stdout, re.MULTILINE)
    assert re.search(r"^spice-2 .* 37\.5 GB +no *$", listed.stdout, re.MULTILINE)
    told = run(["-m", "mlffbench", "info", "md17"], tmp_path).stdout
    assert "data/md17 (partly)" in told
    assert "the first copy seen" in told
    again = download(server, tmp_path)
    assert again.returncode == 0
    assert "licence" not in again.stdout
    assert len(server.files[f"/{NAME}"].requests) == 1
    checked = download(server, tmp_path, "--verify-only")
    assert "every byte in data/md17 is as it was verified" in checked.stdout


def test_killed_at_30_and_70_percent_it_ends_with_the_same_bytes(
    server: FileServer, tmp_path: Path
) -> None:
    served = server.files[f"/{NAME}"]
    served.rate = 400_000
    for fraction in (0.3, 0.7):
        process = Started(*words(server, TRUST), cwd=tmp_path)
        wait_for_part(path_in(tmp_path), int(fraction * len(NPZ)))
        process.kill()
        assert not path_in(tmp_path).exists()
    served.rate = 0
    done = download(server, tmp_path, TRUST)
    assert done.returncode == 0, done.stderr
    assert "going on after" in done.stdout
    assert path_in(tmp_path).read_bytes() == NPZ
    assert len(served.requests) == 3
    assert all(asked.startswith("bytes=") for asked in served.requests[1:])
    names = {path.name for path in path_in(tmp_path).parent.iterdir()}
    assert names == {NAME, "checksums.lock.json", ".lock"}


def test_ctrl_c_says_how_to_continue(server: FileServer, tmp_path: Path) -> None:
    server.files[f"/{NAME}"].rate = 400_000
    process = Started(*words(server, TRUST), cwd=tmp_path)
    wait_for_part(path_in(tmp_path), 200_000)
    process.interrupt()
    done = process.wait()
    assert done.returncode == 1
    assert "stopped; to continue, type: mlffbench download md17/ethanol" in done.stderr
    assert "Traceback" not in done.stderr
    server.files[f"/{NAME}"].rate = 0
    assert download(server, tmp_path, TRUST).returncode == 0
    assert path_in(tmp_path).read_bytes() == NPZ


def test_two_processes_at_once_fetch_once(server: FileServer, tmp_path: Path) -> None:
    server.files[f"/{NAME}"].rate = 500_000
    both = [Started(*words(server, TRUST), cwd=tmp_path) for _ in range(2)]
    done = [process.wait() for process in both]
    said = [one.stdout for one in done]
    assert [one.returncode for one in done] == [0, 0]
    assert path_in(tmp_path).read_bytes() == NPZ
    assert len(server.files[f"/{NAME}"].requests) == 1
    waited = ["another download into data/md17 is running" in text for text in said]
    assert sorted(waited) == [False, True]


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (
            "cut",
            r"the connection to 127.0.0.1:\d+ was cut \(1 try\); 300.0 kB are kept",
        ),
        ("500", r"answers 500 Internal Server Error \(1 try\); repeat the command"),
        ("page", "sends a web page \\('Log in'\\) instead of md17_ethanol.npz"),
        ("404", "answers 404 Not Found for http"),
        ("no npz", "sends something that is no .npz file instead of md17_ethanol.npz"),
        ("nobody", "no connection to 127.0.0.1:9"),
    ],
)
def test_a_fault_is_one_sentence_and_the_same_command_continues(
    fault: str, expected: str, server: FileServer, tmp_path: Path
) -> None:
    good = server.files[f"/{NAME}"]
    bad = server.serve(NAME, NPZ)
    command = words(server, TRUST)
    if fault == "cut":
        bad.cuts = [300_000]
    elif fault == "500":
        bad.answers = [(500, {})] * 3
    elif fault == "page":
        bad.content, bad.kind = b"<html><title>Log in</title>", "text/html"
    elif fault == "404":
        del server.files[f"/{NAME}"]
    elif fault == "no npz":
        bad.content = b'{"message": "rate limit exceeded"}'
    else:
        command[command.index(server.url)] = "http://127.0.0.1:9"
    assert re.search(expected, sentence(run(command, tmp_path)))
    assert not path_in(tmp_path).exists()
    server.files[f"/{NAME}"] = good
    assert download(server, tmp_path, TRUST).returncode == 0
    assert path_in(tmp_path).read_bytes() == NPZ


def test_a_wrong_hash_is_one_sentence(server: FileServer, tmp_path: Path) -> None:
    server.serve("rmd17_ethanol.npz", NPZ)
    command = words(server)
    command[command.index("md17/ethanol")] = "rmd17-files/ethanol"
    said = sentence(run(command, tmp_path))
    assert f"has md5 {hashlib.md5(NPZ).hexdigest()} instead of eb837fb8" in said
    assert "it was removed" in said
    assert not list(tmp_path.rglob("*.npz*"))


def test_a_file_of_another_size_is_refused_before_it_is_fetched(
    server: FileServer, tmp_path: Path
) -> None:
    server.serve("SPICE-1.1.4.hdf5", b"\x89HDF\r\n\x1a\n" + bytes(100))
    command = words(server)
    command[command.index("md17/ethanol")] = "spice-1"
    assert "offers 108 bytes as SPICE-1.1.4.hdf5, but 16,058,156,944" in sentence(
        run(command, tmp_path)
    ) or "needs 16.1 GB more" in sentence(run(command, tmp_path))


def test_a_limit_on_file_sizes_is_a_full_disk(server: FileServer, tmp_path: Path) -> None:
    command = words(server, TRUST)
    done = Started(*command, cwd=tmp_path, file_limit=500_000).wait()
    assert "is full; 500.0 kB of md17_ethanol.npz are kept: free some" in sentence(done)
    assert download(server, tmp_path, TRUST).returncode == 0
    assert path_in(tmp_path).read_bytes() == NPZ


def test_a_folder_that_cannot_be_written_is_one_sentence(
    server: FileServer, tmp_path: Path
) -> None:
    (tmp_path / "data").write_bytes(b"a file")
    assert "cannot create the folder data/md17" in sentence(download(server, tmp_path))


def test_a_copy_is_imported_and_a_wrong_one_is_not(tmp_path: Path) -> None:
    (tmp_path / "usb").mkdir()
    (tmp_path / "usb" / NAME).write_bytes(NPZ)
    (tmp_path / "page.npz").write_bytes(b"<html>not found</html>")
    base = ["-m", "mlffbench", "download", "md17/ethanol", TRUST]
    said = sentence(run([*base, "--from", "page.npz"], tmp_path))
    assert "is a web page; it was not imported as md17_ethanol.npz" in said
    assert run([*base, "--from", "usb"], tmp_path).returncode == 0
    assert path_in(tmp_path).samefile(tmp_path / "usb" / NAME)
    said = sentence(run([*base[:4], "spice-1", "--from", "usb"], tmp_path))
    assert "usb does not hold SPICE-1.1.4.hdf5" in said


def test_a_stand_in_needs_a_file(tmp_path: Path) -> None:
    base = ["-m", "mlffbench", "download", "spice-1", "--stand-in"]
    assert "--stand-in goes with --from" in sentence(run(base, tmp_path))
    (tmp_path / "small.hdf5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    assert run([*base, "--from", "small.hdf5"], tmp_path).returncode == 0
    told = run(["-m", "mlffbench", "info", "spice-1"], tmp_path).stdout
    assert "a stand-in of the user's, not the published file" in " ".join(told.split())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("spice-3", "unknown dataset or suite 'spice-3'. Did you mean 'spice-2'?"),
        ("md17/asprin", "Did you mean 'md17/aspirin'?"),
        ("gone.yaml", "cannot read the suite gone.yaml"),
        ("md17/ethanol", "nobody published a checksum of md17_ethanol.npz; add --accept"),
    ],
)
def test_bad_names_are_one_sentence(name: str, expected: str, tmp_path: Path) -> None:
    command = ["-m", "mlffbench", "download", name]
    assert expected in sentence(run(command, tmp_path))


def test_a_suite_that_ships_needs_nothing(tmp_path: Path) -> None:
    done = run(["-m", "mlffbench", "download", "mini-ood"], tmp_path)
    assert done.returncode == 0
    assert "mini-ood needs no download" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_another_folder_is_said_to_need_the_variable(
    server: FileServer, tmp_path: Path
) -> None:
    done = download(server, tmp_path, TRUST, "--data-dir", "big disk")
    assert done.returncode == 0
    assert f"export MLFFBENCH_DATA='{tmp_path}/big disk'" in done.stdout


def test_the_page_of_data_and_the_rows_agree() -> None:
    page = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    assert with_tables(page) == page, (
        "run: python -m mlffbench.datasets.download.readme_tables data/README.md"
    )
    for key, download_row in DOWNLOADS.items():
        assert f"| `{key}` | {download_row.summary} |" in page


REPOSITORY = "tkreiman/mlff_distribution_shifts"
XYZ = b"1\nenergy=1.0\nH 0.0 0.0 0.0\n"


def serve_repository(server: FileServer, **files: bytes) -> None:
    """Answer as Hugging Face does: a list of files, and the files of a revision."""
    pytest.importorskip("huggingface_hub")
    siblings = []
    for name, content in files.items():
        path = name.replace("__", "/").replace("_dot_", ".")
        lfs = {
            "size": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "pointerSize": 100,
        }
        siblings.append({"rfilename": path, "size": len(content), "lfs": lfs})
        server.serve(f"datasets/{REPOSITORY}/resolve/abc123/{path}", content)
    siblings.append({"rfilename": "README.md", "size": 10})
    listing = {"id": REPOSITORY, "sha": "abc123", "siblings": siblings}
    server.serve(
        f"api/datasets/{REPOSITORY}",
        json.dumps(listing).encode(),
        kind="application/json",
    )


def hub(server: FileServer, cwd: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = ["-m", "mlffbench", "download", "mlff-distribution-shifts"]
    return start([*command, *more], cwd, HF_ENDPOINT=server.url, HF_HOME=str(cwd / "hf"))


def test_files_of_a_repository_are_listed_chosen_and_recognised(
    server: FileServer, tmp_path: Path
) -> None:
    serve_repository(server, md22__train_dot_xyz=XYZ, md22__data=XYZ, notes_dot_txt=b"hi")
    listed = hub(server, tmp_path)
    assert "choose files of mlff-distribution-shifts with --file" in sentence(listed)
    assert f"md22/train.xyz  {len(XYZ)} bytes" in listed.stdout
    assert "README.md" not in listed.stdout
    assert "no file of mlff-distribution-shifts matches '*.zip'" in sentence(
        hub(server, tmp_path, "--file", "*.zip")
    )
    done = hub(server, tmp_path, "--file", "md22/*", "--file", "*.txt")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "data" / "mlff-distribution-shifts"
    assert (folder / "md22" / "train.xyz").read_bytes() == XYZ
    assert "md22/data (XYZ, first frame of 1 atoms)" in done.stdout
    assert "notes.txt (no XYZ file)" in done.stdout
    code = (
        "from mlffbench.datasets.download.local import files_of\n"
        "print(*files_of('mlff-distribution-shifts'))"
    )
    found = start(["-c", code], tmp_path).stdout.split()
    assert [Path(path).name for path in found] == ["data", "train.xyz"]
    checked = hub(server, tmp_path, "--verify-only")
    assert checked.returncode == 0, checked.stderr


def test_nothing_is_not_verified(server: FileServer, tmp_path: Path) -> None:
    checked = hub(server, tmp_path, "--verify-only")
    assert "nothing of mlff-distribution-shifts is in data/" in sentence(checked)


def test_a_repository_that_cannot_be_listed_is_one_sentence(
    server: FileServer, tmp_path: Path
) -> None:
    pytest.importorskip("huggingface_hub")
    assert f"cannot list the files of {REPOSITORY}" in sentence(hub(server, tmp_path))
    with file_server() as gone:
        pass
    assert "import them with --from" in sentence(hub(gone, tmp_path))


def test_a_repository_cannot_write_elsewhere(server: FileServer, tmp_path: Path) -> None:
    serve_repository(server, **{"..__evil_dot_xyz": XYZ})
    assert "is not a name below the folder" in sentence(
        hub(server, tmp_path, "--file", "*")
    )
    assert not list(tmp_path.rglob("evil.xyz"))


def test_files_of_a_repository_are_imported_from_a_folder(
    server: FileServer, tmp_path: Path
) -> None:
    (tmp_path / "usb" / "md22").mkdir(parents=True)
    (tmp_path / "usb" / "md22" / "train.xyz").write_bytes(XYZ)
    done = hub(server, tmp_path, "--from", "usb", TRUST)
    assert done.returncode == 0, done.stderr
    assert "md22/train.xyz (XYZ, first frame of 1 atoms)" in done.stdout


@pytest.mark.network
def test_the_real_repository_can_be_listed(tmp_path: Path) -> None:
    command = ["-m", "mlffbench", "download", "mlff-distribution-shifts"]
    assert ".xyz" in run(command, tmp_path).stdout


@pytest.mark.network
def test_a_real_file_is_what_was_published(tmp_path: Path) -> None:
    command = ["-m", "mlffbench", "download", "ani-1x-nc1000"]
    done = run(command, tmp_path)
    assert done.returncode == 0, done.stderr
