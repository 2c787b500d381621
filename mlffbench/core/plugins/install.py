"""How mlffbench was installed, and the line that installs an extra of it."""

import json
import re
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

NAME = "mlffbench"


def install_line(extra: str = "") -> str:
    """Return the command that installs an extra, for how mlffbench was installed.

    A checkout is installed again where it is, a wheel or an archive from where it came
    (PEP 610), and what came from an index from the index.

    Args:
        extra: Name of the extra, e.g. ``"ani"``; empty for none.

    Example:
        >>> install_line("ani").startswith("pip install ")
        True
    """
    wanted = f"[{extra}]" if extra else ""
    folder = checkout()
    if folder is not None:
        return f"pip install -e '{folder}{wanted}'"
    origin = _origin()
    url = str(origin.get("url", ""))
    if not url or _is_gone(url):
        return f"pip install '{NAME}{wanted}'"
    vcs: dict[str, str] = origin.get("vcs_info", {})
    if vcs:
        url = f"{vcs['vcs']}+{url}@{vcs['commit_id']}"
    return f"pip install '{NAME}{wanted} @ {url}'"


def again_line(extra: str = "") -> str:
    """Return the command that replaces what is installed and broken."""
    return install_line(extra).replace("install", "install --force-reinstall", 1)


def checkout() -> Path | None:
    """Return the folder of the checkout that runs, None where it is an installation."""
    folder = Path(__file__).resolve().parents[3]
    return folder if (folder / "pyproject.toml").is_file() else None


def extras() -> dict[str, tuple[str, ...]]:
    """Return extra -> the distributions it needs, extras within extras resolved.

    Of a checkout what its ``pyproject.toml`` says now, else what was installed.
    """
    folder = checkout()
    if folder is not None:
        text = (folder / "pyproject.toml").read_text(encoding="utf-8")
        needs = dict(tomllib.loads(text)["project"]["optional-dependencies"])
    else:
        needs = _extras_installed()
    return {extra: tuple(sorted(_distributions(extra, needs))) for extra in needs}


def _extras_installed() -> dict[str, list[str]]:
    needs: dict[str, list[str]] = {name: [] for name in _provided()}
    for requirement in metadata.requires(NAME) or ():
        marker = re.search(r"extra\s*==\s*['\"]([^'\"]+)['\"]", requirement)
        if marker:
            needs[marker[1]].append(requirement)
    return needs


def _provided() -> list[str]:
    return metadata.metadata(NAME).get_all("Provides-Extra") or []


def _distributions(extra: str, needs: dict[str, list[str]]) -> set[str]:
    found: set[str] = set()
    for requirement in needs[extra]:
        name = re.match(r"[A-Za-z0-9._-]+", requirement)
        inner = re.match(rf"{NAME}\[([^\]]+)\]", requirement)
        if inner:
            for other in inner[1].split(","):
                found |= _distributions(other.strip(), needs)
        elif name:
            found.add(name[0])
    return found


def _origin() -> dict[str, Any]:
    """Return what pip noted of where it took mlffbench from; nothing for an index."""
    try:
        text = metadata.distribution(NAME).read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        return {}
    return dict(json.loads(text)) if text else {}


def _is_gone(url: str) -> bool:
    """Return whether a file or folder was deleted after the installation."""
    parts = urlsplit(url)
    return parts.scheme == "file" and not Path(url2pathname(unquote(parts.path))).exists()
