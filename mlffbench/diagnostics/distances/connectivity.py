"""Connectivity: the radius graph of a structure, through its spectrum."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from mlffbench.core.spectrum import Spectra, SpectralReference
from mlffbench.diagnostics.diagnostic import (
    Fitted,
    Graphs,
    Measured,
    NotMeasurableError,
    Sample,
    alone,
    share,
)

DIGITS = 12
"""Decimals of a value: equal graphs have spectra equal to about 1e-15, and what is left
of that must not be ranked."""
_AT_A_TIME = 20_000
"""Structures whose spectra are computed on at once."""
_NO_EDGE = "a graph without an edge has no spectral gap"


def spectral_gap(train: Sample) -> Fitted:
    """Smallest eigenvalue above 1e-8 of the normalised Laplacian, from 0 to 2.

    Of a disconnected graph: the smallest gap of its pieces. Notes count such graphs.
    """
    return alone(lambda sample: _measure(sample, lambda s: s.gap(), _NO_EDGE), train)


def padded_distance(train: Sample) -> Fitted:
    """Distance ‖λ − λ̄‖₂ of the ascending, zero-padded spectrum to training's mean one.

    The criterion of arXiv 2503.08674; it also grows with the number of atoms.
    """
    reference = _reference(train)
    return alone(lambda sample: _measure(sample, reference.padded_l2), train)


def quantile_distance(train: Sample) -> Fitted:
    """Wasserstein-1 distance of the eigenvalues to training's mean distribution."""
    reference = _reference(train)
    return alone(lambda sample: _measure(sample, reference.quantile), train)


def mean_degree(train: Sample) -> Fitted:
    """Neighbours per atom within the cutoff."""
    return alone(lambda sample: _measure(sample, lambda s: s.mean_degree()), train)


def _reference(train: Sample) -> SpectralReference:
    graphs = train.graphs
    if graphs is None:
        raise NotMeasurableError(train.why_absent("graphs"))
    if not graphs.rows:
        reason = next(iter(graphs.reasons.values()), "it is empty")
        msg = f"{train.name} has no radius graph to compare with: {reason}"
        raise NotMeasurableError(msg)
    return SpectralReference.of(train.structures.select(graphs.rows), graphs.cutoff)


def _measure(
    sample: Sample, number: Callable[[Spectra], Tensor], why_missing: str = "no atoms"
) -> Measured:
    graphs = sample.graphs
    if graphs is None:
        return Measured.nothing(sample, sample.why_absent("graphs"))
    values = np.full(sample.structures.n_systems, np.nan)
    found = torch.cat([number(piece)[0].double().cpu() for piece in _pieces(graphs)])
    values[list(graphs.rows)] = np.round(found.numpy(), DIGITS)
    missing = np.flatnonzero(np.isnan(values)).tolist()
    reasons = {row: graphs.reasons.get(row, why_missing) for row in missing}
    return Measured(values, reasons, _notes(graphs))


def _pieces(graphs: Graphs) -> Iterator[Spectra]:
    """Yield the spectra of so many structures that memory holds what they are made to."""
    whole = graphs.spectra
    for start in range(0, max(1, len(whole.sizes)), _AT_A_TIME):
        rows = slice(start, start + _AT_A_TIME)
        yield replace(
            whole,
            eigenvalues=whole.eigenvalues[:, rows],
            n_edges=whole.n_edges[:, rows],
            sizes=whole.sizes[rows],
        )


def _notes(graphs: Graphs) -> tuple[str, ...]:
    notes: tuple[str, ...] = ()
    pieces = graphs.spectra.components()[0]
    broken = int((pieces > 1).sum())
    if broken:
        notes = (
            f"{share(broken, len(pieces), 'graph')} are disconnected at "
            f"{graphs.cutoff:g} Å",
        )
    if graphs.collapsed:
        row, reason = min(graphs.collapsed.items())
        notes += (
            f"{share(len(graphs.collapsed), len(pieces), 'structure')} have atoms on top "
            f"of each other, the first is structure {row} ({reason})",
        )
    return notes
