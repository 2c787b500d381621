"""One bar for everything that takes time; where there is no terminal, plain lines."""

import io
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from mlffbench.cli.shared.progress import (
    BYTES,
    EPOCHS,
    STEPS,
    STRUCTURES,
    ProgressBar,
    Unit,
)
from mlffbench.cli.shared.training_progress import TrainingProgress
from mlffbench.training.training_plan import StagePlan


@contextmanager
def shown(
    unit: Unit, *, terminal: bool = False
) -> Iterator[tuple[ProgressBar, list[str]]]:
    file, lines = io.StringIO(), list[str]()
    console = Console(file=file, width=120, force_terminal=terminal, highlight=False)
    with ProgressBar(console, unit) as bar:
        yield bar, lines
    lines += file.getvalue().splitlines()


def test_a_line_per_tenth() -> None:
    with shown(STRUCTURES) as (bar, lines):
        bar.begin("zero baseline", 40)
        for _ in range(40):
            bar.advance(1)
    assert lines[0] == "zero baseline: 4 of 40 structures"
    assert lines[-1] == "zero baseline: 40 of 40 structures"
    assert len(lines) == 10


def test_each_thing_counted_starts_anew() -> None:
    with shown(STEPS) as (bar, lines):
        for title in ("one", "two"):
            bar.begin(title, 2)
            bar.advance(2)
    assert lines == ["one: 2 of 2 steps", "two: 2 of 2 steps"]


def test_nothing_to_count_says_nothing() -> None:
    with shown(STRUCTURES) as (bar, lines):
        bar.begin("nothing", 0)
        bar.advance(0)
    assert lines == []


def test_bytes_are_told_with_their_rate_and_where_they_go_on() -> None:
    with shown(BYTES) as (bar, lines):
        bar.begin("file", 10_000_000, 5_000_000)
        bar.advance(1_000_000)
        bar.note("a note [with] brackets")
    assert lines[0] == "file: going on after 5.0 MB"
    assert lines[1].startswith("file: 6.0 MB of 10.0 MB, ")
    assert lines[1].endswith(" s left")
    assert lines[2] == "a note [with] brackets"


def test_a_terminal_gets_a_bar_and_no_lines() -> None:
    with shown(STRUCTURES, terminal=True) as (bar, lines):
        bar.begin("zero baseline", 10)
        bar.advance(10)
    text = "\n".join(lines)
    assert "zero baseline" in text
    assert "10 of 10 structures" not in text


def stage() -> StagePlan:
    return StagePlan(
        name="fit", parts=("ref",), heads={"ref": 1.0}, monitor="ref", further=False,
        epochs=12, batch=4, learning_rate=1e-3, patience=5,
    )  # fmt: skip


def test_a_training_tells_of_its_first_tenth_and_last_epoch() -> None:
    with shown(EPOCHS) as (bar, lines):
        watcher = TrainingProgress(bar, None)
        watcher.begin(stage(), 0)
        for epoch in range(1, 13):
            watcher.epoch(
                {"stage": "fit", "epoch": epoch, "learning_rate": 1e-3, "loss": 0.5,
                 "seconds": 1.0, "id_val": 0.1}
            )  # fmt: skip
        watcher.close()
    assert [line.split(":")[0] for line in lines] == [
        f"stage fit, epoch {n} of 12" for n in (1, 10, 12)
    ]
    assert lines[0].endswith("loss 0.5; forces MAE in meV/Å: id_val 100")
