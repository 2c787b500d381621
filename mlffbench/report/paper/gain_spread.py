"""How the gain of a mode is spread over structures: everywhere, or carried by a few."""

from collections.abc import Iterator, Sequence

import numpy as np

from mlffbench.report.comparable import Group, baseline_of, same_weights
from mlffbench.report.schema import Board, GainSpread
from mlffbench.report.structure_errors import Floats, Measured

SHARES = (0.1, 0.25, 0.5, 0.75, 0.9)
_TENTH = 10


def gain_spreads(
    board: Board, group: Group, measured: Sequence[Measured]
) -> Iterator[GainSpread]:
    """Yield the spread of every run that has a baseline beside it.

    Args:
        board: The board.
        group: The runs behind it.
        measured: What each run got wrong.
    """
    ood = [split.name for split in board.splits if split.role.startswith("ood")]
    for run, one in zip(group.runs, measured, strict=True):
        base = baseline_of(run, group.runs)
        if base is None or base is run or not same_weights(run, base):
            continue
        before = measured[group.runs.index(base)].error
        places = [one.tested.splits[name] for name in ood if name in one.tested.splits]
        rows = np.concatenate(places) if places else np.zeros(0, dtype=np.int64)
        whose = board.name, run.model, run.mode
        found = _spread(before[rows], one.error[rows], whose)
        if found is not None:
            yield found


def _spread(
    before: Floats, after: Floats, whose: tuple[str, str, str]
) -> GainSpread | None:
    """Return a spread; None where nothing was evaluated by both."""
    both = np.isfinite(before) & np.isfinite(after) & (before > 0)
    before, after = before[both], after[both]
    n = len(before)
    if not n:
        return None
    gain = (before - after) / before
    most = np.argsort(after - before, kind="stable")[: n // _TENTH]
    top = None
    if len(most):
        top = float(before[most].mean()), float(after[most].mean())
    board, model, mode = whose
    return GainSpread(
        board=board,
        model=model,
        mode=mode,
        n=n,
        n_better=int((after < before).sum()),
        n_worse=int((after > before).sum()),
        quantiles=tuple(np.quantile(gain, SHARES).tolist()),
        top_tenth=top,
        all_of_them=(float(before.mean()), float(after.mean())),
    )
