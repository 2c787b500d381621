"""GFN2-xTB and GFN1-xTB: tblite in a pool of worker processes."""

import os
from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool

from mlffbench.core.assembly import from_outcomes, predict_rest, refusals, singles
from mlffbench.core.card import ModelCard
from mlffbench.core.errors import ModelError
from mlffbench.core.guards.children import FreshPool
from mlffbench.core.labels import Labels
from mlffbench.core.model_options import ModelOptions
from mlffbench.core.single import Outcome, Single
from mlffbench.core.structures import Structures
from mlffbench.models.cards import GFN1_XTB, GFN2_XTB
from mlffbench.models.physics.sanity import collapsed, impossible_spins
from mlffbench.models.physics.xtb_worker import compute_all, start_worker

CHUNKS_PER_WORKER = 4
"""Tasks per worker and batch: few enough to cost nothing, enough to even out."""
DEFAULT_WORKERS = 2
WORKER_DIED = "worker died: the process computing this structure ended"


class XtbForceField:
    """Semi-empirical tight binding by tblite.

    Every structure is computed from scratch in a process of its own pool, so results do
    not depend on the number of workers or on the batch. The pool starts with the first
    prediction (0.2 s) and ends with the model or the program.

    Args:
        name: How tables call it.
        card: What is known of it; its level of theory is tblite's name of the method.
        workers: Number of processes.
    """

    def __init__(self, name: str, card: ModelCard, *, workers: int) -> None:
        self.name = name
        self.card = card
        self.elements = card.elements
        self._workers = workers
        self._pool: FreshPool | None = None

    def predict(self, structures: Structures) -> Labels:
        """Return float64 total energies in eV and forces in eV/Å.

        What tblite would compute without a word, and wrongly, is a failure instead: two
        atoms on top of each other, an impossible number of unpaired electrons, a cell
        that is periodic in one or two directions only. So is an SCF that does not
        converge, and a structure whose worker died.

        Raises:
            ModelError: Worker processes cannot be started at all.
        """
        refused = (
            collapsed(structures)
            | impossible_spins(structures)
            | _partly_periodic(structures)
            | refusals(structures, self.card)
        )
        return predict_rest(structures, refused, self._compute)

    def close(self) -> None:
        """End the worker processes; the next prediction starts new ones."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def _compute(self, structures: Structures) -> Labels:
        method = self.card.level_of_theory
        tasks = singles(structures)
        size = max(1, len(tasks) // (self._workers * CHUNKS_PER_WORKER))
        chunks = [tasks[i : i + size] for i in range(0, len(tasks), size)]
        outcomes: list[Outcome] = []
        for chunk, computed in zip(chunks, self._run(method, chunks), strict=True):
            # One bad structure ends its worker and with it the whole pool.
            outcomes += computed or [self._alone(method, single) for single in chunk]
        return from_outcomes(structures, outcomes, f"{method}, total energies")

    def _run(
        self, method: str, chunks: Sequence[list[Single]]
    ) -> list[list[Outcome] | None]:
        """Return what became of each chunk, None where its worker died."""
        pool = self._started()
        futures: list[Future[list[Outcome]] | None] = []
        for chunk in chunks:
            try:
                futures.append(pool.submit(compute_all, method, chunk))
            except BrokenProcessPool:
                futures.append(None)
        results: list[list[Outcome] | None] = []
        for future in futures:
            try:
                results.append(None if future is None else future.result())
            except BrokenProcessPool:
                results.append(None)
        if any(result is None for result in results):
            self.close()
        return results

    def _alone(self, method: str, single: Single) -> Outcome:
        """Return what becomes of a structure that no other can take along."""
        (result,) = self._run(method, [[single]])
        return WORKER_DIED if result is None else result[0]

    def _started(self) -> FreshPool:
        """Return a pool whose workers have been seen at work."""
        if self._pool is None:
            pool = FreshPool(self._workers, initializer=start_worker)
            try:
                pool.submit(compute_all, self.card.level_of_theory, []).result()
            except BrokenProcessPool as error:
                pool.shutdown()
                msg = (
                    f"the worker processes of {self.name!r} end as soon as they start; "
                    "in a script of your own, put what it does under "
                    "if __name__ == '__main__':"
                )
                raise ModelError(msg) from error
            self._pool = pool
        return self._pool


def load_gfn2(options: ModelOptions) -> XtbForceField:
    """Return GFN2-xTB; it computes on the CPU in float64 whatever the options say."""
    return _load("gfn2-xtb", GFN2_XTB, options)


def load_gfn1(options: ModelOptions) -> XtbForceField:
    """Return GFN1-xTB; it computes on the CPU in float64 whatever the options say."""
    return _load("gfn1-xtb", GFN1_XTB, options)


def _load(name: str, card: ModelCard, options: ModelOptions) -> XtbForceField:
    options.torch_device()
    options.torch_dtype(card)
    workers = options.workers
    if workers is None:
        workers = min(DEFAULT_WORKERS, os.cpu_count() or 1)
    if workers < 1:
        msg = f"{name!r} cannot compute with {workers} workers: expected at least 1"
        raise ModelError(msg)
    return XtbForceField(name, card, workers=workers)


def _partly_periodic(structures: Structures) -> dict[int, str]:
    """Return the structures that tblite would take for fully periodic, with a reason."""
    directions = structures.pbc.sum(1)
    partly = (directions > 0) & (directions < structures.pbc.shape[1])
    reason = "tblite takes a cell that is periodic in one or two directions for a crystal"
    return dict.fromkeys(partly.nonzero().flatten().tolist(), reason)
