import hashlib
import os
import stat
from pathlib import Path

import pytest

from mlffbench.core.errors import DataError, StoreError
from mlffbench.core.files import make_folder, sha256_of, write_atomic


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"one")
    write_atomic(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_as_readable_as_any_other(tmp_path: Path) -> None:
    write_atomic(tmp_path / "ours", b"")
    (tmp_path / "plain").write_bytes(b"")
    ours, plain = (
        stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("ours", "plain")
    )
    assert ours == plain


def test_a_missing_folder_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"cannot write .*file: No such file"):
        write_atomic(tmp_path / "nowhere" / "file", b"")


def test_what_cannot_be_replaced_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(StoreError, match="cannot write"):
        write_atomic(tmp_path / "file", b"one")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_file_in_the_way_of_a_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match=r"cannot create .*; choose another folder"):
        make_folder(tmp_path / "file" / "below")


def test_sha256(tmp_path: Path) -> None:
    content = bytes(range(256)) * 10000
    (tmp_path / "file").write_bytes(content)
    assert sha256_of(tmp_path / "file") == hashlib.sha256(content).hexdigest()
    with pytest.raises(DataError, match="does not exist"):
        sha256_of(tmp_path / "nowhere")


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "data" / "file")
    for content in (b"one", b"two"):
        write_atomic(tmp_path / "link", content)
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "data" / "file").read_bytes() == content
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["file"]


def test_a_link_to_itself_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "link")
    with pytest.raises(StoreError, match="cannot write"):
        write_atomic(tmp_path / "link", b"one")


def test_a_pipe_is_written_into_and_stays(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(StoreError, match="cannot write"):  # and no wait for a reader
        write_atomic(pipe, b"one")
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_atomic(pipe, b"one")
    assert os.read(reader, 9) == b"one"
    os.close(reader)
    assert pipe.is_fifo()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_device_is_written_into_and_stays(tmp_path: Path) -> None:
    write_atomic(Path("/dev/null"), b"one")
    assert Path("/dev/null").is_char_device()
    with pytest.raises(StoreError, match="cannot write /dev/full: No space left"):
        write_atomic(Path("/dev/full"), b"one")
    assert Path("/dev/full").is_char_device()
    (tmp_path / "link").symlink_to("/dev/null")
    write_atomic(tmp_path / "link", b"one")
    assert (tmp_path / "link").is_char_device()
