import platform
import subprocess
import sys

import pytest

from mlffbench.core.guards.allocator import keep_freed_memory

PROBE = """
import resource
import sys

import numpy as np

from mlffbench.core.guards.allocator import keep_freed_memory

assert sys.argv[1] == "no" or keep_freed_memory()
np.ones(2_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    np.ones(2_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_what_is_freed_is_used_again() -> None:
    def faults(how: str) -> int:
        words = [sys.executable, "-c", PROBE, how]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        return int(done.stdout)

    # a block of 16 MB has 4,096 pages, or 8 large ones
    assert faults("yes") < 8 <= faults("no")


def test_what_the_user_has_told_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1000")
    assert not keep_freed_memory()


@pytest.mark.parametrize("library", [("", ""), ("musl", "1.2")])
def test_other_libraries_are_left_alone(
    monkeypatch: pytest.MonkeyPatch, library: tuple[str, str]
) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: library)
    assert not keep_freed_memory()
