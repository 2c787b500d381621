"""Opened files: what a user's model reads while it is made."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

WEIGHTS = frozenset(
    ".pt .pth .model .ckpt .safetensors .pkl .bin .jpt .h5 .hdf5 .npz .npy".split()
)
"""Ends of names that are weights wherever they lie."""
_CODE = frozenset({".py", ".pyc", ".pyi", ".so", ".pyd", ".dll", ".dylib"})

_watching: list[set[Path]] = []
_known: dict[str, frozenset[Path]] = {}
_hooked: list[bool] = []


@contextmanager
def watch(spec: str) -> Iterator[None]:
    """Remember which files are opened for reading while a model is made.

    Only Python's own ways of opening a file are seen, not those of C libraries.

    Args:
        spec: The model as typed, under which `opened_by` knows them.
    """
    if not _hooked:
        sys.addaudithook(_note)  # cannot be removed, so it is added once
        _hooked.append(True)
    seen: set[Path] = set()
    _watching.append(seen)
    try:
        yield
    finally:
        _watching.remove(seen)
        _known[spec] = frozenset(path for path in seen if _counts(path))


def opened_by(spec: str) -> frozenset[Path]:
    """Return the data files that a model opened when it was last made here."""
    return _known.get(spec, frozenset())


def is_installed(path: Path) -> bool:
    """Return whether a file belongs to Python or to an installed package."""
    homes = {Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve()}
    parts = {"site-packages", "dist-packages"}
    return bool(parts.intersection(path.parts)) or any(
        path.is_relative_to(home) for home in homes
    )


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "open" or not _watching:
        return
    name, mode, flags = arguments
    if not isinstance(name, str | bytes) or (mode and set(mode) & set("wax+")):
        return
    if isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR):
        return
    for seen in _watching:
        seen.add(Path(os.fsdecode(name)).absolute())


def _counts(path: Path) -> bool:
    """Return whether a file can be an input of a model: data, and no passing cache."""
    if path.suffix in _CODE or not path.is_file() or is_installed(path.resolve()):
        return False
    if path.suffix in WEIGHTS:
        return True
    here = Path.cwd()
    if not path.is_relative_to(here):
        return False
    return not any(part.startswith(".") for part in path.relative_to(here).parts)
