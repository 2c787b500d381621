"""Allocator: freed memory is kept for the next batch instead of being given back.

The C library of Linux gives large blocks back to the system as soon as they are freed,
and gets them anew, page by page, for the next tensor of that size: up to a third of the
CPU time of large networks. Nothing of a result depends on it.
"""

import ctypes
import os
import platform

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
"""Names of `mallopt`'s parameters, of glibc's malloc.h."""
KEPT = 1 << 30
"""Free bytes at the end of the heap that are not given back."""
_TOLD = (
    "MALLOC_TRIM_THRESHOLD_",
    "MALLOC_MMAP_THRESHOLD_",
    "MALLOC_MMAP_MAX_",
    "GLIBC_TUNABLES",
)


def keep_freed_memory() -> bool:
    """Have this process keep what it frees, where the C library can be told so.

    What the user has told the C library by its own variables is left alone.

    Returns:
        Whether it keeps it.
    """
    if platform.libc_ver()[0] != "glibc" or any(name in os.environ for name in _TOLD):
        return False
    try:
        tell = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False  # glibc by name, with an allocator of another make
    kept = tell(_TRIM_THRESHOLD, KEPT), tell(_MMAP_MAX, 0)  # all off the heap
    return kept == (1, 1)
