"""Spectra: eigenvalues of the normalised Laplacian of radius graphs, many radii at once.

L = I − D^(−1/2) A D^(−1/2) of the undirected, unweighted radius graph, without self-loops
and without a neighbour cap (Kreiman & Krishnapriyan, arXiv 2503.08674, §4.1). The
eigenvalues lie in [0, 2]. An isolated atom has eigenvalue 0 (Chung, Spectral Graph
Theory, 1997), so the zeros count the components of any graph, a lone atom's included.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mlffbench.core.errors import DataError
from mlffbench.core.graph import (
    MAX_DENSE_ATOMS,
    MAX_DENSE_PAIRS,
    check_cutoff,
    check_positions,
    radius_graph,
)
from mlffbench.core.structures import Structures

ZERO = 1e-8
"""An eigenvalue at or below it counts as 0; so much is rounding elsewhere too."""
ZERO_FLOAT32 = 1e-5
"""The same for spectra computed in float32, whose error is about 2e-6."""
NEAR_ONE = (0.9, 1.1)
"""Eigenvalues whose share is the connectivity of the paper's figures."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Spectra:
    """The spectra of some structures at some radii.

    Attributes:
        cutoffs: Radii in Å, as asked for.
        eigenvalues: Shape (n_radii, n_systems, n_largest), ascending, dimensionless; NaN
            beyond the number of atoms.
        n_edges: Shape (n_radii, n_systems), int64; a pair counts twice. The graphs of a
            structure are nested, so equal numbers mean equal graphs.
        sizes: Shape (n_systems,), int64: atoms per structure.
    """

    cutoffs: tuple[float, ...]
    eigenvalues: Tensor
    n_edges: Tensor
    sizes: Tensor

    def gap(self) -> Tensor:
        """Return the spectral gap, the smallest eigenvalue that is not zero.

        Returns:
            Shape (n_radii, n_systems); NaN for a graph without edges, which has none.
        """
        beyond = self.eigenvalues.masked_fill(~(self.eigenvalues > self._zero), torch.inf)
        smallest = beyond.amin(-1) if beyond.shape[-1] else beyond.sum(-1) + torch.inf
        return smallest.masked_fill(torch.isinf(smallest), torch.nan)

    def components(self) -> Tensor:
        """Return in how many pieces each graph is, shape (n_radii, n_systems), int64."""
        return (self.eigenvalues <= self._zero).sum(-1)

    def mean_degree(self) -> Tensor:
        """Return neighbours per atom, shape (n_radii, n_systems); NaN without atoms."""
        return self.n_edges / torch.where(self.sizes > 0, self.sizes.double(), torch.nan)

    def share_within(self, low: float, high: float) -> Tensor:
        """Return the share of eigenvalues from one number to another, both included.

        An eigenvalue that is an end but for its rounding is inside: eleven atoms that all
        see each other have ten of exactly 1.1, computed to either side of it, on which
        side depending on what they are solved together with.

        Returns:
            Shape (n_radii, n_systems), float64, from 0 to 1; NaN without atoms.
        """
        low, high = low - self._zero, high + self._zero
        near = (self.eigenvalues >= low) & (self.eigenvalues <= high)
        atoms = torch.where(self.sizes > 0, self.sizes.double(), torch.nan)
        return near.sum(-1) / atoms

    @property
    def _zero(self) -> float:
        return ZERO if self.eigenvalues.dtype == torch.float64 else ZERO_FLOAT32


