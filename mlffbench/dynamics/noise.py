"""Noise: normal deviates that depend on the seed, the system and the step alone.

They are drawn in blocks of steps, each from a generator seeded by the run's seed, the
system's name and the block's number: no companion in the batch can change them, and a
resumed run needs no generator's state.
"""

from collections.abc import Sequence
from hashlib import sha256

import torch
from torch import Tensor

BLOCK = 32
"""Steps drawn at once."""


def generator_of(seed: int, name: str, what: str) -> torch.Generator:
    """Return the generator that belongs to a system and a purpose."""
    digest = sha256(f"{seed}/{name}/{what}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def draw_start(seed: int, names: Sequence[str], sizes: Sequence[int]) -> Tensor:
    """Return the deviates of the initial velocities, shape (n_atoms, 3), float64."""
    return torch.cat(
        [
            torch.randn(
                (size, 3),
                generator=generator_of(seed, name, "start"),
                dtype=torch.float64,
            )
            for name, size in zip(names, sizes, strict=True)
        ]
    )


class Noise:
    """The deviates of some systems, step by step.

    Args:
        seed: Of the run.
        names: Of the systems, in order.
        sizes: Atoms of each.
        device: Where they are needed.
    """

    def __init__(
        self, seed: int, names: Sequence[str], sizes: Sequence[int], device: torch.device
    ) -> None:
        self._seed, self._names, self._sizes = seed, tuple(names), tuple(sizes)
        self._device = device
        self._number = -1
        self._block = torch.zeros(0)

    def at(self, step: int) -> Tensor:
        """Return the deviates of a step, shape (n_atoms, 3), float64."""
        number, place = divmod(step, BLOCK)
        if number != self._number:
            self._block = torch.cat(
                [self._draw(*system, number) for system in zip(self._names, self._sizes)],  # noqa: B905 - same length by construction
                dim=1,
            ).to(self._device)
            self._number = number
        return self._block[place]

    def _draw(self, name: str, size: int, number: int) -> Tensor:
        generator = generator_of(self._seed, name, f"steps {number}")
        return torch.randn((BLOCK, size, 3), generator=generator, dtype=torch.float64)
