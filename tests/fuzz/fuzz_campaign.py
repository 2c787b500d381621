"""Mutants read one after the other in a guarded child; what becomes of each, counted.

``python tests/fuzz/fuzz_campaign.py --mutants 20000`` is ``make fuzz``; with ``--case
NAME:SEED`` one mutant is made again and shown.
"""

import argparse
import multiprocessing
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from fuzz_bases import BASES, BY_NAME, Files
from fuzz_mutations import Mutant, mutate, put

from mlffbench.core.errors import BenchError

LIMIT_S = 10.0
LIMIT_BYTES = 1 << 30
LONGEST = 500
GOOD = ("same", "refused", "other data")
BAD = ("raw exception", "long sentence", "unnoticed damage", "slow", "memory", "crash")
_SPARE = 1.5


class Case(NamedTuple):
    """A mutant: of which example, and its seed; or the name of a stored one."""

    base: str
    seed: int

    def __str__(self) -> str:
        return f"{self.base}:{self.seed}"


class Outcome(NamedTuple):
    """What became of a mutant.

    Attributes:
        case: Which.
        verdict: One of `GOOD` or `BAD`.
        how: What was done to it.
        told: The sentence, or the end of the traceback.
        seconds: How long reading took.
        n_bytes: Memory that reading took at its peak, beyond what was there.
    """

    case: str
    verdict: str
    how: str
    told: str
    seconds: float
    n_bytes: int


def cases(n: int, seed: int = 0) -> list[Case]:
    """Return ``n`` cases, spread over the examples by their weights."""
    names = [base.name for base in BASES for _ in range(base.weight)]
    return [Case(names[i % len(names)], seed * 1_000_000 + i) for i in range(n)]


_HEALTHY: dict[str, tuple[Files, str]] = {}


def healthy(name: str) -> tuple[Files, str]:
    """Return the files of an example and what they mean; made once in a process."""
    if name not in _HEALTHY:
        with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
            base = BY_NAME[name]
            files = base.files(Path(folder))
            _HEALTHY[name] = files, base.read(Path(folder))
    return _HEALTHY[name]


def mutant_of(case: Case) -> Mutant:
    """Return the mutant of a case."""
    rng = np.random.default_rng([case.seed, *case.base.encode()])
    return mutate(healthy(case.base)[0], rng)


def judge(base: str, mutant: Mutant, label: str) -> Outcome:
    """Read a mutant here and now, and say what became of it."""
    reader, (_, meant) = BY_NAME[base], healthy(base)
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    try:
        put(mutant, folder)
        before, started = _reset_peak(), time.perf_counter()
        verdict, told = _read(reader.read, folder)
        seconds, n_bytes = time.perf_counter() - started, max(0, _peak() - before)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if verdict == "read":
        noticed = mutant.is_rewritten or not any(
            mutant.touched.endswith(suffix) for suffix in reader.checksummed
        )
        verdict = (
            "same" if told == meant else "other data" if noticed else "unnoticed damage"
        )
        told = ""
    if seconds > LIMIT_S:
        verdict = "slow"
    elif n_bytes > LIMIT_BYTES:
        verdict = "memory"
    return Outcome(label, verdict, mutant.how, told[-600:], seconds, n_bytes)


def _read(read: Any, folder: Path) -> tuple[str, str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return "read", read(folder)
    except BenchError as error:
        text = str(error)
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, MemoryError):
                return "memory", text
            cause = cause.__cause__
        if len(text.replace(str(folder), "")) > LONGEST or "\n" in text:
            return "long sentence", f"{len(text)}: {text[:200]}"
        return "refused", text
    except MemoryError:
        return "memory", traceback.format_exc(limit=-3)
    except Exception:  # noqa: BLE001 - that is what is looked for
        return "raw exception", traceback.format_exc(limit=-4)


def _reset_peak() -> int:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return 0
    return _peak()


def _peak() -> int:
    """Return the most memory since the last reset, where the system tells."""
    try:
        text = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    return int(text.partition("VmHWM:")[2].split()[0]) * 1024


