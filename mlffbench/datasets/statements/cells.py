"""Cells of an npz file: one for all frames or one for each; rows are lattice vectors."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mlffbench.core.errors import DataError

_NAMES = frozenset("cell cells lattice lattices box unitcell latticevectors".split())
_SGDML = frozenset({"type", "md5"})
"""What sGDML's converters add to a file; their lattice vectors are columns."""


class Cells(NamedTuple):
    """Cells of the frames.

    Attributes:
        vectors: Shape (n_frames or 1, 3, 3), lattice vectors as rows, in the file's unit.
        pbc: Shape (n_frames or 1, 3), bool.
    """

    vectors: NDArray[np.float64]
    pbc: NDArray[np.bool_]

    @property
    def periodic(self) -> bool:
        """Whether any direction is periodic."""
        return bool(self.pbc.any())

    def of(self, frames: NDArray[np.int64], length: float) -> tuple[Tensor, Tensor]:
        """Return cells (n, 3, 3) in Å and pbc (n, 3) of some frames."""
        vectors = self._each(self.vectors, frames) * (length * self.periodic)
        return torch.from_numpy(vectors), torch.from_numpy(self._each(self.pbc, frames))

    def bytes_of(self, frame: int) -> bytes:
        """Return what is equal for equal cells."""
        one = np.array([frame])
        return (
            self._each(self.vectors, one).tobytes() + self._each(self.pbc, one).tobytes()
        )

    @staticmethod
    def _each(values: NDArray[Any], frames: NDArray[np.int64]) -> NDArray[Any]:
        return np.array(values[frames if len(values) > 1 else np.zeros_like(frames)])


def cells_in(arrays: Mapping[str, NDArray[Any]], n_frames: int, path: Path) -> Cells:
    """Return the cells among the arrays of a file; none where it has none.

    A cell that is not zero makes its frames periodic in all three directions, unless
    ``pbc`` says otherwise.

    Raises:
        DataError: A cell has an unknown shape or is singular, there are two, or it is not
            known whether its rows or its columns are the lattice vectors.
    """
    by_word = {"".join(c for c in name.lower() if c.isalpha()): name for name in arrays}
    there = [by_word[word] for word in sorted(_NAMES & by_word.keys())]
    if not there:
        none = np.zeros((1, 3), dtype=bool)
        return Cells(np.zeros((1, 3, 3)), none)
    if len(there) > 1:
        msg = f"{path} has {there[0]!r} and {there[1]!r}; expected one cell: remove one"
        raise DataError(msg)
    vectors = _vectors(arrays[there[0]], n_frames, f"{path}, array {there[0]!r}")
    skew = not np.allclose(vectors, np.swapaxes(vectors, 1, 2))
    if skew and "lattice" in there[0].lower():
        if not arrays.keys() >= _SGDML:
            msg = (
                f"{path}, array {there[0]!r}: lattice vectors are the rows for most, the "
            )
            msg += "columns for sGDML; expected an array 'cell', whose rows they are"
            raise DataError(msg + ": rename it")
        vectors = np.swapaxes(vectors, 1, 2)
    there_is = np.asarray(vectors.any(axis=(1, 2)))
    pbc = np.repeat(there_is[:, None], 3, axis=1)
    if "pbc" in by_word:
        stated = np.asarray(arrays[by_word["pbc"]], dtype=bool)
        n_cells = max(len(vectors), stated.size // 3)
        pbc = np.broadcast_to(stated.reshape(-1, 3), (n_cells, 3))
        vectors = np.broadcast_to(vectors, (n_cells, 3, 3))
    full = pbc.all(axis=1)
    if (np.linalg.matrix_rank(vectors[full]) < len("xyz")).any():
        msg = f"{path}, array {there[0]!r} has a cell without volume; expected three "
        raise DataError(msg + "lattice vectors, or zeros for molecules: correct it")
    return Cells(np.array(vectors), np.array(pbc))


def _vectors(values: NDArray[Any], n_frames: int, where: str) -> NDArray[np.float64]:
    """Return lattice vectors (n_frames or 1, 3, 3) from any of the shapes in use."""
    shapes: dict[tuple[int, ...], bool] = {
        (n_frames, 3): True,
        (3,): True,
        (3, 3): False,
        (1, 3, 3): False,
        (n_frames, 3, 3): False,
        (9,): False,
        (n_frames, 9): False,
    }  # shape -> whether it holds the lengths of rectangular cells
    if values.shape not in shapes or values.dtype.kind not in "iuf":
        msg = (
            f"{where} has shape {values.shape} and type {values.dtype}; expected (3, 3) "
        )
        raise DataError(msg + f"or ({n_frames}, 3, 3): correct it")
    table = np.asarray(values, dtype=np.float64)
    if not np.isfinite(table).all():
        msg = f"{where} holds a number that is not finite; correct it"
        raise DataError(msg)
    if not shapes[values.shape]:
        return table.reshape(-1, 3, 3)
    lengths = table.reshape(-1, 3)
    vectors = np.zeros((len(lengths), 3, 3))
    vectors[:, range(3), range(3)] = lengths
    return vectors
