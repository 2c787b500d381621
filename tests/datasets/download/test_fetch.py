"""Fetching one file from servers that fail in every way they can."""

import json
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import numpy as np
import pytest
from file_server import FileServer, Served, file_server
from hypothesis import given, settings
from hypothesis import strategies as st
from watcher_notes import Notes

from mlffbench.core.errors import BenchError, DataError, StoreError
from mlffbench.datasets.download import partial
from mlffbench.datasets.download.claims import RemoteFile
from mlffbench.datasets.download.fetch import Patience, fetch
from mlffbench.datasets.download.partial import PartialFile

CONTENT = np.random.default_rng(0).bytes(1_500_000)
NAME = "numbers.bin"
CALM = Patience(tries=3, timeout_s=5.0)


def get(
    server: FileServer, folder: Path, notes: Notes | None = None, **facts: object
) -> bytes:
    """Fetch and finish the file; a row without published size or checksum."""
    notes = notes or Notes()
    given = {"name": NAME, "urls": (f"{server.url}/{NAME}",), **facts}
    file = RemoteFile(**given)  # type: ignore[arg-type]
    part = fetch(file, folder / file.name, patience=CALM, watcher=notes, sleep=notes.wait)
    part.finish()
    assert [path.name for path in folder.iterdir()] == [file.name]
    return (folder / file.name).read_bytes()


def cut_at(fraction: float) -> int:
    return int(fraction * len(CONTENT))


def interrupted(server: FileServer, folder: Path, fraction: float) -> Served:
    """Leave a part of the file behind, as a killed process does."""
    served = server.serve(NAME, CONTENT, cuts=[cut_at(fraction)])
    with pytest.raises(BenchError):
        fetch(
            RemoteFile(name=NAME, urls=(f"{server.url}/{NAME}",)),
            folder / NAME,
            patience=Patience(tries=1),
            watcher=Notes(),
        )
    part = PartialFile(folder / NAME)
    assert part.size == cut_at(fraction)
    assert part.path.read_bytes() == CONTENT[: part.size]
    assert not (folder / NAME).exists()
    return served


def test_a_file_arrives_as_it_is(server: FileServer, tmp_path: Path) -> None:
    served = server.serve(NAME, CONTENT)
    notes = Notes()
    assert get(server, tmp_path, notes) == CONTENT
    assert served.requests == [""]
    assert notes.notes == notes.waits == []
    assert notes.begun == [(NAME, len(CONTENT), 0)]
    assert notes.n_bytes == len(CONTENT)


def test_cut_at_30_and_70_percent_it_goes_on_by_itself(
    server: FileServer, tmp_path: Path
) -> None:
    served = server.serve(NAME, CONTENT, cuts=[cut_at(0.3), cut_at(0.7)])
    notes = Notes()
    assert get(server, tmp_path, notes) == CONTENT
    overlap = 1 << 16
    assert served.requests == [
        "",
        f"bytes={cut_at(0.3) - overlap}-",
        f"bytes={cut_at(0.7) - overlap}-",
    ]
    assert len(notes.notes) == 2
    assert "was cut; trying again in 1 s" in notes.notes[0]


@pytest.mark.parametrize("fraction", [0.01, 0.3, 0.7, 1.0])
def test_a_later_process_goes_on(
    server: FileServer, tmp_path: Path, fraction: float
) -> None:
    if fraction == 1.0:  # killed between the last byte and the name
        file = RemoteFile(name=NAME, urls=(f"{server.url}/{NAME}",))
        served = server.serve(NAME, CONTENT)
        fetch(file, tmp_path / NAME, patience=CALM, watcher=Notes())
    else:
        served = interrupted(server, tmp_path, fraction)
    assert get(server, tmp_path) == CONTENT
    asked = max(cut_at(fraction) - (1 << 16), 0)
    assert served.requests == ["", f"bytes={asked}-"]


