"""Room for atomic features: in memory, or in a file where they would fill it."""

import mmap
import tempfile
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mlffbench.core.errors import StoreError

MOST_HELD = 256 << 20
"""Bytes of features of one sample that are held; more lie in a file, in float32."""
_STEP = 16 << 20


class FeatureRoom(NamedTuple):
    """Room for a row of features per atom, NaN to begin with.

    Attributes:
        values: Shape (n_atoms, n_features), float64; float32 where they lie in a file.
        mapped: The file, which has no name and goes with its last reader; None in memory.
    """

    values: Tensor
    mapped: mmap.mmap | None = None

    @classmethod
    def of(cls, n_atoms: int, n_features: int) -> "FeatureRoom":
        """Return room for some atoms.

        Raises:
            StoreError: The disk of temporary files is too full.
        """
        shape = n_atoms, n_features
        if 8 * n_atoms * n_features <= MOST_HELD:
            return cls(torch.full(shape, torch.nan, dtype=torch.float64))
        size = 4 * n_atoms * n_features
        try:
            with tempfile.TemporaryFile() as file:
                blank = np.full(_STEP // 4, np.nan, dtype=np.float32).tobytes()
                for start in range(0, size, _STEP):  # a file with holes ends the process
                    file.write(blank[: size - start])
                file.flush()
                mapped = mmap.mmap(file.fileno(), size)
        except OSError as error:
            where = tempfile.tempdir or "any folder of temporary files"
            msg = f"no room in {where} for {size / 1e9:.1f} GB of features "
            msg += f"({error.strerror}); free some, or name another folder in TMPDIR"
            raise StoreError(msg) from error
        values = np.frombuffer(mapped, dtype=np.float32).reshape(shape)
        return cls(torch.from_numpy(values), mapped)


def give_back(mapped: mmap.mmap | None) -> None:
    """Take what was read of a file, or written, out of this process's memory."""
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)
