import tomllib
from pathlib import Path

import pytest

from mlffbench.cli.machines import doctor as health
from mlffbench.cli.machines.doctor import (
    caches,
    card_in_words,
    extras_in_words,
    import_fault,
    mini_set_in_words,
)
from mlffbench.core.plugins.install import again_line, extras, install_line
from mlffbench.core.registry import Entry
from mlffbench.datasets.sets.mini import splits


def row(extra: str, *requires: str) -> Entry:
    return Entry("json.decoder:b", "made up", extra=extra, requires=requires)


def test_extras_are_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_package.py").write_text("raise OSError('no lib.so\\nmore')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    rows = [
        Entry("a:b", "needs nothing"),
        row("bad", "json", "broken_package"),
        row("gone", "json", "no_such_package"),
        row("good", "json"),
        row("good", "csv"),
    ]
    known = {"bad": ["a"], "gone": ["b"], "good": ["c"], "hub": ["no-such-hub"]}
    known |= {"tools": ["ruff"], "dev": ["pytest", "ruff"]}
    assert list(extras_in_words(rows, known)) == [
        "extra 'bad' is installed but broken (OSError: no lib.so); "
        f"run: {again_line('bad')}",
        "extra 'dev' is installed (2 packages)",
        "extra 'gone' is not installed (no_such_package is missing); "
        f"run: {install_line('gone')}",
        "extra 'good' works (csv, json)",
        "extra 'hub' is not installed (no-such-hub is missing); "
        f"run: {install_line('hub')}",
        "extra 'tools' works (ruff)",
    ]


def test_every_extra_of_pyproject_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "import_fault", lambda names: "")
    told = " ".join(extras_in_words([], extras()))
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    for extra in tomllib.loads(text)["project"]["optional-dependencies"]:
        assert f"extra {extra!r} " in told


def test_an_import_that_dies_or_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dying.py").write_text("import os; os.kill(os.getpid(), 9)")
    (tmp_path / "hanging.py").write_text("import time; time.sleep(60)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert import_fault("dying") == "importing dying ends Python with signal 9"
    monkeypatch.setattr(health, "PATIENCE_S", 0.5)
    assert "hanging takes more than" in import_fault("hanging")


def test_the_mini_set_opens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size, path = mini_set_in_words()
    assert size.endswith("structures")
    assert path.endswith("mini.hdf5")
    (tmp_path / "mini.hdf5").write_bytes(b"cut off")
    monkeypatch.setattr(splits, "_embedded", lambda name: tmp_path / name)
    assert mini_set_in_words()[0] == "broken"


def test_caches_are_measured_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFFBENCH_CACHE", str(tmp_path / "cache"))
    assert [cache.size for cache in caches()] == ["empty", "empty"]
    (tmp_path / "cache" / "labels").mkdir(parents=True)
    (tmp_path / "cache" / "labels" / "a.sqlite").write_bytes(bytes(2_000_000))
    (tmp_path / "cache" / "a.model").write_bytes(bytes(1_000_000))
    weights, labels = caches()
    assert (weights.folder, weights.size) == (tmp_path / "cache", "1 files, 1.0 MB")
    assert labels.size == "1 files, 2.0 MB"


@pytest.mark.parametrize(
    ("node", "cuda", "told"),
    [
        (None, None, "everything runs on the CPU"),
        ("dev/nvidia0", None, "torch is built for the CPU alone; run: pip install"),
        ("proc/driver/nvidia/version", "12.6", "built with CUDA 12.6, cannot use it"),
    ],
)
def test_a_card_that_torch_cannot_use_is_told(
    tmp_path: Path, node: str | None, cuda: str | None, told: str
) -> None:
    if node is not None:
        (tmp_path / node).parent.mkdir(parents=True)
        (tmp_path / node).touch()
    assert told in card_in_words(cuda, tmp_path)
