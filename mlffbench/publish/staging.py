"""Staging: the hidden folder beside an export, where it is written until it is whole.

::

    .NAME.export/
      .lock    held while an export is written
      new/     the export to be
      old/     the export that it replaces, until the new one has its place

Whoever is killed leaves it behind; the next export of that name clears it, and puts
back an old export whose new one never got its place.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mlffbench.core.files import make_folder
from mlffbench.publish.export_folder import is_export
from mlffbench.run.folder import RunFolder


@contextmanager
def staged(out: Path) -> Iterator[Path]:
    """Hold the place of an export; yield where it is to be written.

    Args:
        out: Where the export goes.

    Raises:
        StoreError: Another process writes it, or the folder cannot be written.
    """
    out = out.absolute()
    make_folder(out.parent)
    hidden = RunFolder(out.with_name(f".{out.name}.export"))
    try:
        with hidden.locked():
            _clear(hidden.path, out)
            try:
                yield hidden.path / "new"
            finally:
                _clear(hidden.path, out)
    finally:
        _remove_if_empty(hidden.path)


def move(new: Path, out: Path) -> None:
    """Give a whole export its place; the one that was there goes when it has it."""
    out = out.absolute()
    if not is_export(out):
        if out.exists():
            out.rmdir()  # it is empty
        new.rename(out)
        return
    old = new.with_name("old")
    out.rename(old)
    try:
        new.rename(out)
    except BaseException:
        old.rename(out)
        raise


def _clear(hidden: Path, out: Path) -> None:
    """Put back what a killed export had moved away, and remove the rest."""
    old = hidden / "old"
    if is_export(old) and not out.exists():
        old.rename(out)
    for name in ("new", "old"):
        shutil.rmtree(hidden / name, ignore_errors=True)


def _remove_if_empty(hidden: Path) -> None:
    """Remove the hidden folder, unless another process has begun to write there."""
    with suppress(OSError):
        hidden.rmdir()
