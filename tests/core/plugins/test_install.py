"""The line that installs an extra, for each way mlffbench can have been installed."""

import json
import shlex
from importlib import metadata
from pathlib import Path

import pytest

from mlffbench.core.plugins import install


class Installed:
    """A distribution as pip leaves it behind."""

    def __init__(self, origin: dict[str, object] | None) -> None:
        self.origin = origin

    def read_text(self, name: str) -> str | None:
        assert name == "direct_url.json"
        return None if self.origin is None else json.dumps(self.origin)


def line(
    monkeypatch: pytest.MonkeyPatch, origin: dict[str, object] | None, extra: str = "ani"
) -> str:
    monkeypatch.setattr(install, "checkout", lambda: None)
    monkeypatch.setattr(metadata, "distribution", lambda name: Installed(origin))
    return install.install_line(extra)


def test_a_checkout_is_installed_again_where_it_is() -> None:
    folder = install.checkout()
    assert folder is not None
    words = shlex.split(install.install_line("ani"))
    assert words == ["pip", "install", "-e", f"{folder}[ani]"]


def test_from_an_index(monkeypatch: pytest.MonkeyPatch) -> None:
    assert line(monkeypatch, None) == "pip install 'mlffbench[ani]'"


def test_from_a_wheel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wheel = tmp_path / "with space" / "mlffbench-1-py3-none-any.whl"
    wheel.parent.mkdir()
    wheel.touch()
    url = wheel.as_uri()
    origin = {"url": url, "archive_info": {}}
    assert line(monkeypatch, origin) == f"pip install 'mlffbench[ani] @ {url}'"
    wheel.unlink()
    assert line(monkeypatch, origin) == "pip install 'mlffbench[ani]'"


def test_from_a_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    origin = {
        "url": "https://example.org/mlffbench.git",
        "vcs_info": {"vcs": "git", "commit_id": "abc"},
    }
    wanted = "pip install 'mlffbench[ani] @ git+https://example.org/mlffbench.git@abc'"
    assert line(monkeypatch, origin) == wanted


def test_the_extras_of_a_checkout_and_of_an_installation_agree(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = install.extras()
    assert here["qc"] == ("pyscf", "rdkit")
    assert set(here["demo"]) == {*here["ani"], *here["mace"], *here["rdkit"]}
    lines = [
        f"{need}; extra == '{extra}'"
        for extra, needs in (("qc", ["pyscf>=2.6", "rdkit>=2024.3"]), ("hub", ["hub>=1"]))
        for need in needs
    ]
    monkeypatch.setattr(install, "checkout", lambda: None)
    monkeypatch.setattr(metadata, "requires", lambda name: ["ase>=3.23", *lines])
    monkeypatch.setattr(install, "_provided", lambda: ["hub", "qc"])
    assert install.extras() == {"hub": ("hub",), "qc": ("pyscf", "rdkit")}
