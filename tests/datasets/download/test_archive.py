"""Unpacking archives: what is in them comes out, and nothing goes anywhere else."""

import bz2
import gzip
import hashlib
import io
import lzma
import os
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from watcher_notes import Notes

from mlffbench.core.errors import DataError, StoreError
from mlffbench.core.files import sha256_of
from mlffbench.datasets.download.archive import (
    Limits,
    check_members,
    folder_of,
    members_of,
    unpack,
)

FILES = {
    "set/train.xyz": np.random.default_rng(1).bytes(30_000),
    "set/deep/er/test.xyz": b"2\n\nH 0 0 0\nH 0 0 1\n",
    "README": b"",
}
TIGHT = Limits(ratio=1.0, least_bytes=100_000, members=10)


def tar_of(path: Path, mode: str, files: dict[str, bytes] | None = None) -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        folder = tarfile.TarInfo("set")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name, content in (FILES if files is None else files).items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def zip_of(path: Path, files: dict[str, bytes] | None = None) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.mkdir("set")
        for name, content in (FILES if files is None else files).items():
            packed.writestr(name, content)
    return path


MAKERS: dict[str, Callable[[Path], Path]] = {
    "a.tar": lambda path: tar_of(path, "w"),
    "a.tar.gz": lambda path: tar_of(path, "w:gz"),
    "a.tar.bz2": lambda path: tar_of(path, "w:bz2"),
    "a.tar.xz": lambda path: tar_of(path, "w:xz"),
    "a.zip": zip_of,
}


def out(archive: Path, limits: Limits | None = None) -> dict[str, bytes]:
    """Unpack and return every file that is there now, without the note."""
    unpack(archive, Notes(), sha256=sha256_of(archive), limits=limits)
    folder = folder_of(archive)
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".unpacked.json"
    }


@pytest.mark.parametrize("name", MAKERS)
def test_everything_comes_out_as_it_went_in(name: str, tmp_path: Path) -> None:
    archive = MAKERS[name](tmp_path / name)
    assert out(archive) == FILES
    members = members_of(archive)
    assert members is not None
    for key, content in FILES.items():
        assert members[key].size == len(content)
        assert members[key].sha256 == hashlib.sha256(content).hexdigest()
    assert check_members(archive, Notes()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == [name, f"{name}.unpacked"]


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("s.hdf5.gz", gzip.compress),
        ("s.hdf5.bz2", bz2.compress),
        ("s.hdf5.xz", lzma.compress),
    ],
)
def test_one_packed_file_loses_its_suffix(
    name: str, pack: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    content = FILES["set/train.xyz"]
    (tmp_path / name).write_bytes(pack(content))
    assert out(tmp_path / name) == {"s.hdf5": content}


def test_gnu_tar_and_we_agree(tmp_path: Path) -> None:
    archive = tar_of(tmp_path / "a.tar.gz", "w:gz")
    (tmp_path / "theirs").mkdir()
    subprocess.run(["tar", "xzf", archive, "-C", tmp_path / "theirs"], check=True)
    ours = out(archive)
    theirs = {name: (tmp_path / "theirs" / name).read_bytes() for name in ours}
    assert ours == theirs


def test_a_second_time_nothing_is_written(tmp_path: Path) -> None:
    archive = zip_of(tmp_path / "a.zip")
    out(archive)
    before = {path: path.stat().st_mtime_ns for path in folder_of(archive).rglob("*")}
    out(archive)
    after = {path: path.stat().st_mtime_ns for path in folder_of(archive).rglob("*")}
    assert before == after


def test_what_is_incomplete_or_of_another_archive_is_unpacked_again(
    tmp_path: Path,
) -> None:
    archive = zip_of(tmp_path / "a.zip")
    out(archive)
    (folder_of(archive) / "set" / "train.xyz").write_bytes(b"short")
    assert members_of(archive) is None
    assert out(archive) == FILES
    zip_of(archive, {"other.xyz": b"1\n\nH 0 0 0\n"})
    assert set(out(archive)) == {"other.xyz"}


def test_a_changed_byte_is_found(tmp_path: Path) -> None:
    archive = zip_of(tmp_path / "a.zip")
    out(archive)
    path = folder_of(archive) / "set" / "train.xyz"
    path.write_bytes(path.read_bytes()[:-1] + b"\0\0"[:1])
    assert members_of(archive) is not None  # by size alone nothing is wrong
    assert check_members(archive, Notes()) == [
        f"{path} was changed after it was unpacked"
    ]


def test_leftovers_of_a_killed_process_are_cleared(tmp_path: Path) -> None:
    archive = zip_of(tmp_path / "a.zip")
    leftover = tmp_path / ".a.zip.unpacked.tmp"
    leftover.mkdir()
    (leftover / "junk").write_bytes(b"junk")
    assert out(archive) == FILES
    assert not leftover.exists()


def test_a_folder_of_the_users_is_not_touched(tmp_path: Path) -> None:
    archive = zip_of(tmp_path / "a.zip")
    folder_of(archive).mkdir()
    (folder_of(archive) / "mine").write_bytes(b"mine")
    with pytest.raises(DataError, match=r"was not unpacked by mlffbench"):
        out(archive)
    assert (folder_of(archive) / "mine").read_bytes() == b"mine"


BAD_NAMES = [
    "../up.xyz",
    "/etc/up.xyz",
    "a/../../up.xyz",
    "..",
    "a\\..\\b",
    "C:x",
    "a\0b",
]


@pytest.mark.parametrize("kind", ["tar", "zip"])
@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_leads_outside_is_refused(
    kind: str, name: str, tmp_path: Path
) -> None:
    files = {"good.xyz": b"1", name: b"bad"}
    home = tmp_path / "home"
    home.mkdir()
    archive = home / f"a.{kind}"
    if kind == "tar":
        tar_of(archive, "w:gz", files)
    else:
        zip_of(archive, files)
    if "\0" in name:
        return  # both formats end a name there: nothing is left to refuse
    with pytest.raises(DataError, match=r"leads outside of its folder"):
        out(archive)
    assert [path.name for path in home.iterdir()] == [archive.name]
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE]
)
def test_links_and_devices_are_refused(kind: bytes, tmp_path: Path) -> None:
    archive = tmp_path / "a.tar"
    with tarfile.open(archive, "w") as tar:
        info = tarfile.TarInfo("link.xyz")
        info.type, info.linkname = kind, "/etc/passwd"
        tar.addfile(info)
    with pytest.raises(DataError, match=r"is a link or a device and no file"):
        out(archive)
    assert list(tmp_path.iterdir()) == [archive]


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        info = zipfile.ZipInfo("link.xyz")
        info.external_attr = 0o120777 << 16
        packed.writestr(info, "/etc/passwd")
    with pytest.raises(DataError, match=r"is a link or a device"):
        out(archive)


