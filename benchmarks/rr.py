"""What radius refinement costs, on the test structures of the mini set.

All in this process, one thread, after import and a warm-up; seconds of CPU, the median of
some rounds in which everything is timed in turn:

- ``inference``: the untouched model predicts every structure, in the runner's batches;
- ``spectral``: `rr-paper` chooses the radii (prediction not included);
- ``predictions``: the bare cost of a prior-guided choice: the prior head predicts every
  structure at every candidate cutoff;
- ``guided``: `rr` chooses the radii with cached prior labels, its gate off, so that it
  chooses for every structure (prediction not included).

Usage: python benchmarks/rr.py [MODEL ...]      (default: mini-mace mini-schnet)
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator

os.environ.setdefault("OMP_NUM_THREADS", "1")

from usage import tell_usage

# The prior's workers import this file too, and need none of this.
if __name__ != "__mp_main__":
    import torch

    from mlffbench.core.model_options import ModelOptions
    from mlffbench.core.structures import Structures
    from mlffbench.models.load import load_model
    from mlffbench.refine.radius.published_radius import PublishedRadius
    from mlffbench.refine.radius.radius import RadiusRefinement
    from mlffbench.run.evaluate.evaluation_job import BATCH_ATOMS
    from mlffbench.run.suite import load_suite
    from mlffbench.run.suite_splits import load_splits

ROUNDS = 5


def batches(structures: Structures) -> Iterator[Structures]:
    """Yield structures in batches of as many atoms as the runner's."""
    chunk = (torch.cumsum(structures.sizes, 0) - 1) // BATCH_ATOMS["cpu"]
    for number in torch.unique(chunk).tolist():
        yield structures.select((chunk == number).nonzero().flatten().tolist())


def cpu_seconds(work: Callable[[], object]) -> float:
    """Return the CPU seconds of some work."""
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> None:
    """Print the costs and their ratios."""
    torch.set_num_threads(1)
    splits = [s for s in load_splits(*load_suite("mini-ood")) if s.role.endswith("_test")]
    parts = [batch for split in splits for batch in batches(split.structures)]
    n_structures = sum(part.n_systems for part in parts)
    for name in sys.argv[1:] or ["mini-mace", "mini-schnet"]:
        model = load_model(name, ModelOptions())
        shown = [part.to(dtype=torch.float32) for part in parts]
        paper = PublishedRadius()
        guided = RadiusRefinement(gate="off")
        candidates = guided.candidates(model)
        work: dict[str, Callable[[], object]] = {
            "inference": lambda m=model, s=shown: [m.predict(one) for one in s],
            "spectral": lambda m=model, r=paper: [r.refine(m, one) for one in parts],
            "predictions": lambda c=candidates, s=shown: [
                one.model.predict_prior(part) for part in s for one in c
            ],
            "guided": lambda m=model, r=guided: [r.refine(m, one) for one in parts],
        }
        for one in work.values():
            one()
        rounds = [
            {key: cpu_seconds(one) for key, one in work.items()} for _ in range(ROUNDS)
        ]
        cost = {key: statistics.median(one[key] for one in rounds) for key in work}
        print(f"{name}: {n_structures} structures, {len(candidates)} candidates")
        for key, seconds in cost.items():
            print(f"  {key:12} {1000 * seconds / n_structures:8.3f} ms per structure")
        spectral = cost["spectral"] / cost["inference"]
        prior = cost["guided"] / cost["predictions"]
        print(f"  spectral choice / inference      {spectral:.3f}")
        print(f"  guided choice / bare predictions {prior:.3f}")


if __name__ == "__main__":
    tell_usage(__doc__)
    main()
