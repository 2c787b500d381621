"""Stacked: parameters of several units, each for the rows of its own.

Every row (an atom or an edge) belongs to one unit, and in a network made of linear layers
and embeddings only those ask for parameters. So a batch of several units is one pass:
all else is done once, row by row or within a structure.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Rows of some units, laid end to end.

    Attributes:
        counts: Rows of each unit.
        unit: Shape (n_rows,), int64: the unit of each row.
        seat: Shape (n_rows,), int64: of each row, among n_units × the most rows.
    """

    counts: tuple[int, ...]
    unit: Tensor
    seat: Tensor

    @classmethod
    def of(cls, counts: Sequence[int], device: torch.device) -> Self:
        """Return the rows of units that have so many each."""
        each = torch.tensor(counts)
        unit = torch.repeat_interleave(torch.arange(len(counts)), each)
        first = torch.cumsum(each, 0) - each
        rank = torch.arange(len(unit)) - first[unit]
        seat = unit * max(counts) + rank
        return cls(tuple(counts), unit.to(device), seat.to(device))


class Stacked(Tensor):
    """Values of one parameter for several units, shape (n_units, ...).

    A layer takes it for its parameter; what is no linear layer or embedding, or has rows
    of no known kind, cannot be computed with it.
    """

    whole: Tensor
    rows: Mapping[int, Rows]

    @classmethod
    def of(cls, values: Tensor, rows: Mapping[int, Rows]) -> Self:
        """Return values for layers.

        Args:
            values: Shape (n_units, ...); gradients flow to them.
            rows: Number of rows -> whose they are.
        """
        stacked = torch.empty(0).as_subclass(cls)  # nobody is shown more of it
        stacked.whole, stacked.rows = values, rows
        return stacked

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Compute a layer, each row with the parameters of its unit.

        Raises:
            TypeError: It is no linear layer and no plain embedding.
        """
        settings = kwargs or {}
        if func is nn.functional.linear:
            return _linear(*args, **settings)
        if func is nn.functional.embedding:
            plain = all(
                settings.get(name) is None for name in ("padding_idx", "max_norm")
            )
            if len(args) == len(("index", "weight")) and plain:
                return _embedding(*args)
        name = getattr(func, "__name__", str(func))
        msg = f"{name} cannot be computed with the parameters of several units"
        raise TypeError(msg)


def _linear(values: Tensor, weight: Stacked, bias: Stacked | None = None) -> Tensor:
    """Return each row times the weight of its unit, plus its bias."""
    rows = _rows_of(values, weight)
    n_units, most = len(rows.counts), max(rows.counts)
    n_in = values.shape[1]
    seated = values.new_zeros((n_units * most, n_in))
    seated = seated.index_copy(0, rows.seat, values).view(n_units, most, n_in)
    turned = weight.whole.transpose(1, 2)
    if bias is None:
        found = torch.bmm(seated, turned)
    else:
        found = torch.baddbmm(bias.whole[:, None], seated, turned)
    return found.flatten(0, 1).index_select(0, rows.seat)


def _embedding(index: Tensor, weight: Stacked) -> Tensor:
    """Return the slice of each row's index from the table of its unit."""
    table = weight.whole
    place = _rows_of(index, weight).unit * table.shape[1] + index
    return nn.functional.embedding(place, table.flatten(0, 1))


def _rows_of(values: Tensor, weight: Stacked) -> Rows:
    rows = weight.rows.get(len(values))
    if rows is None:
        msg = f"{len(values)} rows are neither the atoms nor the edges of some units"
        raise TypeError(msg)
    return rows
