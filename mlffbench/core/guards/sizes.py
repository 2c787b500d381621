"""What a file claims, compared with its size and a cap before anything is read."""

import errno
import math
import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path

from mlffbench.core.errors import DataError
from mlffbench.core.guards import caps

_JSON_ARRAY = re.compile(r'"__ndarray__"\s*:\s*\[\s*\[([^\]]*)\]')
_BRACKETS = re.compile(r"[\[\]{}]")
_LISTS = re.compile(rf"(?:[-?:] ){{{caps.DEEPEST_TEXT}}}")
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def size_of(path: Path) -> int:
    """Return the bytes of a regular file; nothing is opened, so nothing can block.

    Raises:
        DataError: Nothing is there, or a folder, a named pipe, a device.
    """
    try:
        found = path.stat()
    except FileNotFoundError as error:
        msg = f"{path} does not exist; check the path"
        raise DataError(msg) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        msg = f"{path!s:.200} is not a usable path ({reason}); check the path"
        raise DataError(msg) from error
    if not stat.S_ISREG(found.st_mode):
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "something else")
        msg = f"{path} is {kind}, not a file; name "
        if stat.S_ISDIR(found.st_mode):
            cause = IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            raise DataError(msg + "one data file in it") from cause
        raise DataError(msg + "a file")
    return found.st_size


def read_text(path: Path) -> str:
    """Return the content of a small text file in UTF-8.

    Raises:
        DataError: It is no regular file, larger than texts are, unreadable or not UTF-8.
    """
    size = size_of(path)
    if size > caps.LARGEST_TEXT:
        msg = f"{path} has {size:,} bytes; expected a text of at most "
        raise DataError(msg + f"{caps.LARGEST_TEXT:,}: name another file")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        msg = f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8"
        raise DataError(msg) from error
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}; check the path"
        raise DataError(msg) from error
    check_nesting(text, str(path))
    return text


def check_nesting(text: str, where: str) -> None:
    """Check that brackets and lists of a text in YAML or JSON are not nested for ever.

    Raises:
        DataError: They are.
    """
    depth = deepest = 0
    for found in _BRACKETS.finditer(text):
        depth += 1 if found[0] in "[{" else -1
        deepest = max(deepest, depth)
    if deepest > caps.DEEPEST_TEXT or _LISTS.search(text):
        msg = (
            f"{where} is nested deeper than {caps.DEEPEST_TEXT} levels; expected a few: "
        )
        raise DataError(msg + "correct the file")


def check_array(
    shape: Sequence[object], itemsize: int, n_bytes: int, packed: int, where: str
) -> None:
    """Check what the header of an array claims against the bytes that are there.

    Args:
        shape: As the header says.
        itemsize: Bytes of an entry.
        n_bytes: Bytes that there are, unpacked.
        packed: Bytes that they are stored in.
        where: What to call the array in messages.

    Raises:
        DataError: The claim is not a shape, does not fit, or too much is packed.
    """
    if not all(type(n) is int and n >= 0 for n in shape):
        msg = f"{where} claims the shape {shown(shape)}; expected whole numbers: correct "
        raise DataError(msg + "the file")
    claimed = itemsize
    for n in shape:
        assert isinstance(n, int)
        claimed *= n
    longest = max((n for n in shape if isinstance(n, int)), default=0)
    if claimed != n_bytes or (claimed == 0 and longest > caps.MOST_EMPTY):
        msg = (
            f"{where} claims {shown(claimed)} bytes by its shape {shown(shape)}, but has "
        )
        raise DataError(msg + f"{n_bytes}; expected an undamaged file: fetch it again")
    check_packing(n_bytes, packed, where)


def check_packing(n_bytes: int, packed: int, where: str) -> None:
    """Check that no little file unpacks into a large one.

    Raises:
        DataError: It would.
    """
    if n_bytes > max(caps.FREE_BYTES, caps.MOST_PACKED * packed):
        msg = (
            f"{where} would unpack {packed:,} bytes into {n_bytes:,}, which no data do; "
        )
        raise DataError(msg + "fetch the file again, or save it unpacked")


def check_atoms(n_atoms: int, where: str) -> None:
    """Check that a structure claims no more atoms than structures have.

    Raises:
        DataError: It does.
    """
    if n_atoms > caps.MOST_ATOMS:
        msg = (
            f"{where} claims {n_atoms} atoms; expected at most {caps.MOST_ATOMS} in one "
        )
        raise DataError(msg + "structure: correct the file")


def check_json_arrays(text: str, where: str) -> None:
    """Check that no array of ASE's JSON claims more numbers than the text has characters.

    Raises:
        DataError: One does.
    """
    for found in _JSON_ARRAY.finditer(text):
        shape = [int(word[:20]) for word in re.findall(r"\d+", found[1])]
        if math.prod(shape) > len(text):
            msg = f"{where} has an array that claims the shape {shown(shape)}, more than "
            raise DataError(msg + "the file can hold: fetch or copy it again")


def check_columns(properties: str, where: str) -> None:
    """Check that ``name:kind:number`` triples claim numbers that a line can have.

    Raises:
        DataError: They do not.
    """
    words = properties.split(":")
    for word in words[2::3]:
        n = int(word) if word.isascii() and word.isdigit() and len(word) < 9 else 0  # noqa: PLR2004
        if not 1 <= n <= caps.MOST_COLUMNS or len(words) > caps.MOST_COLUMNS:
            msg = f"{where} cannot be parsed: it claims {shown(word)} columns in "
            msg += f"Properties={shown(properties)}; expected 1 to {caps.MOST_COLUMNS}"
            raise DataError(msg + ": correct the file")


def check_line(line: bytes, where: str) -> None:
    """Check that a line of text is not endless.

    Raises:
        DataError: It is longer than lines are.
    """
    if len(line) >= caps.LONGEST_LINE:
        msg = (
            f"{where} has a line of more than {caps.LONGEST_LINE:,} bytes; expected one "
        )
        raise DataError(msg + "line per atom: correct the file")


def shown(value: object) -> str:
    """Return a file's own words short enough to be quoted.

    Example:
        >>> shown("C" * 100)[-3:]
        'C …'
    """
    text = " ".join(str(value).split())
    return text if len(text) <= caps.SHOWN else f"{text[: caps.SHOWN]} …"
