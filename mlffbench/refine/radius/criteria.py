"""Criteria: a score for every candidate cutoff of every structure, the lowest wins."""

from collections.abc import Callable, Iterable, Sequence
from typing import Literal, cast

import torch
from torch import Tensor

from mlffbench.core.forcefield import HasPriorHead
from mlffbench.core.labels import Labels
from mlffbench.core.spectrum import Spectra, SpectralReference
from mlffbench.core.structures import Structures
from mlffbench.models.cutoffs import Candidate

Criterion = Literal["padded-l2", "quantile", "prior-guided"]
SPECTRAL: dict[Criterion, Callable[[SpectralReference, Spectra], Tensor]] = {
    "padded-l2": SpectralReference.padded_l2,
    "quantile": SpectralReference.quantile,
}
"""Distances of a graph's spectrum from the training graphs'."""


def spectral_scores(
    criterion: Criterion, reference: SpectralReference, found: Spectra
) -> Tensor:
    """Return how far each graph is from those of training.

    Args:
        criterion: One of `SPECTRAL`.
        reference: What the training graphs look like.
        found: Spectra of the structures.

    Returns:
        Shape (n_radii, n_systems), dimensionless; NaN for a graph without a spectrum.
    """
    distances = SPECTRAL[criterion](reference, found)
    return distances.masked_fill(found.eigenvalues.isnan().all(-1), torch.nan)


def prior_scores(
    candidates: Sequence[Candidate],
    structures: Structures,
    labels: Labels,
    n_edges: Tensor,
    left_alone: Iterable[int] = (),
) -> Tensor:
    """Return how badly the prior head reproduces the prior's forces at each candidate.

    A graph that truncation leaves as it is at the next larger radius needs no second
    prediction.

    Args:
        candidates: Models with a prior head; the first at the trained cutoff.
        structures: The structures.
        labels: The prior's labels of them.
        n_edges: Shape (n_candidates, n_systems): edges of each candidate's graph.
        left_alone: Structures that need no scores.

    Returns:
        Shape (n_candidates, n_systems), float64: mean absolute error over the force
        components, in eV/Å; NaN where either side has no forces.
    """
    shape = (len(candidates), structures.n_systems)
    scores = torch.full(shape, torch.nan, dtype=torch.float64)
    usable = torch.ones(structures.n_systems, dtype=torch.bool)
    usable[[*labels.failures, *left_alone]] = False
    same_graph = 0  # the last candidate whose forces follow from its graph alone
    for number, candidate in enumerate(candidates):
        wanted = usable.clone()
        if number and candidate.envelope == "truncate":
            known = n_edges[number] == n_edges[same_graph]
            scores[number, known] = scores[same_graph, known]
            wanted &= ~known
            same_graph = number
        places = wanted.nonzero().flatten().tolist()
        if places:
            scores[number, wanted] = _errors(candidate, structures, labels, places)
    return scores


def _errors(
    candidate: Candidate, structures: Structures, labels: Labels, places: list[int]
) -> Tensor:
    """Return the prior head's error on some structures, shape (n,), in eV/Å."""
    chosen = structures.select(places)
    model = cast("HasPriorHead", candidate.model)
    found = model.predict_prior(chosen)
    wanted = torch.isin(structures.system, torch.tensor(places))
    expected = labels.forces[wanted.to(labels.forces.device)].double().cpu()
    atoms = (found.forces.detach().double().cpu() - expected).abs().mean(1)
    total = torch.zeros(len(places), dtype=torch.float64)
    errors: Tensor = total.index_add_(0, chosen.system, atoms) / chosen.sizes
    errors[list(found.failures)] = torch.nan
    return errors


def mean_over_groups(scores: Tensor, group: Sequence[str]) -> Tensor:
    """Return scores averaged over the conformers of a molecule that have all of them.

    Args:
        scores: Shape (n_candidates, n_systems).
        group: The molecule of each structure.

    Returns:
        Shape (n_candidates, n_systems); NaN where the structure's own are missing.
    """
    averaged = scores.clone()
    whole = torch.isfinite(scores).all(0)
    for name in dict.fromkeys(group):
        mine = torch.tensor([one == name for one in group]) & whole
        if mine.any():
            averaged[:, mine] = scores[:, mine].mean(1, keepdim=True)
    return averaged
