"""Traces: the prior's loss against gradient steps of a test-time training."""

from typing import Any

import numpy as np

from mlffbench.report.run_inventory import ReadRun


def prior_losses(run: ReadRun) -> dict[str, dict[str, Any]]:
    """Return, per split, how the prior's loss fell, relative to its start.

    Returns:
        Split -> ``n`` units (molecules, structures …), and the ``median``, ``low`` and
        ``high`` quartile over them after each step. A unit that stopped early keeps its
        last loss.
    """
    found = {}
    for key, batches in dict(run.manifest.get("traces") or {}).items():
        units = [
            np.asarray(losses, dtype=np.float64)
            for batch in batches
            for losses in batch.values()
            if len(losses) and losses[0] > 0
        ]
        if not units:
            continue
        longest = max(map(len, units))
        table = np.stack([np.pad(one, (0, longest - len(one)), "edge") for one in units])
        low, median, high = np.quantile(table / table[:, :1], [0.25, 0.5, 0.75], axis=0)
        found[str(key).partition("/")[0]] = {
            "n": len(units),
            "median": median.tolist(),
            "low": low.tolist(),
            "high": high.tolist(),
        }
    return found
