"""Parts that an interrupted import or another address left behind."""

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from file_server import FileServer
from watcher_notes import Notes

from mlffbench.datasets.download import table as downloads
from mlffbench.datasets.download.claims import RemoteFile
from mlffbench.datasets.download.fetch import Patience
from mlffbench.datasets.download.hub import of_user
from mlffbench.datasets.download.lockfile import NAME
from mlffbench.datasets.download.obtain import Wishes, obtain
from mlffbench.datasets.download.partial import Origin, PartialFile
from mlffbench.datasets.download.table import DOWNLOADS, Target, target_of

CONTENT = np.random.default_rng(5).bytes(300_000)
WISHES = Wishes(patience=Patience(tries=1))


@pytest.fixture
def target(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> Target:
    """Return a dataset of one checked file, served."""
    server.serve("a.bin", CONTENT)
    checksum = f"md5:{hashlib.md5(CONTENT).hexdigest()}"
    file = RemoteFile(name="a.bin", urls=(f"{server.url}/a.bin",), checksum=checksum)
    monkeypatch.setitem(
        downloads.DOWNLOADS, "made-up", replace(DOWNLOADS["acac"], files=(file,))
    )
    return target_of("made-up")


def test_a_killed_import_does_not_cost_the_user_his_file(
    target: Target, tmp_path: Path
) -> None:
    mine, folder = tmp_path / "mine.bin", tmp_path / "made-up"
    mine.write_bytes(b"something of mine")
    folder.mkdir()
    os.link(mine, PartialFile(folder / "a.bin").path)  # killed before it got its name
    (path,) = obtain(target, folder, WISHES, Notes())
    assert path.read_bytes() == CONTENT
    assert mine.read_bytes() == b"something of mine"


def test_our_own_part_may_be_imported(target: Target, tmp_path: Path) -> None:
    folder = tmp_path / "made-up"
    folder.mkdir()
    part = PartialFile(folder / "a.bin")
    part.path.write_bytes(CONTENT)
    (path,) = obtain(target, folder, replace(WISHES, origin=part.path), Notes())
    assert path.read_bytes() == CONTENT
    assert not part.path.exists()


def test_a_wrong_part_from_elsewhere_is_got_anew(target: Target, tmp_path: Path) -> None:
    folder = tmp_path / "made-up"
    folder.mkdir()
    part = PartialFile(folder / "a.bin")
    part.start(Origin(url="/mnt/usb/a.bin"))
    damaged = b"\0" * 1_000 + CONTENT[1_000:200_000]  # its end is right
    assert sum(part.append([damaged])) == len(damaged)
    notes = Notes()
    (path,) = obtain(target, folder, WISHES, notes)
    assert path.read_bytes() == CONTENT
    assert any("/mnt/usb/a.bin has md5" in note for note in notes.notes)


def test_notes_of_another_computer_are_no_data(tmp_path: Path) -> None:
    for name in ("md22.xyz", NAME, ".lock"):
        (tmp_path / name).write_bytes(b"1\n\nH 0 0 0\n")
    found = of_user(target_of("mlff-distribution-shifts"), tmp_path, None)
    assert [file.name for file in found.files] == ["md22.xyz"]
