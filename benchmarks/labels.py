"""What the cache of a prior's labels costs as it grows, and whether a kill hurts it.

Made labels of 14 atoms go into one file through `mlffbench.priors.prior_labels`, in the
chunks in which labels are computed; then, per size:

- microseconds, of wall clock and CPU, to write one of the last 5,000 labels, and
  to look up one of 5,120 drawn from all; the file, and the peak memory of the process.

At the end two processes write into the same file at once and are killed with SIGKILL, ten
times: what either had finished must be there, a chunk must be there whole or not at all,
and the file must pass SQLite's own check.

Usage: python benchmarks/labels.py [SIZES]
"""

from __future__ import annotations

import os
import random
import resource
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
from usage import tell_usage

from mlffbench.core.single import Computed
from mlffbench.priors.prior_labels import CHUNK, LabelCache

FORCES = np.random.default_rng(0).normal(size=(14, 3))
N_TIMED = 5_000
N_KILLS = 20


def main() -> None:
    sizes = [int(word) for word in sys.argv[1:]] or [10_000, 100_000, 1_000_000]
    with tempfile.TemporaryDirectory() as name:
        cache = LabelCache(folder=Path(name), prior="made", version="1")
        print("   labels  write us  (CPU)  look-up us  (CPU)  MB on disk  peak MB")
        n_before = 0
        for n in sorted(sizes):
            write(cache, n_before, n - N_TIMED)
            written = timed(lambda n=n: write(cache, n - N_TIMED, n), N_TIMED)
            found = timed(lambda n=n: look_up(cache, n), 40 * CHUNK)
            assert cache.count() == n
            disk_mb = cache.path.stat().st_size / 1e6
            peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
            print(
                f"{n:9,d} {written[0]:9.0f} {written[1]:6.0f} {found[0]:11.0f} "
                f"{found[1]:6.0f} {disk_mb:11.0f} {peak_mb:8.0f}",
                flush=True,
            )
            n_before = n
        kills(cache, Path(name))


def write(cache: LabelCache, first: int, last: int) -> None:
    """Write labels with certain numbers, some at a time."""
    for start in range(first, last, CHUNK):
        numbers = range(start, min(last, start + CHUNK))
        cache.write({key(i): Computed(float(i), FORCES + i) for i in numbers})


def look_up(cache: LabelCache, n: int) -> None:
    """Look up labels drawn from all."""
    drawn = np.random.default_rng(1).integers(0, n, 40 * CHUNK).tolist()
    for start in range(0, len(drawn), CHUNK):
        wanted = {key(i): i for i in drawn[start : start + CHUNK]}
        found = cache.read(list(wanted))
        assert {one: label.energy for one, label in found.items()} == wanted


def key(number: int) -> bytes:
    return sha256(str(number).encode()).digest()


def timed(work: Callable[[], None], n: int) -> tuple[float, float]:
    """Return microseconds of wall clock and of CPU per label."""
    wall, spent = time.perf_counter(), time.process_time()
    work()
    wall, spent = time.perf_counter() - wall, time.process_time() - spent
    return 1e6 * wall / n, 1e6 * spent / n


def kills(cache: LabelCache, folder: Path) -> None:
    """Kill two processes that write at once, and look at what they leave."""
    rng, n_chunks = random.Random(0), 0
    for turn in range(N_KILLS // 2):
        places = [10**8 + (2 * turn + i) * 10**6 for i in (0, 1)]
        notes = [folder / f"{place}.note" for place in places]
        crew = [forked(cache, *one) for one in zip(places, notes, strict=True)]
        while not all(one.exists() and one.stat().st_size > 100 for one in notes):
            time.sleep(0.02)
        for pid in crew:
            time.sleep(rng.uniform(0, 0.5))
            os.kill(pid, signal.SIGKILL)
            assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL
        for place, note in zip(places, notes, strict=True):
            done = [int(line) for line in note.read_text().split()]
            there = [n_there(cache, start) for start in done]
            assert there == [CHUNK] * len(done), "a finished chunk is lost"
            assert n_there(cache, place + CHUNK * len(done)) in {0, CHUNK}, "half a chunk"
            n_chunks += len(done)
    told = sqlite3.connect(cache.path).execute("PRAGMA integrity_check").fetchall()
    print(f"{N_KILLS} of two writers at once killed after {n_chunks} chunks of {CHUNK}:")
    print(f"none lost, none half there; SQLite's check: {told[0][0]}")


def forked(cache: LabelCache, first: int, note: Path) -> int:
    """Return a process that writes until it is killed and notes what it has finished."""
    pid = os.fork()
    if pid == 0:
        with note.open("w") as file:
            for start in range(first, first + 10**6, CHUNK):
                write(cache, start, start + CHUNK)
                file.write(f"{start}\n")
                file.flush()
        os._exit(0)
    return pid


def n_there(cache: LabelCache, start: int) -> int:
    return len(cache.read([key(i) for i in range(start, start + CHUNK)]))


if __name__ == "__main__":
    tell_usage(__doc__)
    main()
