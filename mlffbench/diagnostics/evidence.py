"""Evidence: what diagnostics look at beside structures. What fails says why."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch

from mlffbench.core.assembly import from_outcomes, refusals, singles
from mlffbench.core.card import ModelCard
from mlffbench.core.errors import BenchError, DataError
from mlffbench.core.forcefield import ForceField, HasEmbedding
from mlffbench.core.labels import Labels
from mlffbench.core.plugins.user_file import in_words
from mlffbench.core.single import Outcome
from mlffbench.core.spectrum import known_spectra
from mlffbench.core.structures import Structures
from mlffbench.diagnostics.diagnostic import AtomFeatures, Graphs, Sample
from mlffbench.diagnostics.diagnostic_card import Evidence
from mlffbench.diagnostics.distances.descriptor import describe
from mlffbench.diagnostics.feature_room import FeatureRoom, give_back
from mlffbench.models.physics.sanity import collapsed
from mlffbench.priors.prior_labels import LabelCache, key_of

STRETCH_ATOMS = 200_000
"""Atoms of the structures that are taken out of a large sample at a time."""
NOT_CACHED = "no prior label in the cache; `mlffbench label` puts them there"


def with_graphs(sample: Sample, cutoff: float) -> Sample:
    """Return a sample with its radius graphs.

    A structure without one, e.g. in a cell smaller than the cutoff, is named with its
    reason; one with atoms on top of each other is measured and named.

    Raises:
        DataError: The cutoff is not positive and finite.
    """
    structures = sample.structures
    graphs = Graphs(*known_spectra(structures, cutoff))
    found = collapsed(structures.select(graphs.rows))
    named = {graphs.rows[place]: why for place, why in found.items()}
    return replace(sample, graphs=replace(graphs, collapsed=named))


def with_embedding(
    sample: Sample,
    model: ForceField,
    card: ModelCard,
    *,
    device: str,
    dtype: torch.dtype,
    batch_atoms: int,
) -> Sample:
    """Return a sample with a model's atomic features, or with why it has none.

    Args:
        sample: The sample.
        model: Any model; it is left as it is.
        card: What the model can treat; structures outside are named with the reason.
        device: Where the model computes.
        dtype: Floating-point type the model computes in.
        batch_atoms: Atoms per batch.
    """
    if not isinstance(model, HasEmbedding):
        why = f"model {model.name!r} has no embedding"
        return _without(sample, "embedding", why)
    structures = sample.structures
    refused = refusals(structures, card)
    rows = [row for row in range(structures.n_systems) if row not in refused]
    try:
        room = _embedded(
            model, structures, rows, device=device, dtype=dtype, batch_atoms=batch_atoms
        )
    except Exception as error:  # noqa: BLE001 - a model may raise anything
        why = f"the embedding of {model.name!r} failed: {in_words(error)}"
        return _without(sample, "embedding", why)
    if room is None:
        reason = next(iter(refused.values()), f"{sample.name} is empty")
        why = f"model {model.name!r} cannot treat any structure: {reason}"
        return _without(sample, "embedding", why)
    features = AtomFeatures(
        room.values, f"model {model.name!r}", refused, mapped=room.mapped
    )
    return replace(sample, embedding=features)


def with_descriptors(samples: Sequence[Sample]) -> list[Sample]:
    """Return samples with the fixed descriptor, the same for all, or with why not."""
    elements = sorted({z for s in samples for z in s.structures.numbers.tolist()})
    try:
        found = [describe(sample.structures, elements) for sample in samples]
    except Exception as error:  # noqa: BLE001 - what dscribe raises is not listed anywhere
        why = str(error) if isinstance(error, BenchError) else in_words(error)
        return [_without(sample, "descriptor", why) for sample in samples]
    return [
        replace(sample, descriptor=features)
        for sample, features in zip(samples, found, strict=True)
    ]


def cached_labels(structures: Structures, cache: LabelCache) -> Labels:
    """Return the prior labels that a cache holds; nothing is computed.

    Structures it does not hold are NaN and named in ``failures``.

    Raises:
        StoreError: The cache is broken or cannot be read.
    """
    keys = [key_of(single) for single in singles(structures)]
    known = cache.read(keys)
    outcomes: list[Outcome] = [known.get(key, NOT_CACHED) for key in keys]
    return from_outcomes(structures, outcomes, f"{cache.prior}, {cache.version}")


def with_labels(
    sample: Sample, evidence: Evidence, compute: Callable[[Structures], Labels]
) -> Sample:
    """Return a sample with labels of some kind, or with why it has none.

    Args:
        sample: The sample.
        evidence: ``"prediction"`` or ``"prior"``.
        compute: Structures -> their labels.
    """
    try:
        labels = compute(sample.structures)
    except BenchError as error:
        return _without(sample, evidence, str(error))
    n_failed = len(labels.failures)
    if n_failed and n_failed == sample.structures.n_systems:
        reason = next(iter(labels.failures.values()))
        return _without(sample, evidence, f"{sample.name}: {reason}")
    return (
        replace(sample, prediction=labels)
        if evidence == "prediction"
        else replace(sample, prior=labels)
    )


def in_batches(
    structures: Structures, rows: Sequence[int], batch_atoms: int
) -> Iterator[tuple[list[int], Structures]]:
    """Yield rows with at most ``batch_atoms`` atoms, one at least, and their structures.

    Taken from stretches of many: to find one structure costs as much as all there are.
    """
    for stretch in batches(structures, rows, max(STRETCH_ATOMS, batch_atoms)):
        near = structures.select(stretch)
        for part in batches(near, range(len(stretch)), batch_atoms):
            yield [stretch[place] for place in part], near.select(part)


def batches(
    structures: Structures, rows: Sequence[int], batch_atoms: int
) -> Iterator[list[int]]:
    """Yield consecutive rows with at most ``batch_atoms`` atoms, one at least."""
    sizes = structures.sizes.tolist()
    batch: list[int] = []
    n_atoms = 0
    for row in rows:
        if batch and n_atoms + sizes[row] > batch_atoms:
            yield batch
            batch, n_atoms = [], 0
        batch.append(row)
        n_atoms += sizes[row]
    if batch:
        yield batch


def _without(sample: Sample, evidence: Evidence, why: str) -> Sample:
    return replace(sample, absent={**sample.absent, evidence: why})


def _embedded(
    model: HasEmbedding,
    structures: Structures,
    rows: Sequence[int],
    *,
    device: str,
    dtype: torch.dtype,
    batch_atoms: int,
) -> FeatureRoom | None:
    """Return the features of some structures in place, NaN elsewhere; None if none."""
    room: FeatureRoom | None = None
    stops = torch.cumsum(structures.sizes, 0).tolist()
    for part, batch in in_batches(structures, rows, batch_atoms):
        found = model.embed(batch.to(device=device, dtype=dtype)).detach().cpu()
        if found.dim() != 2 or len(found) != batch.n_atoms:  # noqa: PLR2004
            msg = f"features of shape {tuple(found.shape)} for {batch.n_atoms} atoms"
            raise DataError(msg)
        if room is None:
            room = FeatureRoom.of(structures.n_atoms, found.shape[1])
        if found.shape[1] != room.values.shape[1]:  # one would be spread over all
            msg = f"{found.shape[1]} features per atom of one batch, "
            raise DataError(msg + f"{room.values.shape[1]} of another")
        start = 0
        for row, size in zip(part, batch.sizes.tolist(), strict=True):
            room.values[stops[row] - size : stops[row]] = found[start : start + size]
            start += size
        give_back(room.mapped)
    return room
