"""What is measured of structures before they are judged: the label-free alarms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from mlffbench.core.labels import Labels
from mlffbench.core.split import Split
from mlffbench.core.structures import Structures
from mlffbench.deploy.model_spread import mean_over_atoms, spread_of_forces
from mlffbench.diagnostics.diagnostic import Fitted, Sample, only
from mlffbench.diagnostics.diagnostic_card import DiagnosticCard
from mlffbench.diagnostics.distances.neighbours import embedding_distance
from mlffbench.diagnostics.measure import Measurements
from mlffbench.run.evaluate.evaluation_job import choose_rows

Floats = NDArray[np.float64]

MOST_OF_TRAIN, MOST_OF_VAL = 2_000, 500
"""Structures of training, and of each val split, that are looked at."""
SPREAD, PRIOR_FORCE = "model_spread", "prior_force"
"""Alarms beside those of the catalogue."""
CALIBRATED = ("prior_gap", "embedding_knn", "open_shell", SPREAD)
"""Alarms that the expected error is a regression on, where they are there. A spin that
training lacks is a step: its logarithm is that of the floor or of the distance."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Alarmed:
    """Structures with every alarm that could be measured.

    Attributes:
        sample: The structures and the evidence.
        alarms: Name -> shape (n_systems,); NaN where it could not be measured.
        reasons: Name -> index of a structure -> why not.
        atom_distance: Shape (n_atoms,), of each atom's features to the nearest of
            training; NaN without an embedding.
        atom_gap: Shape (n_atoms,), |F_model − F_prior| in eV/Å; NaN without a prior.
    """

    sample: Sample
    alarms: Mapping[str, Floats]
    reasons: Mapping[str, Mapping[int, str]]
    atom_distance: Floats
    atom_gap: Floats


def split_sample(split: Split, limit: int, seed: int, *, labelled: bool) -> Sample:
    """Return some structures of a split, spread over its molecules."""
    rows = choose_rows(split, limit, seed)
    return Sample(
        name=f"{split.name}/{split.role}",
        structures=split.source.structures(rows),
        reference=split.source.labels(rows) if labelled else None,
    )


def with_alarms(
    samples: Sequence[Sample],
    measured: Measurements,
    train: Sample,
    others: Sequence[Sequence[Labels]],
) -> list[Alarmed]:
    """Return samples with their alarms.

    Args:
        samples: With evidence, in the order in which they were measured.
        measured: Every diagnostic of them.
        train: The training sample, with evidence.
        others: Per further model, its labels of each sample.
    """
    fitted = None if train.embedding is None else embedding_distance(train)
    made = []
    for place, sample in enumerate(samples):
        alarms: dict[str, Floats] = {}
        reasons: dict[str, Mapping[int, str]] = {}
        for column in measured.columns:
            if is_label_free(column.card):
                alarms[column.name] = column.tests[place].values
                reasons[column.name] = column.tests[place].reasons
        if sample.prior is not None:
            alarms[PRIOR_FORCE] = _mean_force(sample.prior, sample.structures)
        if others:  # of every sample, or the calibration asks for what is not there
            alarms[SPREAD] = np.full(sample.structures.n_systems, np.nan)
        if others and sample.prediction is not None:
            forces = [sample.prediction, *(labels[place] for labels in others)]
            alarms[SPREAD] = _spread(forces, sample.structures)
        distance = _atom_distances(fitted, sample)
        gap = _atom_gaps(sample)
        made.append(
            Alarmed(
                sample=sample,
                alarms=alarms,
                reasons=reasons,
                atom_distance=distance,
                atom_gap=gap,
            )
        )
    return made


def train_alarms(train: Sample, measured: Measurements) -> Alarmed:
    """Return the training sample with its alarms, each structure against the others.

    Its atoms have no distances of their own: each would find itself.
    """
    alarms = {
        column.name: column.train.values
        for column in measured.columns
        if is_label_free(column.card)
    }
    if train.prior is not None:
        alarms[PRIOR_FORCE] = _mean_force(train.prior, train.structures)
    return Alarmed(
        sample=train,
        alarms=alarms,
        reasons={},
        atom_distance=np.full(train.structures.n_atoms, np.nan),
        atom_gap=_atom_gaps(train),
    )


def is_label_free(card: DiagnosticCard) -> bool:
    """Return whether a diagnostic needs no reference label."""
    return "reference" not in card.needs


def _atom_distances(fitted: Fitted | None, sample: Sample) -> Floats:
    """Return the distance of each atom: every atom is measured as a structure."""
    n_atoms = sample.structures.n_atoms
    if fitted is None or sample.embedding is None:
        return np.full(n_atoms, np.nan)
    owner = sample.structures.system.tolist()
    reasons = {
        atom: sample.embedding.reasons[system]
        for atom, system in enumerate(owner)
        if system in sample.embedding.reasons
    }
    lone = replace(
        only(sample, ("embedding",)),
        structures=_one_by_one(sample.structures),
        embedding=replace(sample.embedding, reasons=reasons),
    )
    return fitted.measure(lone).values


def _one_by_one(structures: Structures) -> Structures:
    """Return a batch in which every atom is a structure."""
    n = structures.n_atoms
    names = tuple(map(str, range(n)))
    return Structures(
        positions=structures.positions,
        numbers=structures.numbers,
        system=torch.arange(n),
        cell=structures.positions.new_zeros((n, 3, 3)),
        pbc=torch.zeros((n, 3), dtype=torch.bool),
        charge=torch.zeros(n, dtype=torch.int64),
        multiplicity=torch.ones(n, dtype=torch.int64),
        ids=names,
        group=names,
        smiles=("",) * n,
    )


def _atom_gaps(sample: Sample) -> Floats:
    if sample.prediction is None or sample.prior is None:
        return np.full(sample.structures.n_atoms, np.nan)
    ours, theirs = (one.forces.double() for one in (sample.prediction, sample.prior))
    gaps: Floats = torch.linalg.vector_norm(ours - theirs, dim=1).numpy()
    return gaps


def _mean_force(labels: Labels, structures: Structures) -> Floats:
    norms = torch.linalg.vector_norm(labels.forces.double(), dim=1).numpy()
    return mean_over_atoms(norms, structures.sizes.numpy())


def _spread(labels: Sequence[Labels], structures: Structures) -> Floats:
    forces = [one.forces.double().numpy() for one in labels]
    return mean_over_atoms(spread_of_forces(forces), structures.sizes.numpy())
