"""How a transfer is shown: a bar on a terminal, a line per tenth elsewhere."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from mlffbench.datasets.download.claims import bytes_in_words


class TransferProgress:
    """Shows bytes, rate and remaining time.

    Args:
        console: Where to print.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._task: TaskID | None = None
        self._title, self._total, self._before = "", 0, 0
        self._done, self._said, self._began = 0, 0, 0.0

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def begin(self, title: str, total: int | None, done: int) -> None:
        """Start a file of ``total`` bytes of which ``done`` are there."""
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(title, total=total, completed=done)
        self._title, self._total, self._began = title, total or 0, time.monotonic()
        self._before = self._done = done
        self._said = self._tenth()
        if done:
            self.note(f"{title}: going on after {bytes_in_words(done)}")

    def advance(self, n_bytes: int) -> None:
        """Count bytes."""
        self._done += n_bytes
        if self._task is not None:
            self._bar.advance(self._task, n_bytes)
        if self._console.is_terminal or self._tenth() <= self._said:
            return
        self._said = self._tenth()
        rate = (self._done - self._before) / max(time.monotonic() - self._began, 1e-3)
        left_s = (self._total - self._done) / max(rate, 1.0)
        self._console.print(
            f"{self._title}: {bytes_in_words(self._done)} of "
            f"{bytes_in_words(self._total)}, {bytes_in_words(rate)}/s, "
            f"{left_s:.0f} s left"
        )

    def note(self, sentence: str) -> None:
        """Print a line above the bar."""
        self._console.print(Text(sentence), soft_wrap=True)

    def _tenth(self) -> int:
        return 10 * self._done // self._total if self._total else 0