def test_a_server_that_ignores_ranges_sends_it_all_again(
    server: FileServer, tmp_path: Path
) -> None:
    interrupted(server, tmp_path, 0.3).ranges = False
    notes = Notes()
    assert get(server, tmp_path, notes) == CONTENT
    assert (
        "sends all of numbers.bin instead of the rest that is missing" in notes.notes[0]
    )


def test_another_etag_starts_over(server: FileServer, tmp_path: Path) -> None:
    interrupted(server, tmp_path, 0.3)
    other = CONTENT[::-1]
    server.serve(NAME, other)
    notes = Notes()
    assert get(server, tmp_path, notes) == other
    assert "has another file by now; starting over" in notes.notes[0]


def test_another_file_under_the_same_etag_starts_over(
    server: FileServer, tmp_path: Path
) -> None:
    served = interrupted(server, tmp_path, 0.3)
    served.etag = json.loads((tmp_path / f"{NAME}.part.json").read_text())["etag"]
    served.content = CONTENT[::-1]
    notes = Notes()
    assert get(server, tmp_path, notes) == CONTENT[::-1]
    assert "has other bytes than the part that is here" in notes.notes[0]


def test_a_file_that_shrank_starts_over(server: FileServer, tmp_path: Path) -> None:
    interrupted(server, tmp_path, 0.7)
    server.serve(NAME, CONTENT[:1000])
    assert get(server, tmp_path) == CONTENT[:1000]


@pytest.mark.parametrize("damage", ["{", '{"url": 1', "", '{"who": "me"}'])
def test_a_part_of_unknown_origin_is_not_trusted(
    server: FileServer, tmp_path: Path, damage: str
) -> None:
    served = interrupted(server, tmp_path, 0.3)
    (tmp_path / f"{NAME}.part.json").write_text(damage)
    (tmp_path / f"{NAME}.part").write_bytes(b"garbage")
    assert get(server, tmp_path) == CONTENT
    assert served.requests == ["", ""]


def test_a_damaged_end_is_noticed(server: FileServer, tmp_path: Path) -> None:
    interrupted(server, tmp_path, 0.3)
    part = tmp_path / f"{NAME}.part"
    part.write_bytes(part.read_bytes()[:-100] + bytes(100))  # as after a power cut
    assert get(server, tmp_path) == CONTENT


def test_429_waits_as_long_as_the_server_asks(server: FileServer, tmp_path: Path) -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=40))
    answers = [(429, {"Retry-After": "7"}), (503, {"Retry-After": soon}), (500, {})]
    server.serve(NAME, CONTENT, answers=answers)
    notes = Notes()
    file = RemoteFile(name=NAME, urls=(f"{server.url}/{NAME}",))
    patience = Patience(tries=5)
    fetch(file, tmp_path / NAME, patience=patience, watcher=notes, sleep=notes.wait)
    assert notes.waits[0] == 7
    assert 30 < notes.waits[1] <= 40
    assert notes.waits[2] == 4  # our own, doubled twice
    assert "429 Too Many Requests; trying again in 7 s" in notes.notes[0]


def test_a_server_that_asks_for_an_hour_is_not_waited_for(
    server: FileServer, tmp_path: Path
) -> None:
    server.serve(NAME, CONTENT, answers=[(429, {"Retry-After": "3600"})])
    with pytest.raises(DataError, match=r"asks to come again in 60 minutes"):
        get(server, tmp_path)


def test_500_forever_ends_with_one_sentence(server: FileServer, tmp_path: Path) -> None:
    interrupted(server, tmp_path, 0.3)
    server.serve(NAME, CONTENT, answers=[(500, {})] * 9)
    notes = Notes()
    with pytest.raises(
        DataError, match=r"500 .*\(3 tries\); 450.0 kB are kept"
    ) as caught:
        get(server, tmp_path, notes)
    assert "\n" not in str(caught.value)
    assert notes.waits == [1, 2]
    assert PartialFile(tmp_path / NAME).size == cut_at(0.3)


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/octet-stream"])
def test_a_web_page_is_not_data(server: FileServer, tmp_path: Path, kind: str) -> None:
    page = b"<!DOCTYPE html><html><head><title>Please log in</title></head></html>"
    served = server.serve(NAME, page, kind=kind)
    with pytest.raises(DataError, match=r"sends a web page.* instead of numbers.bin"):
        get(server, tmp_path)
    assert len(served.requests) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_page_is_told_by_its_kind_whatever_it_starts_with(
    server: FileServer, tmp_path: Path
) -> None:
    page = b"<!-- v2 --><title> Please log in </title>"
    server.serve(NAME, page, kind="text/html; charset=utf-8")
    with pytest.raises(DataError, match=r"sends a web page \('Please log in'\) instead"):
        get(server, tmp_path)