def spectra(
    structures: Structures,
    cutoffs: Sequence[float],
    *,
    dtype: torch.dtype = torch.float64,
) -> Spectra:
    """Return the spectrum of every structure at every radius.

    Distances are computed once, a graph that is the same at two radii is solved once, and
    molecules of one size are solved together.

    Args:
        structures: Any batch, on any device; its dtype does not matter.
        cutoffs: Radii in Å, in any order.
        dtype: Of the eigenvalues; float32 is less exact, and faster on a GPU.

    Raises:
        DataError: A radius is not positive and finite, a position is not finite, or a
            periodic cell is so small that an atom would be its own neighbour.

    Example:
        >>> line = torch.tensor([[0.0, 0, 0], [1, 0, 0], [2, 0, 0]])
        >>> chain = Structures.build([line], [torch.tensor([6, 6, 6])], ids=["C3"])
        >>> spectra(chain, [1.5, 2.5]).eigenvalues.round(decimals=3).abs().tolist()
        [[[0.0, 1.0, 2.0]], [[0.0, 1.5, 1.5]]]
    """
    for cutoff in cutoffs:
        check_cutoff(cutoff)
    check_positions(structures)
    sizes = structures.sizes
    largest = int(sizes.max()) if structures.n_systems else 0
    shape = (len(cutoffs), structures.n_systems)
    device = structures.positions.device
    values = torch.full((*shape, largest), torch.nan, dtype=dtype, device=device)
    n_edges = torch.zeros(shape, dtype=torch.int64, device=device)
    order = torch.tensor(cutoffs, dtype=torch.float64).argsort()
    ascending = [cutoffs[int(place)] for place in order] if len(cutoffs) else []
    order = order.to(device)
    for members, distances in _distances(structures, max(cutoffs, default=0.0)):
        width = distances.shape[-1]
        found, edges = _solve(distances, ascending, dtype)
        where = torch.tensor(members, device=device)
        values[order[:, None], where, :width] = found
        n_edges[order[:, None], where] = edges
    return Spectra(
        cutoffs=tuple(float(cutoff) for cutoff in cutoffs),
        eigenvalues=values,
        n_edges=n_edges,
        sizes=sizes,
    )


