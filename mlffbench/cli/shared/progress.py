"""The progress bar of every command: a bar on a terminal, plain lines elsewhere."""

import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from mlffbench.datasets.download.claims import bytes_in_words


@dataclass(frozen=True, slots=True)
class Unit:
    """What a bar counts.

    Attributes:
        name: Its plural; ``bytes`` are told with their rate.
        lines: Whether a plain line is printed per tenth.
        leaves: Whether the bar stays when it is full.
    """

    name: str
    lines: bool = True
    leaves: bool = False

    def columns(self) -> list[ProgressColumn]:
        """Return the columns of the bar, the last of which holds remarks."""
        counts: list[ProgressColumn] = [MofNCompleteColumn(), TimeElapsedColumn()]
        if self.name == "bytes":
            counts = [DownloadColumn(), TransferSpeedColumn()]
        return [
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20 if self.leaves else 40),
            *counts,
            TimeRemainingColumn(),
            TextColumn("{task.fields[remark]}", markup=False),
        ]


STRUCTURES, STEPS, TUNINGS = Unit("structures"), Unit("steps"), Unit("fine-tunings")
BYTES = Unit("bytes")
EPOCHS = Unit("epochs", lines=False, leaves=True)


class ProgressBar:
    """Counts one thing after another; as a context it is shown while it lasts.

    Args:
        console: Where to print.
        unit: What is counted.
    """

    def __init__(self, console: Console, unit: Unit = STRUCTURES) -> None:
        self._console, self._unit = console, unit
        self._bar = Progress(
            *unit.columns(),
            console=console,
            disable=not console.is_terminal,
            transient=not unit.leaves,
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

    def begin(self, title: str, total: int | None, done: int = 0) -> None:
        """Start counting to ``total``, of which ``done`` are there."""
        if self._task is not None and not self._unit.leaves:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(title, total=total, completed=done, remark="")
        self._title, self._total, self._began = title, total or 0, time.monotonic()
        self._before = self._done = done
        self._said = self._tenth()
        if done and self._unit is BYTES:
            self.note(f"{title}: going on after {bytes_in_words(done)}")

    def advance(self, n: int, remark: str = "") -> None:
        """Count what was finished."""
        self._done += n
        if self._task is not None:
            self._bar.update(self._task, completed=self._done, remark=remark)
        if self._console.is_terminal or not self._unit.lines:
            return
        if self._tenth() > self._said:
            self._said = self._tenth()
            self._console.print(f"{self._title}: {self._in_words()}")

    def note(self, sentence: str) -> None:
        """Print a line above the bar."""
        self._console.print(Text(sentence), soft_wrap=True)

    def note_where_plain(self, sentence: str) -> None:
        """Print a line where there is no bar that shows the same."""
        if not self._console.is_terminal:
            self.note(sentence)

    def _tenth(self) -> int:
        return 10 * self._done // self._total if self._total else 0

    def _in_words(self) -> str:
        if self._unit is not BYTES:
            return f"{self._done} of {self._total} {self._unit.name}"
        rate = (self._done - self._before) / max(time.monotonic() - self._began, 1e-3)
        left_s = (self._total - self._done) / max(rate, 1.0)
        return (
            f"{bytes_in_words(self._done)} of {bytes_in_words(self._total)}, "
            f"{bytes_in_words(rate)}/s, {left_s:.0f} s left"
        )
