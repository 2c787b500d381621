"""What nobody published a checksum of is opened before it is believed, and is bounded."""

import io
import json
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from file_server import FileServer
from watcher_notes import Notes

from mlffbench.cli.shared.console import resumable
from mlffbench.core.errors import DataError
from mlffbench.core.guards.plain import without_credentials
from mlffbench.datasets.download import transfer
from mlffbench.datasets.download.claims import RemoteFile
from mlffbench.datasets.download.digests import fault_inside
from mlffbench.datasets.download.fetch import Patience, fetch
from mlffbench.datasets.download.lockfile import NAME, read_lock
from mlffbench.datasets.download.obtain import Wishes, obtain
from mlffbench.datasets.download.partial import PartialFile
from mlffbench.datasets.download.table import Target, from_mirrors, target_of
from mlffbench.run.provenance import command_line

CALM = Patience(tries=1, timeout_s=5.0)
TRUSTING = Wishes(accept_unknown_hash=True, patience=CALM)


def arrays() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, R=np.ones((4, 3)), E=np.zeros(4))
    return buffer.getvalue()


def target(server: FileServer, name: str) -> Target:
    file = RemoteFile(name=name, urls=(f"{server.url}/{name}",))
    return target_of("acac")._replace(files=(file,))


@pytest.mark.parametrize("name", ["a.npz", "a.h5", "a.tar.gz", "a.xyz"])
def test_a_damaged_first_copy_is_not_pinned(
    server: FileServer, tmp_path: Path, name: str
) -> None:
    content = bytearray(arrays())
    content[content.index(np.ones(3).tobytes()) + 3] ^= 1  # only its checksum tells
    served = {
        "a.npz": bytes(content),
        "a.h5": b"\x89HDF\r\n\x1a\n" + bytes(40),
        "a.tar.gz": b"\x1f\x8b" + bytes(40),
        "a.xyz": b"not found\n",
    }
    server.serve(name, served[name])
    with pytest.raises(DataError, match=r"it was removed and is not trusted"):
        obtain(target(server, name), tmp_path, TRUSTING, Notes())
    assert read_lock(tmp_path).files == {}
    assert not (tmp_path / name).exists()


def test_a_sound_first_copy_is_pinned(server: FileServer, tmp_path: Path) -> None:
    server.serve("a.npz", arrays())
    obtain(target(server, "a.npz"), tmp_path, TRUSTING, Notes())
    assert read_lock(tmp_path).files["a.npz"].trusted.startswith("the first copy")


def test_what_is_inside(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = 1.0
    (tmp_path / "b.npz").write_bytes(arrays())
    (tmp_path / "c.xyz").write_text("1\n\nH 0 0 0\n")
    (tmp_path / "d.bin").write_bytes(b"x")
    assert [fault_inside(path) for path in sorted(tmp_path.iterdir())] == [""] * 4
    (tmp_path / "e.npz").write_bytes(b"")
    assert fault_inside(tmp_path / "e.npz") == "is empty"
    with zipfile.ZipFile(tmp_path / "f.npz", "w") as packed:
        packed.writestr("x.npy", b"123")
    content = (tmp_path / "f.npz").read_bytes()
    (tmp_path / "f.npz").write_bytes(content[:-30])
    assert fault_inside(tmp_path / "f.npz") != ""


@pytest.mark.parametrize("facts", [{"size": 900}, {"about": 300}, {}])
def test_a_body_without_length_is_bounded(
    server: FileServer,
    tmp_path: Path,
    facts: dict[str, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transfer, "UNSTATED", 900)
    server.serve("a.bin", bytes(1_000_000), length=-1)
    file = RemoteFile(name="a.bin", urls=(f"{server.url}/a.bin",), **facts)
    said = r"does not say how large a\.bin is, and sends more than 900 bytes"
    with pytest.raises(DataError, match=said):
        fetch(file, tmp_path / "a.bin", patience=CALM, watcher=Notes())
    assert PartialFile(tmp_path / "a.bin").size == 0
    assert list(tmp_path.iterdir()) == []


def test_credentials_are_neither_stored_nor_printed(
    server: FileServer, tmp_path: Path
) -> None:
    server.serve("a.npz", arrays())
    mirror = server.url.replace("http://", "http://me:s3cret@")
    wanted = from_mirrors(target(server, "a.npz"), (f"{mirror}/a.npz",))
    notes = Notes()
    obtain(wanted, tmp_path, TRUSTING, notes)
    lock = (tmp_path / NAME).read_text()
    assert f"{server.url}/a.npz" in lock
    gone = from_mirrors(target(server, "b.npz"), (f"{mirror}/b.npz?token=s3cret",))
    with pytest.raises(DataError) as caught:
        obtain(gone, tmp_path / "other", TRUSTING, notes)
    for text in (lock, json.dumps(notes.notes), str(caught.value)):
        assert "s3cret" not in text
        assert "me:" not in text


def test_a_part_from_an_address_with_a_password_is_continued(
    server: FileServer, tmp_path: Path
) -> None:
    content = np.random.default_rng(1).bytes(400_000)
    served = server.serve("a.bin", content, cuts=[200_000])
    url = server.url.replace("http://", "http://me:s3cret@")
    file = RemoteFile(name="a.bin", urls=(f"{url}/a.bin",))
    with pytest.raises(DataError):
        fetch(file, tmp_path / "a.bin", patience=CALM, watcher=Notes())
    assert "s3cret" not in (tmp_path / "a.bin.part.json").read_text()
    part = fetch(file, tmp_path / "a.bin", patience=CALM, watcher=Notes())
    assert part.path.read_bytes() == content
    assert served.requests[-1].startswith("bytes=")


def test_the_command_that_continues_names_no_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["mlffbench", "download", "x", "--mirror", "https://me:s3cret@host/a?k=v12"]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(BaseException), resumable():  # noqa: B017,PT011 - an exit
        raise KeyboardInterrupt
    for text in (capsys.readouterr().err, command_line()):
        assert "https://host/a?k=…" in text
        assert "s3cret" not in text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://zenodo.org/a?download=1", "https://zenodo.org/a?download=1"),
        ("see http://u@h:1/x and ftp://a:b@c/d", "see http://h:1/x and ftp://c/d"),
        ("me@home.org", "me@home.org"),
        ("ase:a:B?key=value", "ase:a:B?key=value"),
    ],
)
def test_what_counts_as_a_credential(text: str, shown: str) -> None:
    assert without_credentials(text) == shown