def test_what_brings_something_new_is_tried_for_as_long_as_it_takes(
    server: FileServer, tmp_path: Path
) -> None:
    server.serve(NAME, CONTENT, cuts=[cut_at(0.1 * i) for i in range(1, 10)])
    notes = Notes()
    assert get(server, tmp_path, notes) == CONTENT  # with three tries in a row at most
    assert notes.waits == [1] * 9


def test_a_web_page_does_not_cost_the_part(server: FileServer, tmp_path: Path) -> None:
    interrupted(server, tmp_path, 0.7)
    server.serve(NAME, b"<html>down for maintenance</html>", kind="text/html")
    with pytest.raises(DataError, match=r"web page"):
        get(server, tmp_path)
    server.serve(NAME, CONTENT)
    assert get(server, tmp_path) == CONTENT


@pytest.mark.parametrize("suffix", ["hdf5", "npz", "tar.gz", "zip"])
def test_json_is_no_archive(server: FileServer, tmp_path: Path, suffix: str) -> None:
    name = f"data.{suffix}"
    server.serve(name, b'{"error": "no such file"}', kind="application/json")
    with pytest.raises(DataError, match=r"something that is no \.\w+ file instead"):
        get(server, tmp_path, name=name, urls=(f"{server.url}/{name}",))
    assert list(tmp_path.iterdir()) == []


def test_a_size_other_than_published_is_refused_before_it_is_fetched(
    server: FileServer, tmp_path: Path
) -> None:
    server.serve(NAME, CONTENT)
    with pytest.raises(DataError, match=r"offers 1,500,000 bytes .* 12 were published"):
        get(server, tmp_path, size=12)
    assert list(tmp_path.iterdir()) == []


def test_a_length_that_is_a_lie_is_given_up(server: FileServer, tmp_path: Path) -> None:
    server.serve(NAME, CONTENT, length=len(CONTENT) + 7, ranges=False)
    with pytest.raises(DataError, match=r"was cut \(3 tries\)"):
        get(server, tmp_path)


def cut_and_mirrored(server: FileServer) -> Served:
    """Serve the file once, cut, and then no more; return its whole mirror."""
    first = server.serve(NAME, CONTENT, cuts=[cut_at(0.3)], answers=[(200, {})])
    first.answers += [(500, {})] * 3
    return server.serve(f"mirror/{NAME}", CONTENT)


def test_the_next_address_goes_on_with_what_is_there(
    server: FileServer, tmp_path: Path
) -> None:
    mirror = cut_and_mirrored(server)
    urls = (f"{server.url}/gone", f"{server.url}/{NAME}", f"{server.url}/mirror/{NAME}")
    checksum = "md5:0"  # there is one, so that bytes of two servers may be joined
    assert get(server, tmp_path, urls=urls, checksum=checksum) == CONTENT
    assert mirror.requests == [f"bytes={cut_at(0.3) - (1 << 16)}-"]


def test_without_checksum_two_servers_are_not_joined(
    server: FileServer, tmp_path: Path
) -> None:
    mirror = cut_and_mirrored(server)
    urls = (f"{server.url}/{NAME}", f"{server.url}/mirror/{NAME}")
    assert get(server, tmp_path, urls=urls) == CONTENT
    assert mirror.requests == [""]


