"""The child of a hand-over: jobs of one model, in the environment that has its packages.

What it has to say goes to the output as lines of JSON; whatever its packages print goes
to the error stream.
"""

import json
import os
import pickle
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from mlffbench.core.errors import BenchError
from mlffbench.core.guards.allocator import keep_freed_memory
from mlffbench.run.loop import run_campaign
from mlffbench.run.request import resolve


class _Lines:
    """Progress that is told to the parent."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def begin(self, title: str, n_structures: int) -> None:
        self.tell(begin=[title, n_structures])

    def advance(self, n_structures: int) -> None:
        self.tell(advance=n_structures)

    def tell(self, **values: object) -> None:
        self._out.write(json.dumps(values) + "\n")
        self._out.flush()


@contextmanager
def _own_channel() -> Iterator[_Lines]:
    """Keep the output for our lines; what anybody prints goes to the error stream."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        os.dup2(2, 1)
        yield _Lines(out)


def main() -> None:
    """Carry out the request on the input, as a child."""
    keep_freed_memory()
    sys.argv, request = pickle.load(sys.stdin.buffer)  # of our own parent
    with _own_channel() as lines:
        try:
            done = run_campaign(resolve(request), lines)
        except BenchError as error:
            lines.tell(folders=[], faults=[str(error)], notes=[])
            return
        folders = [str(folder.path) for folder in done.folders]
        lines.tell(folders=folders, faults=done.faults, notes=done.notes)


if __name__ == "__main__":
    main()
