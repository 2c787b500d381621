"""Installing a package without pip or network: what an installer writes, written."""

import shutil
import tomllib
from pathlib import Path


def install(source: Path, target: Path) -> Path:
    """Copy the modules of a project and write its metadata; return the folder.

    Args:
        source: A folder with a ``pyproject.toml`` and a package beside it.
        target: A folder for ``PYTHONPATH``.
    """
    project = tomllib.loads((source / "pyproject.toml").read_text("utf-8"))["project"]
    name, version = project["name"], project["version"]
    package = name.replace("-", "_")
    kept = shutil.ignore_patterns("__pycache__")
    shutil.copytree(source / package, target / package, ignore=kept)
    info = target / f"{package}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    )
    lines = []
    for group, points in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{key} = {value}" for key, value in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return target
