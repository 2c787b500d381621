"""Paths of data files, checked before anything is opened."""

from pathlib import Path

from mlffbench.core.guards.sizes import size_of


def require_file(path: Path | str) -> Path:
    """Return the path of a file that is there.

    Raises:
        DataError: Nothing is there, or it is not a file.

    Example:
        >>> require_file("nowhere.xyz")
        Traceback (most recent call last):
        ...
        mlffbench.core.errors.DataError: nowhere.xyz does not exist; check the path
    """
    path = Path(path)
    size_of(path)
    return path
