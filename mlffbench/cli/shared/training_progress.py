"""How a training is shown: a bar per stage with the latest validation errors."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlffbench.cli.shared.progress import ProgressBar
from mlffbench.core.errors import BenchError

if TYPE_CHECKING:
    from mlffbench.training.epochs import Row
    from mlffbench.training.training_plan import StagePlan

_PLAIN = frozenset({"stage", "epoch", "learning_rate", "loss", "seconds"})
_EVERY = 10
"""Epochs between two lines where there is no terminal."""


class TrainingProgress:
    """Tells a bar, and TensorBoard where it is asked for, of every epoch.

    Force errors of all validation splits are in meV/Å.

    Args:
        bar: Counts epochs.
        tensorboard: Path of the checkpoint whose TensorBoard log is written; None for no
            such log.

    Raises:
        BenchError: TensorBoard is asked for and not installed.
    """

    def __init__(self, bar: ProgressBar, tensorboard: Path | None) -> None:
        self._bar = bar
        self._epochs = self._done = 0
        self._latest: dict[str, float] = {}
        self._writer = None if tensorboard is None else _open_writer(tensorboard)

    def close(self) -> None:
        """Write what TensorBoard has not yet got."""
        if self._writer is not None:
            self._writer.close()

    def begin(self, stage: "StagePlan", n_done: int) -> None:
        """Start the bar of a stage."""
        self._latest, self._epochs, self._done = {}, stage.epochs, n_done
        self._bar.begin(f"stage {stage.name}", stage.epochs, n_done)

    def epoch(self, row: "Row") -> None:
        """Show a finished epoch."""
        fresh = {name: value for name, value in row.items() if name not in _PLAIN}
        self._latest |= fresh
        text = "  ".join(f"{k} {_mev(v)}" for k, v in self._latest.items())
        self._bar.advance(row["epoch"] - self._done, f"{text} meV/Å")
        self._done = row["epoch"]
        if row["epoch"] % _EVERY == 0 or row["epoch"] in {1, self._epochs}:
            start = f"stage {row['stage']}, epoch {row['epoch']} of {self._epochs}"
            rest = f"loss {row['loss']:.4g}; forces MAE in meV/Å: {text}"
            self._bar.note_where_plain(f"{start}: {rest}")
        if self._writer is not None:
            values = {"loss": row["loss"], "learning_rate": row["learning_rate"], **fresh}
            for name, value in values.items():
                self._writer.add_scalar(f"{row['stage']}/{name}", value, row["epoch"])


def _mev(value: float) -> str:
    """Return an error in meV/Å; a dash where nothing could be predicted."""
    return f"{1000 * value:.0f}" if math.isfinite(value) else "–"


def _open_writer(stem: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ModuleNotFoundError as error:
        msg = "--tensorboard needs 'tensorboard', which is not installed; "
        raise BenchError(msg + "run: pip install tensorboard") from error
    return SummaryWriter(str(stem.with_name(f"{stem.name}-tensorboard")))
