"""Collector: Python's search for unreachable cycles waits while libraries are loaded.

Importing makes hundreds of thousands of objects that all stay; searching them again and
again as they become more takes a sixth of the CPU time of a start.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Search for no cycles for the length of a block, whatever was before."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
