"""The suites that ship with mlffbench: every YAML file in the folder is a row."""

from importlib.resources import files
from pathlib import Path

import yaml

from mlffbench.core.registry import Entry


def suites_folder() -> Path:
    """Return the folder of the suites that ship with mlffbench."""
    packaged = Path(str(files("mlffbench"))) / "suites"
    return packaged if packaged.is_dir() else packaged.parent.parent / "suites"


def suite_rows() -> dict[str, Entry]:
    """Return name -> entry of every shipped suite, its summary read from the file."""
    rows = {}
    for path in sorted(suites_folder().glob("*.yaml")):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        rows[path.stem] = Entry(str(path), content["summary"])
    return rows
