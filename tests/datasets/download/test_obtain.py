"""A dataset onto the disk: checked, noted, unpacked, and found again by its readers."""

import errno
import hashlib
import io
import os
import subprocess
import tarfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from file_server import FileServer
from watcher_notes import Notes

from mlffbench.core.errors import DataError, StoreError, UnknownNameError
from mlffbench.datasets.download import obtain
from mlffbench.datasets.download import table as downloads
from mlffbench.datasets.download.claims import (
    Download,
    RemoteFile,
    bytes_in_words,
    safe_parts,
)
from mlffbench.datasets.download.fetch import Patience
from mlffbench.datasets.download.local import data_folder, files_of, state_of
from mlffbench.datasets.download.lockfile import read_lock
from mlffbench.datasets.download.obtain import STAND_IN, Wishes, verify
from mlffbench.datasets.download.table import (
    DOWNLOADS,
    Target,
    from_mirrors,
    only,
    target_of,
)
from mlffbench.datasets.files import open as recognise

CONTENT = np.random.default_rng(2).bytes(700_000)
XYZ = b"1\nenergy=1.0\nH 0.0 0.0 0.0\n"
WISHES = Wishes(patience=Patience(tries=1))
TRUSTING = replace(WISHES, accept_unknown_hash=True)


def packed() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in {"set/train.xyz": XYZ, "set/README": b"read me"}.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture
def target(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> Target:
    """Return a dataset of a checked file, an unchecked one and an archive, served."""
    archive = packed()
    server.serve("a.bin", CONTENT)
    server.serve("b.bin", CONTENT[::-1])
    server.serve("c.tar.gz", archive)
    files = (
        RemoteFile(
            name="a.bin",
            urls=(f"{server.url}/a.bin",),
            size=len(CONTENT),
            checksum=f"md5:{hashlib.md5(CONTENT).hexdigest()}",
            part="a",
        ),
        RemoteFile(name="b.bin", urls=(f"{server.url}/b.bin",), part="b"),
        RemoteFile(
            name="c.tar.gz",
            urls=(f"{server.url}/c.tar.gz",),
            checksum=f"sha256:{hashlib.sha256(archive).hexdigest().upper()}",
            part="c",
        ),
    )
    download = replace(DOWNLOADS["acac"], files=files, keep=("*.xyz",), licence="MIT")
    monkeypatch.setitem(downloads.DOWNLOADS, "made-up", download)
    return target_of("made-up")


def folder_in(tmp_path: Path) -> Path:
    return tmp_path / "made-up"


def part_of(target: Target, part: str) -> Target:
    return only(target, [part])


def test_everything_is_got_checked_unpacked_and_found(
    target: Target, tmp_path: Path
) -> None:
    notes = Notes()
    paths = obtain.obtain(target, folder_in(tmp_path), TRUSTING, notes)
    folder = folder_in(tmp_path)
    xyz = folder / "c.tar.gz.unpacked" / "set" / "train.xyz"
    assert paths == (folder / "a.bin", folder / "b.bin", xyz)
    assert [path.read_bytes() for path in paths] == [CONTENT, CONTENT[::-1], XYZ]
    assert files_of("made-up", tmp_path) == paths
    assert files_of("made-up/b", tmp_path) == (folder / "b.bin",)
    assert state_of("made-up", tmp_path) == "yes"
    lock = read_lock(folder)
    assert lock.files["a.bin"].sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert lock.files["a.bin"].trusted.startswith("verified: md5:")
    assert lock.files["b.bin"].trusted.startswith("the first copy seen")
    verify(target, folder, Notes())


def test_a_second_time_nothing_is_fetched_and_the_licence_is_not_repeated(
    target: Target, server: FileServer, tmp_path: Path
) -> None:
    first, second = Notes(), Notes()
    obtain.obtain(target, folder_in(tmp_path), TRUSTING, first)
    before = {name: list(file.requests) for name, file in server.files.items()}
    obtain.obtain(target, folder_in(tmp_path), WISHES, second)
    assert before == {name: file.requests for name, file in server.files.items()}
    assert [note for note in first.notes if "licence" in note] == [
        f"made-up: licence MIT; please cite {DOWNLOADS['acac'].citation}"
    ]
    assert not [note for note in second.notes if "licence" in note]


def test_an_archive_may_be_deleted_once_it_is_unpacked(
    target: Target, server: FileServer, tmp_path: Path
) -> None:
    wanted = part_of(target, "c")
    paths = obtain.obtain(wanted, folder_in(tmp_path), WISHES, Notes())
    (folder_in(tmp_path) / "c.tar.gz").unlink()
    assert files_of("made-up/c", tmp_path) == paths
    assert obtain.obtain(wanted, folder_in(tmp_path), WISHES, Notes()) == paths
    assert len(server.files["/c.tar.gz"].requests) == 1


def test_without_a_published_checksum_the_user_is_asked_first(
    target: Target, server: FileServer, tmp_path: Path
) -> None:
    wanted = part_of(target, "b")
    with pytest.raises(
        DataError, match=r"nobody published a checksum of b.bin; add --acc"
    ):
        obtain.obtain(wanted, folder_in(tmp_path), WISHES, Notes())
    assert server.files["/b.bin"].requests == []


def test_later_copies_must_match_the_first(
    target: Target, server: FileServer, tmp_path: Path
) -> None:
    wanted = part_of(target, "b")
    path = folder_in(tmp_path) / "b.bin"
    obtain.obtain(wanted, folder_in(tmp_path), TRUSTING, Notes())
    path.unlink()
    obtain.obtain(wanted, folder_in(tmp_path), WISHES, Notes())  # needs no flag now
    path.unlink()
    server.serve("b.bin", CONTENT)
    for wishes in (WISHES, TRUSTING):
        with pytest.raises(DataError, match=r"instead of \w+, that of the first copy"):
            obtain.obtain(wanted, folder_in(tmp_path), wishes, Notes())
    assert not path.exists()


def test_wrong_bytes_never_get_the_name(
    target: Target, server: FileServer, tmp_path: Path
) -> None:
    server.serve("a.bin", CONTENT[:-1] + b"\0")
    with pytest.raises(DataError, match=r"a.bin from http.* has md5 \w+ instead of") as e:
        obtain.obtain(part_of(target, "a"), folder_in(tmp_path), WISHES, Notes())
    assert "\n" not in str(e.value)
    left = {path.name for path in folder_in(tmp_path).iterdir()}
    assert left <= {".lock", "checksums.lock.json"}
    server.serve("a.bin", CONTENT)
    obtain.obtain(part_of(target, "a"), folder_in(tmp_path), WISHES, Notes())


def test_wrong_bytes_of_one_address_are_got_from_the_next(
    target: Target, server: FileServer, tmp_path: Path
) -> None:
    server.serve("bad/a.bin", CONTENT[::-1])
    mirrors = (f"{server.url}/bad/", server.url)
    notes = Notes()
    wanted = from_mirrors(part_of(target, "a"), mirrors)
    (path,) = obtain.obtain(wanted, folder_in(tmp_path), WISHES, notes)
    assert path.read_bytes() == CONTENT
    assert any("trying the next address" in note for note in notes.notes)


def test_a_truncated_file_is_not_found_and_got_anew(
    target: Target, tmp_path: Path
) -> None:
    wanted = part_of(target, "a")
    (path,) = obtain.obtain(wanted, folder_in(tmp_path), WISHES, Notes())
    path.write_bytes(CONTENT[:1000])
    with pytest.raises(DataError, match=r"type: mlffbench download made-up/a --data-dir"):
        files_of("made-up/a", tmp_path)
    with pytest.raises(DataError, match=r"has 1,000 bytes instead of 700,000"):
        verify(wanted, folder_in(tmp_path), Notes())
    notes = Notes()
    obtain.obtain(wanted, folder_in(tmp_path), WISHES, notes)
    assert "getting it anew" in notes.notes[0]
    assert path.read_bytes() == CONTENT


def test_verify_reads_every_byte(target: Target, tmp_path: Path) -> None:
    paths = obtain.obtain(target, folder_in(tmp_path), TRUSTING, Notes())
    for path in paths:
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert files_of("made-up", tmp_path) == paths  # sizes are right
    with pytest.raises(DataError) as caught:
        verify(target, folder_in(tmp_path), Notes())
    for path in paths:
        assert str(path) in str(caught.value)


def test_verify_names_what_is_missing(target: Target, tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"a.bin is not here; b.bin is not here; c.tar.gz"
    ):
        verify(target, folder_in(tmp_path), Notes())
    assert not folder_in(tmp_path).exists()


def test_a_file_put_there_by_hand_is_checked_and_taken(
    target: Target, server: FileServer, tmp_path: Path
) -> None:
    folder_in(tmp_path).mkdir()
    (folder_in(tmp_path) / "a.bin").write_bytes(CONTENT)
    obtain.obtain(part_of(target, "a"), folder_in(tmp_path), WISHES, Notes())
    assert server.files["/a.bin"].requests == []
    assert files_of("made-up/a", tmp_path)


def test_a_wrong_file_put_there_by_hand_is_not_lost(
    target: Target, tmp_path: Path
) -> None:
    folder_in(tmp_path).mkdir()
    path = folder_in(tmp_path) / "a.bin"
    path.write_bytes(b"mine")
    with pytest.raises(
        DataError, match=r"has 4 bytes instead .* move it away and repeat"
    ):
        obtain.obtain(part_of(target, "a"), folder_in(tmp_path), WISHES, Notes())
    assert path.read_bytes() == b"mine"


@pytest.mark.parametrize("linked", [True, False])
@pytest.mark.parametrize("where", ["file", "folder", "deep"])
def test_a_copy_elsewhere_is_imported(
    *,
    linked: bool,
    where: str,
    target: Target,
    server: FileServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = tmp_path / "usb" / ("x/y/" if where == "deep" else "") / "a.bin"
    source.parent.mkdir(parents=True)
    source.write_bytes(CONTENT)
    if not linked:

        def other_disk(*_: object) -> None:
            raise OSError(errno.EXDEV, "Invalid cross-device link")

        monkeypatch.setattr(os, "link", other_disk)
    origin = source if where == "file" else tmp_path / "usb"
    wishes = replace(WISHES, origin=origin)
    (path,) = obtain.obtain(part_of(target, "a"), folder_in(tmp_path), wishes, Notes())
    assert path.read_bytes() == source.read_bytes() == CONTENT
    assert path.samefile(source) == linked
    assert server.files["/a.bin"].requests == []
    assert files_of("made-up/a", tmp_path) == (path,)


def test_a_wrong_copy_is_not_imported(target: Target, tmp_path: Path) -> None:
    source = tmp_path / "a.bin"
    source.write_bytes(CONTENT[:-5])
    wishes = replace(WISHES, origin=source)
    with pytest.raises(DataError, match=r"has 699,995 bytes .* was not imported"):
        obtain.obtain(part_of(target, "a"), folder_in(tmp_path), wishes, Notes())
    assert source.exists()
    wishes = replace(WISHES, origin=tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"does not exist; check the path after --from"):
        obtain.obtain(part_of(target, "a"), folder_in(tmp_path), wishes, Notes())


def test_what_a_folder_lacks_is_named(target: Target, tmp_path: Path) -> None:
    (tmp_path / "usb").mkdir()
    (tmp_path / "usb" / "c.tar.gz").write_bytes(packed())
    wishes = replace(WISHES, origin=tmp_path / "usb")
    with pytest.raises(DataError, match=r"does not hold a.bin, b.bin"):
        obtain.obtain(target, folder_in(tmp_path), wishes, Notes())
    assert len(files_of("made-up/c", tmp_path)) == 1


def test_a_stand_in_is_taken_and_said_to_be_one(target: Target, tmp_path: Path) -> None:
    source = tmp_path / "short.bin"
    source.write_bytes(CONTENT[:100])
    wishes = replace(WISHES, origin=source, stand_in=True)
    obtain.obtain(part_of(target, "a"), folder_in(tmp_path), wishes, Notes())
    (path,) = files_of("made-up/a", tmp_path)
    assert path.read_bytes() == CONTENT[:100]
    assert read_lock(folder_in(tmp_path)).files["a.bin"].trusted == STAND_IN
    path.unlink()
    obtain.obtain(part_of(target, "a"), folder_in(tmp_path), WISHES, Notes())
    assert path.read_bytes() == CONTENT


def test_two_at_once_fetch_once(
    target: Target, server: FileServer, tmp_path: Path
) -> None:
    server.files["/a.bin"].rate = 1_400_000
    wanted = part_of(target, "a")
    notes = [Notes(), Notes()]
    found: list[tuple[Path, ...]] = []

    def one(number: int) -> None:
        path = obtain.obtain(wanted, folder_in(tmp_path), WISHES, notes[number])
        found.append(path)

    threads = [threading.Thread(target=one, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
        time.sleep(0.2)
    for thread in threads:
        thread.join()
    assert found[0] == found[1]
    assert found[0][0].read_bytes() == CONTENT
    assert server.files["/a.bin"].requests == [""]
    said = [note for note in notes[1].notes if "is running; waiting for it" in note]
    assert len(said) == 1


def test_a_damaged_note_is_one_sentence(target: Target, tmp_path: Path) -> None:
    obtain.obtain(part_of(target, "a"), folder_in(tmp_path), WISHES, Notes())
    note = folder_in(tmp_path) / "checksums.lock.json"
    note.write_text(note.read_text()[:40])
    with pytest.raises(
        DataError, match=r"is damaged .* delete it and repeat the download"
    ):
        files_of("made-up/a", tmp_path)
    note.unlink()
    obtain.obtain(part_of(target, "a"), folder_in(tmp_path), WISHES, Notes())


@pytest.mark.parametrize("options", ["size=300k", "ro"])
def test_a_full_or_read_only_disk_is_one_sentence_and_costs_nothing(
    options: str, target: Target, server: FileServer, tmp_path: Path
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no small disk can be mounted here")
    wanted = part_of(target, "a")
    unsized = replace(wanted.files[0], size=None)
    try:
        with pytest.raises(StoreError) as caught:
            obtain.obtain(wanted, folder_in(disk), WISHES, Notes())
        sentence = str(caught.value)
        if options == "ro":
            assert "Read-only file system" in sentence
            return
        assert "only" in sentence
        assert "free" in sentence
        server.files["/a.bin"].length = None
        # and where nobody knows the size beforehand, the disk really fills up
        server.serve("a.bin", CONTENT)
        _fill_up(wanted._replace(files=(unsized,)), disk, server)
        subprocess.run(["mount", "-o", "remount,size=2m", "tmpfs", str(disk)], check=True)
        (path,) = obtain.obtain(wanted, folder_in(disk), WISHES, Notes())
        assert path.read_bytes() == CONTENT
        assert server.files["/a.bin"].requests[-1] != ""  # it went on
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def _fill_up(target: Target, disk: Path, server: FileServer) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "mlffbench.datasets.download.transfer.require_space", lambda *_: None
        )
        with pytest.raises(StoreError, match=r"the disk of .* is full; .* are kept"):
            obtain.obtain(target, folder_in(disk), WISHES, Notes())
    assert server.files["/a.bin"].requests == [""]


def test_data_are_looked_for_where_the_user_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("MLFFBENCH_DATA", raising=False)
    assert data_folder() == Path("data")
    monkeypatch.setenv("MLFFBENCH_DATA", str(tmp_path))
    assert data_folder() == tmp_path
    assert data_folder(Path("x")) == Path("x")
    with pytest.raises(DataError, match=r"spice-1 \(16.1 GB\) is not in .*: mlffbench d"):
        files_of("spice-1")


@pytest.mark.parametrize("name", ["spice-3", "md17/asprin", "spice-1/x", ""])
def test_an_unknown_name_is_told_with_a_hint(name: str) -> None:
    with pytest.raises(UnknownNameError, match=r"Known: "):
        files_of(name)


def test_every_row_is_complete() -> None:
    for key, download in DOWNLOADS.items():
        assert isinstance(download, Download)
        assert len(download.summary) <= 90, key
        assert download.licence
        assert download.citation
        assert download.source.startswith(("http://", "https://"))
        assert bool(download.files) != bool(download.repository)
        parts = [file.part for file in download.files]
        assert len(set(parts)) == len(parts), key
        for file in download.files:
            assert safe_parts(file.name) == (file.name,)
            assert download.layout in get_args(recognise.Kind)
            assert all(url.startswith(("http://", "https://")) for url in file.urls)
            assert len(set(file.urls)) == len(file.urls) >= 1
            if file.checksum:
                algorithm, _, value = file.checksum.partition(":")
                assert len(value) == {"md5": 32, "sha256": 64}[algorithm]
                int(value, 16)
            else:
                assert "nobody published a" in file.claim


def test_sizes_in_words() -> None:
    words = {0: "0 bytes", 999: "999 bytes", 1000: "1.0 kB", 4.2e15: "4200.0 TB"}
    for size, word in words.items():
        assert bytes_in_words(size) == word
