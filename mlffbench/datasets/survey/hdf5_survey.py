"""Look through HDF5 files in a process of its own: ``python -P -m`` this, paths on stdin.

The HDF5 library can loop for ever or crash on a damaged file. Whatever it is asked by a
reader it is asked here first, by a process that may hang or die; see `hdf5_guard`. Each
line of standard input is a path in JSON; the answer is a line with a sentence's middle in
JSON, empty where the file may be read. Lines of ``null`` before it say that it goes on.
"""

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from h5py import h5a, h5d, h5g, h5l, h5o, h5s, h5z

from mlffbench.core.guards import caps

_FAULTS = (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError)
_FILTERS = {
    *(h5z.FILTER_DEFLATE, h5z.FILTER_SHUFFLE, h5z.FILTER_FLETCHER32, h5z.FILTER_SZIP),
    *(h5z.FILTER_NBIT, h5z.FILTER_SCALEOFFSET, h5z.FILTER_LZF),
}
"""Filters of the HDF5 library and of h5py; others are plugins, code from elsewhere."""


_BREATH_S = 0.5


class RefusedError(Exception):
    """What is wrong with a file, in words."""


class Survey:
    """One look through a file.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.size = path.stat().st_size
        self.seen: set[int] = set()
        self.claimed = 0
        self.told = time.monotonic()
        with h5py.File(path, "r") as file:
            self._attributes(file.id, "the file")
            self._group(file.id, "", 0)

    def _group(self, group: Any, where: str, depth: int) -> None:
        if depth > caps.DEEPEST_GROUPS:
            msg = f"groups are nested deeper than {caps.DEEPEST_GROUPS}"
            raise RefusedError(msg)
        links: list[tuple[bytes, int, Any]] = []

        def note(name: bytes, link: Any) -> None:  # h5py hands over the same one again
            links.append((name, link.type, link.u))

        group.links.iterate(note, info=True)
        for name, kind, address in links:
            place = f"{where}/{name.decode('utf-8', 'replace')[: caps.SHOWN]}"
            if len(name) > caps.LONGEST_NAME:
                msg = f"{place} … has a name of {len(name)} bytes"
                raise RefusedError(msg)
            if kind == h5l.TYPE_EXTERNAL:
                msg = f"{place} is a link into another file"
                raise RefusedError(msg)
            if kind != h5l.TYPE_HARD or address in self.seen:
                continue  # the target of a link inside the file is met in its own place
            self.seen.add(address)
            self._tell_alive()
            inner = h5o.open(group, name)
            self._attributes(inner, place)
            if isinstance(inner, h5g.GroupID):
                self._group(inner, place, depth + 1)
            elif isinstance(inner, h5d.DatasetID):
                self._dataset(inner, place)

    def _tell_alive(self) -> None:
        """Say nothing in particular, twice a second."""
        if time.monotonic() > self.told + _BREATH_S:
            self.told = time.monotonic()
            say(None)

    def _attributes(self, owner: Any, where: str) -> None:
        for number in range(h5a.get_num_attrs(owner)):
            attribute = h5a.open(owner, index=number)
            if attribute.get_storage_size() > caps.LARGEST_ATTRIBUTE:
                msg = f"{where} has an attribute of too many bytes"
                raise RefusedError(msg)
            if attribute.dtype.kind == "O" and attribute.shape == ():
                value = np.empty((), attribute.dtype)
                attribute.read(value)

    def _dataset(self, dataset: Any, where: str) -> None:
        layout = dataset.get_create_plist()
        if layout.get_external_count():
            msg = f"{where} keeps its numbers in another file"
            raise RefusedError(msg)
        if layout.get_layout() == h5d.VIRTUAL:
            msg = f"{where} is put together from other files"
            raise RefusedError(msg)
        dtype, stored = dataset.dtype, dataset.get_storage_size()
        shape = dataset.shape or ()
        n_bytes = dtype.itemsize
        for n in shape:
            n_bytes *= n
        if stored > self.size:
            msg = f"{where} claims {stored} bytes of a file of {self.size}"
            raise RefusedError(msg)
        if not n_bytes and max(shape, default=0) > caps.MOST_EMPTY:
            msg = f"{where} claims the shape {shape} and has no byte"
            raise RefusedError(msg)
        filters = [layout.get_filter(n)[0] for n in range(layout.get_nfilters())]
        if set(filters) - _FILTERS:
            msg = f"{where} is packed by a plugin, filter {max(filters)}"
            raise RefusedError(msg)
        free = caps.FREE_HDF5 if stored else caps.FREE_UNSTORED
        most = max(free, stored * (caps.MOST_PACKED if filters else 1))
        if dtype.kind == "O":
            most = caps.LARGEST_TEXTS
        self.claimed += n_bytes
        if n_bytes > most or self.claimed > caps.MOST_PACKED * max(self.size, 1 << 20):
            msg = (
                f"{where} claims {n_bytes} bytes by its shape {shape}, but {stored} are "
            )
            raise RefusedError(msg + "stored")
        if n_bytes and (dtype.kind == "O" or layout.get_layout() == h5d.CHUNKED):
            self._read(dataset, dtype, shape, n_bytes)

    def _read(self, dataset: Any, dtype: Any, shape: tuple[int, ...], n: int) -> None:
        """Read what is not one run of bytes, where the library may lose its way."""
        if dtype.kind == "O" or n <= caps.FREE_HDF5:
            if dtype.kind not in "OSbiuf":
                return  # no reader does
            value = np.empty(shape, dtype)
            dataset.read(h5s.ALL, h5s.ALL, value)
        else:
            dataset.get_num_chunks()


def survey(path: Path) -> str:
    """Return what is wrong with a file, empty where it may be read."""
    try:
        Survey(path)
    except RefusedError as error:
        return str(error)
    except RecursionError:
        return "its groups are nested too deep"
    except _FAULTS as error:
        return (str(error).strip() or type(error).__name__).splitlines()[0]
    return ""


def main() -> None:
    """Answer until there is no more to ask."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        resource.setrlimit(
            resource.RLIMIT_AS, (2 * caps.SURVEY_BYTES, 2 * caps.SURVEY_BYTES)
        )
    say(None)
    for line in sys.stdin:
        say(survey(Path(json.loads(line))))


def say(words: str | None) -> None:
    """Answer; nothing means that there will be an answer."""
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
