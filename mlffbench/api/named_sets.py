"""From the name of a set to a sample: its structures, and reference labels if any."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from mlffbench.core.errors import DataError, UnknownNameError
from mlffbench.core.labels import Labels
from mlffbench.core.split import Rows, Split
from mlffbench.core.structures import Structures
from mlffbench.datasets.catalog import DATASETS
from mlffbench.datasets.files.open import open_source
from mlffbench.datasets.registered import registered_splits
from mlffbench.diagnostics.diagnostic import Sample
from mlffbench.run.catalog import suite_rows
from mlffbench.run.evaluate.data_check import check_data
from mlffbench.run.evaluate.evaluation_job import choose_rows
from mlffbench.run.suite import is_file, load_suite
from mlffbench.run.suite_splits import load_splits, pick_split, splits_named

_LOOKED_AT = 20
"""Structures that tell whether a set has reference forces."""


def sample_of(
    target: str, name: str, *, limit: int | None, seed: int, at_least: int = 1
) -> Sample:
    """Return a dataset, a file, or a split of a suite, with its reference labels.

    An XYZ file or an ASE database may come without forces: then the sample has no
    reference labels and says so.

    Args:
        target: A dataset's name, a path, ``SUITE:SPLIT`` or ``SUITE:SPLIT/val``.
        name: What to call it.
        limit: Structures at most, spread over its molecules; None is all.
        seed: Of that choice.
        at_least: Structures it must hold.

    Raises:
        BenchError: There is no such set, or it holds too few structures or cannot be
            read.
    """
    structures: list[Structures] = []
    labels: list[Labels] = []
    for part, rows in _chosen(target, limit=limit, seed=seed, at_least=at_least):
        structures.append(part.source.structures(rows))
        labels.append(part.source.labels(rows))
    reference = Labels.concatenate(labels)
    known = bool(torch.isfinite(reference.forces).any())
    return Sample(
        name=name,
        structures=Structures.concatenate(structures),
        reference=reference if known else None,
        absent={} if known else {"reference": f"{target} has no reference forces"},
    )


def remarks_on_sets(targets: Sequence[str]) -> tuple[str, ...]:
    """Return what whoever uses some of these sets should know, in sentences.

    Args:
        targets: As for `sample_of`.

    Raises:
        BenchError: There is no such set, or it cannot be read.
    """
    parts = [replace(part, name=name) for name in targets for part in _parts_of(name)]
    said = dict.fromkeys(r for part in parts for r in part.source.index.remarks)
    known = [part for part in parts if len(part.rows) and _has_forces(part)]
    return (*said, *check_data(tuple(known)))


def _has_forces(part: Split) -> bool:
    first = part.source.labels(part.rows[:_LOOKED_AT])
    return bool(torch.isfinite(first.forces).any())


def structures_of_set(target: str, *, limit: int | None, seed: int) -> Structures:
    """Return the structures of the same sets; no label is read.

    Args:
        target: As for `sample_of`.
        limit: Structures at most, spread over its molecules; None is all.
        seed: Of that choice.

    Raises:
        BenchError: There is no such set, or it is empty or cannot be read.
    """
    chosen = _chosen(target, limit=limit, seed=seed, at_least=1)
    return Structures.concatenate([part.source.structures(rows) for part, rows in chosen])


def _chosen(
    target: str, *, limit: int | None, seed: int, at_least: int
) -> list[tuple[Split, Rows]]:
    """Return the splits behind a name, and which rows of each."""
    parts = [part for part in _parts_of(target) if len(part.rows)]
    total = sum(len(part.rows) for part in parts)
    if total < at_least:
        held = f"{target} holds {total or 'no'} structure{'s' * (total > 1)}"
        why = f"a training set needs at least {at_least} to have a spread"
        raise DataError(f"{held}; {why}" if at_least > 1 else held)
    if limit is not None and limit < 1:
        msg = f"limit={limit}: expected at least 1 structure, or None for all"
        raise DataError(msg)
    shares = _shares([len(part.rows) for part in parts], limit)
    return [
        (part, choose_rows(part, share, seed))
        for part, share in zip(parts, shares, strict=True)
        if share
    ]


def _shares(sizes: Sequence[int], limit: int | None) -> list[int]:
    """Return how many of each part make up ``limit``, in proportion to their sizes."""
    total = sum(sizes)
    if limit is None or limit >= total:
        return list(sizes)
    exact = [limit * size / total for size in sizes]
    shares = [int(share) for share in exact]
    by_rest = sorted(range(len(sizes)), key=lambda one: shares[one] - exact[one])
    for one in by_rest[: limit - sum(shares)]:
        shares[one] += 1
    return shares


def _parts_of(target: str) -> Sequence[Split]:
    """Return the splits behind a name; a file is one that holds all of it."""
    if target in DATASETS.names():
        return registered_splits(target)
    suite, _, split = target.partition(":")
    known = suite in {*DATASETS.names(), *suite_rows()} or is_file(suite)
    if split and known and not Path(target).exists():
        splits = (
            load_splits(*load_suite(suite)) if is_file(suite) else splits_named(suite)
        )
        return [pick_split(splits or (), split, suite)]
    if not Path(target).suffix and not Path(target).is_file():
        if known:
            msg = f"{target!r} is a suite; say which split of it, as in {target}:NAME "
            raise DataError(msg + f"(mlffbench info {target} lists its splits)")
        if split:
            names = {*DATASETS.names(), *suite_rows()}
            raise UnknownNameError("suite or dataset", suite, names)
        DATASETS.entry(target)
    source = open_source(target, forces_required=False)
    rows = np.arange(source.index.n_structures)
    whole = "every structure of the file"
    # the role only keeps all of it: more than is trained on may be compared
    return [Split(name="file", role="id_test", source=source, rows=rows, rule=whole)]