@pytest.mark.parametrize("kind", ["tar.gz", "tar.bz2", "zip", "gz"])
def test_a_bomb_does_not_go_off(kind: str, tmp_path: Path) -> None:
    zeros = bytes(1_000_000)
    archive = tmp_path / f"a.{kind}"
    if kind == "gz":
        archive.write_bytes(gzip.compress(zeros))
    elif kind == "zip":
        zip_of(archive, {"small": b"1", "zeros": zeros})
    else:
        tar_of(archive, f"w:{kind[-2:] if kind == 'tar.gz' else 'bz2'}", {"z": zeros})
    assert archive.stat().st_size < 5000
    with pytest.raises(DataError, match=r"unpacks to more than 100.0 kB"):
        out(archive, TIGHT)
    assert list(tmp_path.iterdir()) == [archive]


def test_many_small_files_of_a_zip_share_one_budget(tmp_path: Path) -> None:
    archive = zip_of(tmp_path / "a.zip", {f"{i}": bytes(30_000) for i in range(5)})
    with pytest.raises(DataError, match=r"unpacks to more than"):
        out(archive, TIGHT)


def test_a_tar_header_cannot_be_a_bomb(tmp_path: Path) -> None:
    archive = tmp_path / "a.tar.gz"
    with tarfile.open(archive, "w:gz", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo("a.xyz")
        info.pax_headers = {"comment": "x" * 1_000_000}
        tar.addfile(info)
    with pytest.raises(DataError, match=r"unpacks to more than"):
        out(archive, TIGHT)


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_too_many_files_are_refused(kind: str, tmp_path: Path) -> None:
    files = {f"{i}": b"" for i in range(11)}
    archive = tmp_path / "a.x"
    if kind == "tar":
        tar_of(archive, "w", files)
    else:
        zip_of(archive, files)
    with pytest.raises(DataError, match=r"more than 10 files"):
        out(archive, TIGHT)


def test_a_file_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "a.tar"
    with tarfile.open(archive, "w") as tar:
        for content in (b"one", b"two"):
            info = tarfile.TarInfo("a.xyz")
            info.size = 3
            tar.addfile(info, io.BytesIO(content))
    with pytest.raises(DataError, match=r"holds 'a.xyz' twice"):
        out(archive)


@pytest.mark.parametrize("name", [*MAKERS, "s.gz"])
@pytest.mark.parametrize("part", [0.2, 0.6, 0.97])
def test_a_truncated_archive_is_one_sentence(
    name: str, part: float, tmp_path: Path
) -> None:
    archive = tmp_path / name
    if name in MAKERS:
        MAKERS[name](archive)
    else:
        archive.write_bytes(gzip.compress(FILES["set/train.xyz"]))
    content = archive.read_bytes()
    archive.write_bytes(content[: int(part * len(content))])
    if name == "a.tar" and part > 0.8:
        return  # the end of a tar is zeros, of which it may lack any number
    with pytest.raises(DataError) as caught:
        out(archive)
    assert str(archive) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == [archive]


def test_what_is_no_archive_is_one_sentence(tmp_path: Path) -> None:
    archive = tmp_path / "a.tar.gz"
    archive.write_bytes(b"hello" * 500)
    with pytest.raises(DataError, match=r"is no archive that is known"):
        out(archive)


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    archive = zip_of(tmp_path / "a.zip", {"a.xyz": b"secret"})
    content = bytearray(archive.read_bytes())
    content[content.index(b"PK\x01\x02", content.index(b"a.xyz")) + 8] |= 1
    archive.write_bytes(bytes(content))
    with pytest.raises(DataError, match=r"is encrypted"):
        out(archive)


def test_a_full_disk_keeps_the_archive(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(disk)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no small disk can be mounted here")
    try:
        archive = zip_of(disk / "a.zip", {"z": bytes(500_000)})
        with pytest.raises(StoreError, match=r"No space left on device; the archive is"):
            out(archive)
        assert list(disk.iterdir()) == [archive]
    finally:
        subprocess.run(["umount", str(disk)], check=True)