def _solve(
    distances: Tensor, cutoffs: Sequence[float], dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Return spectra (n_radii, n, n_atoms) and edges (n_radii, n) for ascending radii."""
    radii = torch.tensor(cutoffs, dtype=torch.float64, device=distances.device)
    near = distances < radii[:, None, None, None]
    n_edges = near.sum((-1, -2))
    new = torch.ones_like(n_edges, dtype=torch.bool)
    new[1:] = n_edges[1:] != n_edges[:-1]
    solved = torch.linalg.eigvalsh(_laplacian(near[new], dtype))
    # The n-th spectrum is the one of the last new graph up to it.
    which = torch.zeros_like(n_edges)
    which[new] = torch.arange(len(solved), device=which.device)
    which = torch.cummax(which, 0).values
    return solved.clamp(0.0, 2.0)[which], n_edges


def _laplacian(near: Tensor, dtype: torch.dtype) -> Tensor:
    """Return L, shape (n, n_atoms, n_atoms), of adjacencies without a diagonal."""
    adjacency = near.to(dtype)
    degree = adjacency.sum(-1)
    inverse = torch.where(degree > 0, degree.clamp(min=1).rsqrt(), 0.0)
    adjacency *= inverse[:, :, None]
    adjacency *= inverse[:, None, :]
    adjacency.neg_().diagonal(dim1=1, dim2=2).copy_((degree > 0).to(dtype))
    return adjacency


def _distances(
    structures: Structures, reach: float
) -> Iterator[tuple[list[int], Tensor]]:
    """Yield systems of one size with all their distances, inf on the diagonal.

    Distances of periodic structures are to the nearest image; those beyond ``reach`` may
    be inf.
    """
    sizes = structures.sizes.tolist()
    periodic = structures.pbc.any(1).tolist()
    buckets: dict[int, list[int]] = defaultdict(list)
    for system, size in enumerate(sizes):
        if periodic[system] or size > MAX_DENSE_ATOMS:
            yield [system], _by_graph(structures.select([system]), reach)
        elif size:
            buckets[size].append(system)
    positions = structures.positions.detach().double()
    starts = torch.cumsum(structures.sizes, 0) - structures.sizes
    for size, members in sorted(buckets.items()):
        step = max(1, MAX_DENSE_PAIRS // (8 * size * size))
        within = torch.arange(size, device=positions.device)
        for first in range(0, len(members), step):
            chunk = members[first : first + step]
            mine = positions[starts[chunk][:, None] + within]
            # the matrix-product shortcut of cdist would lose half of the digits
            dense = torch.cdist(mine, mine, compute_mode="donot_use_mm_for_euclid_dist")
            dense.diagonal(dim1=1, dim2=2).fill_(math.inf)
            yield chunk, dense


def _by_graph(structure: Structures, reach: float) -> Tensor:
    """Return the distances of one structure within ``reach`` through its radius graph."""
    graph = radius_graph(structure, reach)
    centre, neighbour = graph.edges
    n_atoms = structure.n_atoms
    lengths = torch.linalg.vector_norm(
        graph.vectors(structure.to(dtype=torch.float64)), dim=1
    )
    if bool((centre == neighbour).any()):
        least = float(lengths[centre == neighbour].min())
        msg = (
            f"structure {structure.ids[0]!r} has its own images {least:.3g} Å away, "
            f"within the cutoff of {reach:g} Å, so an atom would be its own neighbour; "
        )
        raise DataError(msg + "give a supercell or a smaller cutoff")
    dense: Tensor = lengths.new_full((n_atoms * n_atoms,), math.inf)
    dense.scatter_reduce_(0, centre * n_atoms + neighbour, lengths, "amin")
    return dense.view(1, n_atoms, n_atoms)


class KnownSpectra(NamedTuple):
    """The spectra of those structures that have a graph, at one radius.

    Attributes:
        spectra: Theirs, in order.
        rows: Which structures they are.
        reasons: Index of a structure -> why it has none.
    """

    spectra: Spectra
    rows: tuple[int, ...]
    reasons: Mapping[int, str]


def known_spectra(structures: Structures, cutoff: float) -> KnownSpectra:
    """Return the spectra of structures, and why some have none, e.g. in a small cell.

    Raises:
        DataError: The cutoff is not positive and finite.
    """
    check_cutoff(cutoff)
    every = tuple(range(structures.n_systems))
    try:
        return KnownSpectra(spectra(structures, [cutoff]), every, {})
    except DataError:
        reasons = _why_without(structures, cutoff)
    rows = tuple(row for row in every if row not in reasons)
    return KnownSpectra(spectra(structures.select(rows), [cutoff]), rows, reasons)


def _why_without(structures: Structures, cutoff: float) -> dict[int, str]:
    """Return why structures have no graph, asked one by one."""
    reasons: dict[int, str] = {}
    for row in range(structures.n_systems):
        try:
            spectra(structures.select([row]), [cutoff])
        except DataError as error:
            reasons[row] = str(error)
    return reasons


def share_near_one(structures: Structures, cutoff: float) -> NDArray[np.float64]:
    """Return the share of eigenvalues in [0.9, 1.1], the paper's connectivity.

    Args:
        structures: Any batch.
        cutoff: Radius of the graphs in Å.

    Returns:
        Shape (n_systems,), from 0 to 1; NaN without atoms, or without a graph.

    Raises:
        DataError: The cutoff is not positive and finite.
    """
    shares = np.full(structures.n_systems, np.nan)
    known = known_spectra(structures, cutoff)
    shares[list(known.rows)] = known.spectra.share_within(*NEAR_ONE)[0].cpu().numpy()
    return shares


N_QUANTILES = 128
"""Points at which quantile functions of eigenvalues are compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpectralReference:
    """What the graphs of a training set look like on average.

    Attributes:
        cutoff: Radius of the training graphs, in Å.
        n_structures: How many there were.
        mean: Mean ascending spectrum, zero-padded to the longest (the paper's form).
        quantiles: Mean quantile function of the eigenvalues at `N_QUANTILES` midpoints:
            a form that does not depend on size.
    """

    cutoff: float
    n_structures: int
    mean: tuple[float, ...]
    quantiles: tuple[float, ...]

    @classmethod
    def of(cls, structures: Structures, cutoff: float) -> Self:
        """Return the reference of a training set.

        Args:
            structures: The training structures.
            cutoff: Radius of their graphs, in Å.

        Raises:
            DataError: There is no structure, or no graph of one.
        """
        if not structures.n_systems:
            raise DataError("a training set without structures has no mean spectrum")
        found = spectra(structures, [cutoff])
        mean = found.eigenvalues[0].nan_to_num(0.0).mean(0)
        return cls(
            cutoff=float(cutoff),
            n_structures=structures.n_systems,
            mean=tuple(mean.tolist()),
            quantiles=tuple(quantile_functions(found)[0].nanmean(0).tolist()),
        )

    def as_json(self) -> dict[str, float | int | list[float]]:
        """Return the reference as JSON can hold it."""
        return {
            "cutoff": self.cutoff,
            "n_structures": self.n_structures,
            "mean": list(self.mean),
            "quantiles": list(self.quantiles),
        }

    @classmethod
    def from_json(cls, content: object) -> Self | None:
        """Return the reference that `as_json` gave.

        Args:
            content: What was read; None, or anything that is no such mapping of finite
                numbers, is no reference and gives None.
        """
        names = {"cutoff", "n_structures", "mean", "quantiles"}
        if not isinstance(content, dict) or content.keys() != names:
            return None
        mean, quantiles = content["mean"], content["quantiles"]
        if not isinstance(mean, list | tuple) or not isinstance(quantiles, list | tuple):
            return None
        numbers = [content["cutoff"], content["n_structures"], *mean, *quantiles]
        if len(quantiles) != N_QUANTILES or not all(
            isinstance(number, int | float) and math.isfinite(number)
            for number in numbers
        ):
            return None
        return cls(
            cutoff=float(content["cutoff"]),
            n_structures=int(content["n_structures"]),
            mean=tuple(map(float, mean)),
            quantiles=tuple(map(float, quantiles)),
        )

    def padded_l2(self, found: Spectra) -> Tensor:
        """Return ‖λ − λ̄‖₂ with zeros after the shorter one (the paper's distance).

        Returns:
            Shape (n_radii, n_systems), dimensionless.
        """
        values = found.eigenvalues.nan_to_num(0.0)
        width = max(values.shape[-1], len(self.mean))
        values = torch.nn.functional.pad(values, (0, width - values.shape[-1]))
        mean = values.new_zeros(width)
        mean[: len(self.mean)] = values.new_tensor(self.mean)
        distances: Tensor = torch.linalg.vector_norm(values - mean, dim=-1)
        return distances

    def quantile(self, found: Spectra) -> Tensor:
        """Return the Wasserstein-1 distance between the distributions of eigenvalues.

        Returns:
            Shape (n_radii, n_systems), dimensionless; NaN without atoms.
        """
        functions = quantile_functions(found)
        return (functions - functions.new_tensor(self.quantiles)).abs().mean(-1)


def quantile_functions(found: Spectra) -> Tensor:
    """Return the quantile function of the eigenvalues of each graph.

    Returns:
        Shape (n_radii, n_systems, `N_QUANTILES`), at the midpoints of equal parts of
        [0, 1]; NaN without atoms.
    """
    midpoints = (torch.arange(N_QUANTILES, dtype=torch.float64) + 0.5) / N_QUANTILES
    values = found.eigenvalues
    if not values.shape[-1]:
        return values.new_full((*values.shape[:-1], N_QUANTILES), torch.nan)
    place = (midpoints.to(values.device) * found.sizes[:, None]).long()
    return values.gather(-1, place.expand(*values.shape[:-1], N_QUANTILES))
