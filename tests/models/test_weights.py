import hashlib
import logging
import socket
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from mlffbench.core.errors import ModelError
from mlffbench.models.weights import (
    CACHE_VARIABLE,
    Weights,
    cache_folder,
    check_archive,
    fetch,
    trust,
)

CONTENT = b"0.1 0.2 0.3"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


class Counting(Quiet):
    n_sent = 0

    def do_GET(self) -> None:
        Counting.n_sent += 1
        super().do_GET()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv(CACHE_VARIABLE, str(folder))
    return folder


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Return the address of a web server on this machine with one file, net.model."""
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "net.model").write_bytes(CONTENT)
    with ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(Counting, directory=folder)
    ) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}/net.model"
        http.shutdown()
        thread.join()


@pytest.fixture
def nowhere() -> str:
    """Return an address at which nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/net.model"


def test_the_folder_is_the_users_choice(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cache_folder() == cache
    assert not cache.exists()
    monkeypatch.delenv(CACHE_VARIABLE)
    assert cache_folder().name == "mlffbench"


def test_a_file_is_downloaded_once(server: str, cache: Path) -> None:
    weights = Weights(file="net.model", url=server, sha256=SHA256)
    assert fetch(weights) == cache / "net.model"
    assert (cache / "net.model").read_bytes() == CONTENT
    gone = Weights(file="net.model", url="http://127.0.0.1:9/", sha256=SHA256)
    assert fetch(gone) == cache / "net.model"


def test_workers_that_start_together_download_once(server: str, cache: Path) -> None:
    weights = Weights(file="net.model", url=server, sha256=SHA256)
    before = Counting.n_sent
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(fetch, [weights] * 3))
    assert found == [cache / "net.model"] * 3
    assert Counting.n_sent == before + 1
    assert [path.name for path in cache.iterdir()] == ["net.model"]


def test_a_wrong_download_is_not_kept(server: str, cache: Path) -> None:
    weights = Weights(file="net.model", url=server, sha256="0" * 64)
    with pytest.raises(ModelError, match=r"is not the file it has to be .* was removed"):
        fetch(weights)
    assert list(cache.iterdir()) == []


def test_a_missing_page_is_a_sentence(server: str, cache: Path) -> None:
    weights = Weights(file="other.model", url=f"{server}.gone", sha256=SHA256)
    with pytest.raises(ModelError, match=r"cannot download other\.model \(HTTPError\)"):
        fetch(weights)
    assert list(cache.iterdir()) == []


def test_offline_says_where_to_put_the_file(nowhere: str, cache: Path) -> None:
    weights = Weights(file="net.model", url=nowhere, sha256=SHA256)
    with pytest.raises(ModelError, match=r"\(ConnectionError\)") as caught:
        fetch(weights)
    assert nowhere in str(caught.value)
    assert str(cache / "net.model") in str(caught.value)
    assert "\n" not in str(caught.value)
    cache.mkdir(exist_ok=True)
    (cache / "net.model").write_bytes(CONTENT)
    assert fetch(weights) == cache / "net.model"


def test_a_damaged_file_is_refused(nowhere: str, cache: Path) -> None:
    cache.mkdir()
    (cache / "net.model").write_bytes(CONTENT[:5])
    with pytest.raises(ModelError, match=f"expected {SHA256}: the file is damaged"):
        fetch(Weights(file="net.model", url=nowhere, sha256=SHA256))


def test_weights_without_end_are_not_downloaded(
    server: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlffbench.models.weights.MOST_BYTES", 5)
    with pytest.raises(ModelError, match=r"cannot download net\.model"):
        fetch(Weights(file="net.model", url=server))
    assert list(cache.iterdir()) == []


def test_trust_on_first_use(
    server: str, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    weights = Weights(file="net.model", url=server)
    with caplog.at_level(logging.WARNING, logger="mlffbench.models.weights"):
        fetch(weights)
        assert not (cache / "net.model.sha256").exists()  # not before it was opened
        trust(weights)
        assert SHA256 in caplog.text
        assert (cache / "net.model.sha256").read_text() == f"{SHA256}\n"
        caplog.clear()
        fetch(weights)
        trust(weights)
        assert caplog.text == ""
    (cache / "net.model").write_bytes(b"something else")
    with pytest.raises(ModelError, match=f"expected {SHA256}"):
        fetch(weights)


def test_a_flipped_bit_of_a_torch_file_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    torch.save({"weight": torch.full((50,), 1.5)}, path)
    check_archive(path)
    content = bytearray(path.read_bytes())
    content[content.index(struct.pack("<4f", 1.5, 1.5, 1.5, 1.5)) + 2] ^= 1
    path.write_bytes(content)
    torch.load(path, weights_only=True)  # which says nothing
    with pytest.raises(ModelError, match=r"net\.pt is damaged .*; fetch or copy"):
        check_archive(path)


def test_what_is_no_archive_is_not_judged_here(tmp_path: Path) -> None:
    (tmp_path / "net.json").write_text("{}")
    check_archive(tmp_path / "net.json")
