"""The suites: every YAML file of our folder is a row, and those of other packages.

An entry point of the group ``mlffbench.suites`` names a suite and the package in whose
folder its file lies: ``mine = "my_package.suites"`` stands for
``my_package/suites/mine.yaml``. Nothing of the package is imported.
"""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType

import yaml

from mlffbench.core.errors import SuiteError, UnknownNameError
from mlffbench.core.plugins.plugin_source import files_beside
from mlffbench.core.registry import Entry, faulty, outside_points, taken

GROUP = "mlffbench.suites"


def suites_folder() -> Path:
    """Return the folder of the suites that ship with mlffbench."""
    packaged = Path(str(files("mlffbench"))) / "suites"
    return packaged if packaged.is_dir() else packaged.parent.parent / "suites"


def suite_rows() -> dict[str, Entry]:
    """Return name -> entry of every suite, its summary read from the file.

    Raises:
        BenchError: Another package claims a name that is taken.
    """
    rows = {**_shipped()}
    for name, package, point in outside_points("suite", GROUP):
        if name in rows:
            raise taken("suite", name, package, GROUP)
        rows[name] = _outside(name, package, point.value)
    return rows


@cache
def _shipped() -> Mapping[str, Entry]:
    """Return the rows of our folder, which is read once."""
    rows = {}
    for path in sorted(suites_folder().glob("*.yaml")):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        rows[path.stem] = Entry(str(path), content["summary"])
    return MappingProxyType(rows)


def suite_path(name: str) -> Path:
    """Return the file of a suite that has a name.

    Raises:
        UnknownNameError: No suite has it.
        SuiteError: It is another package's, and cannot be used.
    """
    rows = suite_rows()
    if name not in rows:
        raise UnknownNameError("suite", name, rows)
    row = rows[name]
    if row.fault:
        msg = f"suite {name!r} of the package {row.package} cannot be used: {row.fault}"
        raise SuiteError(msg)
    return Path(row.target)


def _outside(name: str, package: str, folder: str) -> Entry:
    path = files_beside(folder, f"{name}.yaml")
    bare = Entry(folder if path is None else str(path), "", package=package)
    if path is None:
        where = folder.replace(".", "/").replace(":", "/")
        return faulty(bare, f"there is no file {where}/{name}.yaml")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        called, summary = content["name"], str(content["summary"])
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError) as error:
        return faulty(bare, f"{path.name} is no suite ({type(error).__name__})")
    if called != name:
        return faulty(bare, f"{path.name} is the suite {called!r}; name both alike")
    return Entry(str(path), summary, package=package)
