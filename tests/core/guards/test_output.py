"""No encoding and no full disk ends a command without a sentence."""

import errno
import io
import os
import sys
from pathlib import Path

import pytest

from mlffbench.cli.app import main
from mlffbench.core.guards.output import Guarded, shortage


def listed(stream: io.TextIOWrapper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "argv", ["mlffbench", "list", "models"])
    main()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_any_encoding_is_written(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.BytesIO()
    stream = io.TextIOWrapper(buffer, encoding=encoding)
    with pytest.raises(SystemExit) as ended:
        listed(stream, monkeypatch)
    assert ended.value.code == 0
    stream.write("å…\ud800")
    stream.flush()
    assert b"ani-1x" in buffer.getvalue()
    buffer.getvalue().decode(encoding)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_standard_output_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as stream:
        with pytest.raises(SystemExit) as ended:
            listed(stream, monkeypatch)
        assert ended.value.code == 1
    said = capfd.readouterr().err
    assert "cannot write to the standard output: No space left on device" in said
    assert said.count("\n") == 1


def test_a_closed_pipe_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    reads, writes = os.pipe()
    os.close(reads)
    with os.fdopen(writes, "w", encoding="utf-8") as stream:
        with pytest.raises(SystemExit) as ended:
            listed(stream, monkeypatch)
        assert ended.value.code == 1
    assert "standard output: Broken pipe" in capfd.readouterr().err


def test_a_closed_standard_output_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "argv", ["mlffbench", "--version"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0


def test_the_rest_of_a_stream_is_its_own() -> None:
    stream = io.StringIO()
    guarded = Guarded(stream, "standard output")  # type: ignore[arg-type]
    assert guarded.write("ab") == 2
    assert guarded.isatty() is False
    assert stream.getvalue() == "ab"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "not enough memory"),
        (OSError(errno.EMFILE, "Too many open files"), "ulimit -n"),
        (OSError(errno.ENOENT, "No such file"), ""),
        (RuntimeError("can't start new thread"), "ulimit -u"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes"), "memory"),
        (ImportError("libx.so: failed to map segment from shared object"), "memory"),
        (RuntimeError("anything else"), ""),
        (ValueError("out of memory"), ""),
    ],
)
def test_a_shortage_is_told(error: Exception, said: str) -> None:
    told = shortage(error)
    assert (said in told) if said else not told