def _limit_memory() -> None:
    try:
        there = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        return
    most = there * resource.getpagesize() + int(LIMIT_BYTES * _SPARE)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _child(work: Connection) -> None:
    """Judge whatever is asked for, until nothing more is."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _limit_memory()
    while (asked := work.recv()) is not None:
        case, mutant = asked
        work.send(judge(case.base, mutant or mutant_of(case), str(case)))


def run_cases(wanted: Iterable[tuple[Case, Mutant | None]]) -> Iterator[Outcome]:
    """Judge cases in a child that is replaced when it hangs or dies.

    Args:
        wanted: Cases, each with its mutant where it is not made from the seed.
    """
    child = None
    for asked in wanted:
        if child is None:
            child, work = _new_child()
        work.send(asked)
        outcome = None
        if work.poll(LIMIT_S * 1.5):
            try:
                outcome = work.recv()
            except EOFError:
                outcome = None
        if outcome is None:
            child.join(0.2)
            verdict = "slow" if child.is_alive() else "crash"
            child.kill()
            child.join()
            child, how = None, asked[1].how if asked[1] else ""
            told = "no answer" if verdict == "slow" else "the process died"
            outcome = Outcome(str(asked[0]), verdict, how, told, LIMIT_S * 1.5, 0)
        yield outcome
    if child is not None:
        work.send(None)
        child.join()


def _new_child() -> tuple[Any, Connection]:
    context = multiprocessing.get_context("fork")  # it inherits all that is imported
    ours, theirs = multiprocessing.Pipe()
    child = context.Process(target=_child, args=(theirs,), daemon=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads that fork
        child.start()
    theirs.close()
    return child, ours


def say(line: str) -> None:
    """Write a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(arguments: list[str]) -> int:
    """Run a campaign and print what became of its mutants; 1 if any got through."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutants", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="names of examples, by comma")
    parser.add_argument("--case", default="", help="NAME:SEED of one mutant")
    parser.add_argument("--keep", type=Path, help="write the mutant of --case there")
    asked = parser.parse_args(arguments)
    if asked.case:
        name, _, seed = asked.case.partition(":")
        wanted = [Case(name, int(seed))]
        if asked.keep:
            put(mutant_of(wanted[0]), asked.keep)
    else:
        only = set(asked.only.split(",")) - {""}
        wanted = [
            c for c in cases(asked.mutants, asked.seed) if not only or c.base in only
        ]
    for name in {case.base for case in wanted}:
        healthy(name)
    counts: Counter[tuple[str, str]] = Counter()
    started, slowest, largest = time.perf_counter(), 0.0, 0
    for outcome in run_cases((case, None) for case in wanted):
        counts[outcome.case.partition(":")[0], outcome.verdict] += 1
        slowest, largest = max(slowest, outcome.seconds), max(largest, outcome.n_bytes)
        if outcome.verdict in BAD or asked.case:
            say(f"{outcome.verdict}: {outcome.case} ({outcome.how})\n{outcome.told}\n")
    print_counts(counts)
    wall = time.perf_counter() - started
    say(f"{len(wanted)} mutants in {wall:.0f} s; the slowest took {slowest:.2f} s, the "
          f"largest {largest / 1e6:.0f} MB")  # fmt: skip
    return int(any(counts[key] for key in counts if key[1] in BAD))


def print_counts(counts: Counter[tuple[str, str]]) -> None:
    """Print a table: a row per example, a column per verdict."""
    verdicts = (*GOOD, *BAD)
    say(f"{'':14}" + "".join(f"{verdict:>18}" for verdict in verdicts))
    names = list(dict.fromkeys(name for name, _ in counts))
    for name in names:
        row = "".join(f"{counts[name, verdict]:18}" for verdict in verdicts)
        say(f"{name:14}{row}")
    total = "".join(f"{sum(counts[n, v] for n in names):18}" for v in verdicts)
    say(f"{'all':14}{total}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
