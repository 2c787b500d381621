"""Memory limit: batches that did not fit are not tried again, in this process."""

import torch

from mlffbench.core.guards.out_of_memory import is_out_of_memory
from mlffbench.core.structures import Structures

_Key = tuple[str, torch.device, torch.dtype]
_Size = tuple[int, int]
"""Atoms of a batch, and pairs of atoms of one structure in it."""


class MemoryLimits:
    """The smallest batches of each model, on each card, for which memory did not do.

    A batch exceeds one that has neither more atoms nor more pairs of atoms: few large
    molecules may be too much where as many atoms of small ones are not.
    """

    def __init__(self) -> None:
        self._failed: dict[_Key, set[_Size]] = {}

    def exceeded_by(self, model: str, structures: Structures) -> bool:
        """Return whether a batch is as large as one that did not fit."""
        failed = self._failed.get(_key(model, structures), set())
        return any(_holds(_size(structures), one) for one in failed)

    def note(self, model: str, structures: Structures, error: BaseException) -> None:
        """Remember a batch that failed, where memory was the reason."""
        if is_out_of_memory(error):
            size = _size(structures)
            failed = self._failed.setdefault(_key(model, structures), set())
            failed -= {one for one in failed if _holds(one, size)}
            failed.add(size)

    def forget(self) -> None:
        """Forget all of them, as another model may have the name of the one before."""
        self._failed.clear()


def _key(model: str, structures: Structures) -> _Key:
    return model, structures.positions.device, structures.positions.dtype


def _size(structures: Structures) -> _Size:
    return structures.n_atoms, int((structures.sizes**2).sum())


def _holds(size: _Size, other: _Size) -> bool:
    return all(mine >= theirs for mine, theirs in zip(size, other, strict=True))
