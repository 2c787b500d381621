"""Ranks: the processes of one training, which torch's launcher starts, one per device.

Every rank takes its share of the batches whose mean gradient makes a step, and all add
up their gradients before it. So the weights stay the same on all of them, and those of
one process that accumulates as many batches, up to the order of sums.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous

from mlffbench.core.errors import BenchError

_NAMES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_PATIENCE = timedelta(days=30)
"""How long ranks wait for the first, which computes prior labels, and for each other."""


@dataclass(frozen=True, slots=True, eq=False)
class Ranks:
    """One rank and how it reaches the others.

    Attributes:
        number: Of this process; the first, 0, writes the files and shows progress.
        count: Of all of them.
        store: Of what they tell each other beside numbers; None for a rank alone.
    """

    number: int = 0
    count: int = 1
    store: Any = None

    @property
    def first(self) -> bool:
        """Whether this is the rank that writes and shows."""
        return self.number == 0

    def shares(self, number: int) -> bool:
        """Return whether a batch or a chunk with some number is for this rank."""
        return number % self.count == self.number

    def total(self, *values: float) -> list[float]:
        """Return the sums of some numbers over all ranks.

        Raises:
            BenchError: Another rank has ended.
        """
        if self.count == 1:
            return list(values)
        device = "cuda" if dist.get_backend() == "nccl" else "cpu"
        sums = torch.tensor(values, dtype=torch.float64, device=device)
        _together(dist.all_reduce, sums)
        return [float(value) for value in sums]

    def add_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Replace the gradients of some parameters by their sums over all ranks.

        What has a gradient nowhere is left without one.

        Raises:
            BenchError: Another rank has ended.
        """
        if self.count == 1 or not parameters:
            return
        there = [float(one.grad is not None) for one in parameters]
        flat = torch.cat(
            [
                parameters[0].new_tensor(there),
                *(
                    (torch.zeros_like(one) if one.grad is None else one.grad).flatten()
                    for one in parameters
                ),
            ]
        )
        _together(dist.all_reduce, flat)
        known, *sums = torch.split(
            flat, [len(there), *(one.numel() for one in parameters)]
        )
        for parameter, has, values in zip(parameters, known.tolist(), sums, strict=True):
            parameter.grad = values.view_as(parameter).clone() if has else None

    def follow_first(self, values: Mapping[str, Tensor]) -> None:
        """Give some tensors the values that the first rank has.

        Raises:
            BenchError: Another rank has ended.
        """
        if self.count > 1:
            for name in sorted(values):
                _together(dist.broadcast, values[name].detach(), 0)

    @contextmanager
    def first_before_others(self, what: str) -> Iterator[None]:
        """Let the first rank do something before the others do it too.

        Args:
            what: A name of it, once in a training.

        Raises:
            BenchError: Another rank has ended.
        """
        if self.count > 1 and not self.first:
            _together(self.store.wait, [what], _PATIENCE)
        yield
        if self.count > 1 and self.first:
            _together(self.store.set, what, "done")

    def check_alike(self, what: str, told: str) -> None:
        """Check that all ranks are told the same, e.g. where a training stands.

        Args:
            what: A name of it, once in a training.
            told: What this rank was told.

        Raises:
            BenchError: They are not, or another rank has ended.
        """
        if self.count == 1:
            return
        if self.first:
            _together(self.store.set, what, told)
        _together(self.store.wait, [what], _PATIENCE)
        if self.store.get(what) != told.encode():
            msg = "the processes of this training read other files or were started with "
            msg += "other options; let all see the same folders, and start them alike"
            raise BenchError(msg)

    def speaks(self) -> bool:
        """Return whether no other rank has told yet why the training ends."""
        if self.count == 1:
            return True
        try:
            return int(self.store.add("told", 1)) == 1
        except (RuntimeError, OSError):  # whoever held the store has told
            return self.first


ALONE = Ranks()


@contextmanager
def launched_ranks(device: str) -> Iterator[Ranks]:
    """Join the other ranks where torch's launcher started this process.

    Args:
        device: ``cpu``, or ``cuda``: one GPU per rank of this machine.

    Yields:
        This rank; `ALONE` where nothing launched it, or nothing beside it.

    Raises:
        BenchError: There are fewer GPUs than ranks, or the others cannot be reached.
    """
    if any(name not in os.environ for name in _NAMES) or _number("WORLD_SIZE") < 2:  # noqa: PLR2004 - it is alone
        yield ALONE
        return
    if device == "cuda":
        _take_gpu(_number("LOCAL_RANK"))
    try:
        store, number, count = next(rendezvous("env://"))
        backend = "nccl" if device == "cuda" else "gloo"
        dist.init_process_group(
            backend, timeout=_PATIENCE, store=store, rank=number, world_size=count
        )
        told = dist.PrefixStore("mlffbench", store)  # type: ignore[attr-defined]  # it is
    except (RuntimeError, ValueError, OSError) as error:
        why = str(error).strip().partition("\n")[0]
        msg = f"the processes of this training cannot reach each other ({why}); start "
        raise BenchError(msg + "them with torchrun --nproc-per-node N") from error
    yield Ranks(number, count, told)
    dist.destroy_process_group()  # not after an error: whoever is gone answers nothing


def _take_gpu(place: int) -> None:
    """Compute on the GPU that belongs to this rank.

    Raises:
        BenchError: There is none.
    """
    n_gpus = torch.cuda.device_count()
    if place >= n_gpus:
        msg = f"process {place + 1} of this machine has no GPU of its own: torch finds "
        msg += f"{n_gpus}; start at most as many with --nproc-per-node"
        raise BenchError(msg)
    torch.cuda.set_device(place)


def _number(name: str) -> int:
    """Return a number that the launcher has set.

    Raises:
        BenchError: It is none.
    """
    try:
        return int(os.environ[name])
    except ValueError:
        msg = (
            f"{name}={os.environ[name]!r} is no number; start the training with torchrun"
        )
        raise BenchError(msg) from None


def _together(act: Any, *values: Any) -> None:
    """Do what all ranks do together.

    Raises:
        BenchError: Another rank has ended.
    """
    try:
        act(*values)
    except (RuntimeError, OSError) as error:
        msg = "another process of this training has ended; repeat the command, which "
        raise BenchError(msg + "goes on from the last whole epoch") from error
