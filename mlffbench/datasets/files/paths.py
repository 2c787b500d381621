"""Paths of data files, checked before anything is opened."""

from pathlib import Path

from mlffbench.core.errors import DataError


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
    try:
        is_file, exists = path.is_file(), path.exists()
    except (OSError, ValueError) as error:
        msg = f"{path!s:.200} is not a usable path ({error}); check the path"
        raise DataError(msg) from error
    if not exists:
        msg = f"{path} does not exist; check the path"
        raise DataError(msg)
    if not is_file:
        msg = f"{path} is a folder, not a file; name one data file in it"
        raise DataError(msg)
    return path
