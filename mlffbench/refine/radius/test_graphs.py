"""Graphs: the test structures' at every radius, and which of them have no spectrum."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mlffbench.core.errors import DataError
from mlffbench.core.graph import radius_graph
from mlffbench.core.spectrum import Spectra, spectra
from mlffbench.core.structures import Structures


class CandidateGraphs(NamedTuple):
    """The graphs of some structures at some radii.

    Attributes:
        spectra: NaN where a graph has no spectrum.
        n_edges: Shape (n_radii, n_systems), int64, of the models' graphs, in which an
            atom of a periodic structure may see another one several times; equal numbers
            mean equal graphs.
        reasons: Index of a structure without spectra -> why it has none.
    """

    spectra: Spectra
    n_edges: Tensor
    reasons: dict[int, str]


def graphs_of(structures: Structures, radii: Sequence[float]) -> CandidateGraphs:
    """Return the graphs of structures, one without a spectrum with the reason.

    Args:
        structures: On the CPU.
        radii: In Å.

    Raises:
        DataError: A structure has no graph at all; the message says why.
    """
    found, reasons = _spectra(structures, radii)
    n_edges = found.n_edges.clone()
    for place in structures.pbc.any(1).nonzero().flatten().tolist():
        structure = structures.select([place])
        edges = [radius_graph(structure, radius).n_edges for radius in radii]
        n_edges[:, place] = torch.tensor(edges)
    return CandidateGraphs(found, n_edges, reasons)


def _spectra(
    structures: Structures, radii: Sequence[float]
) -> tuple[Spectra, dict[int, str]]:
    try:
        return spectra(structures, radii), {}
    except DataError as error:
        if structures.n_systems == 1:
            return _nothing(structures, radii), {0: str(error)}
    pieces: list[Spectra] = []
    reasons: dict[int, str] = {}
    for place in range(structures.n_systems):
        piece, why = _spectra(structures.select([place]), radii)
        pieces.append(piece)
        if why:
            reasons[place] = why[0]
    widest = max(piece.eigenvalues.shape[-1] for piece in pieces)
    values = torch.full((len(radii), len(pieces), widest), torch.nan, dtype=torch.float64)
    for place, piece in enumerate(pieces):
        values[:, place, : piece.eigenvalues.shape[-1]] = piece.eigenvalues[:, 0]
    whole = Spectra(
        cutoffs=tuple(radii),
        eigenvalues=values,
        n_edges=torch.cat([piece.n_edges for piece in pieces], dim=1),
        sizes=structures.sizes,
    )
    return whole, reasons


def _nothing(structure: Structures, radii: Sequence[float]) -> Spectra:
    """Return the spectra of a structure that has none, of a small periodic cell."""
    shape = (len(radii), 1, structure.n_atoms)
    return Spectra(
        cutoffs=tuple(radii),
        eigenvalues=torch.full(shape, torch.nan, dtype=torch.float64),
        n_edges=torch.zeros(shape[:2], dtype=torch.int64),
        sizes=structure.sizes,
    )
