"""Crew: the shards of a run, computed by whoever comes, each of them once."""

import errno
import time
from collections.abc import Callable, Iterator, Sequence, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mlffbench.core.errors import BenchError, StoreError
from mlffbench.run.folder import Arrays, RunFolder, write_arrays
from mlffbench.run.shards.claim import MOST_LOST, Claims, listed
from mlffbench.run.work import Progress

PAUSE_S = 0.2
"""Between looks at the shards that others compute."""
LASTING_S = 1.0
"""What took longer is waited for until a power cut cannot take it from the disk."""
PATIENCE_S = 60.0
"""How long a process that leads waits for a sign of life before it computes, too."""


_GONE = {errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ENODEV, errno.ENXIO}
"""How a disk fails that is pulled out, or whose server is away."""


class Piece(Protocol):
    """What one process computes at a time: a shard, a draw, molecules that move."""

    @property
    def number(self) -> int:
        """Its place in the plan."""
        ...

    @property
    def rows(self) -> Sized:
        """As many as progress counts in it."""
        ...


Compute = Callable[[Any, Progress], Arrays]
GiveUp = Callable[[Any, str], Arrays]


@dataclass(frozen=True, slots=True, eq=False)
class Crew:
    """One process among those that compute the shards of a folder.

    Attributes:
        folder: The run.
        shards: All of them.
        compute: Computes one.
        give_up: Returns one whose every owner has died, with the reason.
        is_wanted: Whether the run is still the one that was joined.
        others: Whether others are there to compute, so that this process only waits
            while they give signs of life; it raises where they went. None: it computes.
        kept: Takes what this process computes itself, by number; None: nobody does.
    """

    folder: RunFolder
    shards: Sequence[Piece]
    compute: Compute
    give_up: GiveUp
    is_wanted: Callable[[], bool] = lambda: True
    others: Callable[[], bool] | None = None
    kept: dict[int, Arrays] | None = None

    @property
    def n_counted(self) -> int:
        """What progress counts to."""
        return sum(len(shard.rows) for shard in self.shards)

    def carry_out(self, progress: Progress) -> None:
        """Compute what nobody has, and wait for what others do.

        Args:
            progress: Told of every structure, whoever computed it.

        Raises:
            StoreError: The folder cannot be written, or its disk went.
            BenchError: The computation fails, or the others went.
        """
        left = {shard.number: shard for shard in self.shards}
        last_sign = time.monotonic()
        with _told_if_gone(self.folder.path), Claims(self.folder.parts) as claims:
            while left and self._goes_on():
                n_before = len(left)
                self._count(left, progress)
                if len(left) < n_before or claims.alive():
                    last_sign = time.monotonic()
                if not self._waits(last_sign):
                    self._take_what_can_be_had(left, claims, progress)
                if left and len(left) == n_before:
                    time.sleep(PAUSE_S)

    def _waits(self, last_sign: float) -> bool:
        """Return whether all is left to others for now."""
        if self.others is None or not self.others():
            return False
        return time.monotonic() - last_sign < PATIENCE_S

    def _goes_on(self) -> bool:
        """Return whether nobody has finished, deleted or replaced the run."""
        return self.folder.parts.exists() and self.is_wanted()

    def _count(self, left: dict[int, Piece], progress: Progress) -> None:
        """Take off what is there."""
        there = set(listed(self.folder.parts))
        for number in [n for n in left if self.folder.part(n).name in there]:
            progress.advance(len(left.pop(number).rows))

    def _take_what_can_be_had(
        self, left: dict[int, Piece], claims: Claims, progress: Progress
    ) -> None:
        """Compute shards; nothing where the folder went while it was written to."""
        try:
            self._take_some(left, claims, progress)
        except StoreError:
            if self._goes_on():
                raise

    def _take_some(
        self, left: dict[int, Piece], claims: Claims, progress: Progress
    ) -> None:
        """Compute every shard that can be had, the last ones first.

        A suite names its shifted splits last, which a refinement works on longest: where
        several workers end together, none is left with a long one.
        """
        for number, shard in reversed(list(left.items())):
            path = self.folder.part(number)
            if path.exists():
                continue  # counted at the next look
            with claims.held(number) as ours:
                if not ours or path.exists():
                    continue
                if not self._goes_on():
                    return
                self._finish(shard, claims, path, progress)
                del left[number]

    def _finish(
        self, shard: Piece, claims: Claims, path: Path, progress: Progress
    ) -> None:
        lost = claims.lost(shard.number)
        if lost < MOST_LOST:
            start = time.monotonic()
            found = self.compute(shard, progress)
            took_s = time.monotonic() - start
            # a part that a power cut breaks is computed anew: a wait costs more
            write_arrays(path, found, lasting=took_s > LASTING_S)
            if self.kept is not None:
                self.kept[shard.number] = found
            return
        why = f"its process was killed {lost} times"
        try:
            write_arrays(path, self.give_up(shard, why))
        except BenchError:
            claims.forgive(shard.number)  # told; the next call tries again
            raise
        progress.advance(len(shard.rows))


@contextmanager
def _told_if_gone(path: Path) -> Iterator[None]:
    """Say in one sentence that the disk of a run went while it was computed.

    Raises:
        StoreError: It did.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _GONE:
            raise
        msg = f"lost sight of {path} ({error.strerror}); once its disk is back, repeat "
        raise StoreError(msg + "the command: others go on without this one") from error