@pytest.mark.parametrize("how", ["other", "no ranges", "short"])
def test_a_bad_mirror_does_not_cost_the_part(
    server: FileServer, tmp_path: Path, how: str
) -> None:
    interrupted(server, tmp_path, 0.7)
    server.files[f"/{NAME}"].answers = [(500, {})] * 3
    mirror = server.serve(f"mirror/{NAME}", CONTENT)
    if how == "other":
        mirror.content = CONTENT[::-1]
    elif how == "short":
        mirror.content = CONTENT[:500]
    else:
        mirror.ranges = False
    urls = (f"{server.url}/{NAME}", f"{server.url}/mirror/{NAME}")
    with pytest.raises(DataError, match=r"1.1 MB are kept|1.0 MB are kept"):
        get(server, tmp_path, urls=urls, checksum="md5:0")
    assert PartialFile(tmp_path / NAME).size == cut_at(0.7)


def test_nobody_listening_is_one_sentence(tmp_path: Path) -> None:
    with file_server() as gone:
        pass
    with pytest.raises(DataError, match=r"no connection to 127.0.0.1:\d+ \(3 tries\)"):
        get(gone, tmp_path)


def test_a_silent_server_is_not_waited_for_forever(
    server: FileServer, tmp_path: Path
) -> None:
    server.serve(NAME, CONTENT, rate=20)
    file = RemoteFile(name=NAME, urls=(f"{server.url}/{NAME}",))
    server.files[f"/{NAME}"].rate = 1  # one byte, then 0.05 s, for every byte
    patience = Patience(tries=1, timeout_s=0.01)
    with pytest.raises(DataError, match=r"does not answer"):
        fetch(file, tmp_path / NAME, patience=patience, watcher=Notes())


def test_no_room_is_said_before_anything_is_written(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1_000_000)
    monkeypatch.setattr(partial.shutil, "disk_usage", lambda _: usage)
    server.serve(NAME, CONTENT)
    with pytest.raises(StoreError, match=r"needs 1.5 MB more, but .* only 1.0 MB free"):
        get(server, tmp_path)
    assert PartialFile(tmp_path / NAME).size == 0


@pytest.mark.parametrize("name", ["ftp://x/y", "nothing", "http://"])
def test_an_impossible_address_is_one_sentence(name: str, tmp_path: Path) -> None:
    file = RemoteFile(name=NAME, urls=(name,))
    with pytest.raises(DataError, match=r"not an address that can be fetched"):
        fetch(file, tmp_path / NAME, patience=CALM, watcher=Notes())


FAULTS = st.one_of(
    st.tuples(st.just("cut"), st.floats(0, 0.99)),
    st.tuples(st.just("status"), st.sampled_from([408, 429, 500, 502, 503])),
    st.tuples(st.just("no ranges"), st.floats(0, 0.99)),
)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(faults=st.lists(FAULTS, max_size=6), restart=st.booleans())
def test_whatever_goes_wrong_the_bytes_are_right(
    faults: list[tuple[str, float]], restart: bool
) -> None:
    content = CONTENT[:400_000]
    with file_server() as server, tempfile.TemporaryDirectory() as name:
        served = server.serve(NAME, content)
        for kind, value in faults:
            if kind == "status":
                served.answers.append((int(value), {}))
                continue
            served.answers.append((200, {} if kind == "cut" else {"ranges": "no"}))
            served.cuts.append(int(value * len(content)))
        target = Path(name) / NAME
        file = RemoteFile(name=NAME, urls=(f"{server.url}/{NAME}",))
        patience = Patience(tries=1 if restart else 20)
        notes = Notes()
        for _ in range(len(faults) + 1):  # a new process each time, or one that persists
            try:
                part = fetch(
                    file, target, patience=patience, watcher=notes, sleep=notes.wait
                )
                break
            except DataError:
                partial_file = PartialFile(target)
                if partial_file.size:
                    there = partial_file.path.read_bytes()
                    assert content.startswith(there)
        part.finish()
        assert target.read_bytes() == content
