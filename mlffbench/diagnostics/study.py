"""Study: from samples with evidence to a diagnosis and a table of values."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from mlffbench.core.errors import BenchError
from mlffbench.core.labels import Labels
from mlffbench.datasets.shifts import ShiftReference, ShiftScores, shift_scores
from mlffbench.diagnostics.compare import (
    contrast,
    count,
    error_curve,
    shared_edges,
    summarize,
)
from mlffbench.diagnostics.diagnosis import (
    DiagnosedSample,
    Diagnosis,
    DiagnosticResult,
    SampleResult,
)
from mlffbench.diagnostics.diagnostic import Floats, Sample, share
from mlffbench.diagnostics.diagnostic_card import DiagnosticCard
from mlffbench.diagnostics.measure import Column, Measurements, measure_all
from mlffbench.diagnostics.ranking import BEYOND, WORST, Errors, rank
from mlffbench.metrics.association import auroc, spearman
from mlffbench.metrics.forces import forces_mae_structure


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Probe:
    """A sample to be compared with training.

    Attributes:
        sample: The sample.
        role: ``id_test``, ``ood_test`` …; empty for a file.
        control: Name of the ID sample it is compared with; empty for training.
    """

    sample: Sample
    role: str = ""
    control: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Shifts:
    """The shift labels of all samples.

    Attributes:
        rules: Label -> its rule, with the limits found in training.
        labels: Sample -> the labels of each structure.
        reasons: Sample -> why it has none.
        unknown: Sample -> label -> structures that could not be judged.
        notes: Sample -> what could not be judged and why, in words.
    """

    rules: Mapping[str, str]
    labels: Mapping[str, list[str]]
    reasons: Mapping[str, str]
    unknown: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    notes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Study:
    """What was measured once, to be judged by the errors of any mode.

    Attributes:
        train: The training sample.
        tests: The others.
        measurements: Every diagnostic of them.
        shifts: Their shift labels.
        cutoff: Radius of the graphs, in Å.
    """

    train: Sample
    tests: tuple[Probe, ...]
    measurements: Measurements
    shifts: Shifts
    cutoff: float


def study(train: Sample, tests: Sequence[Probe], cutoff: float) -> Study:
    """Return every diagnostic and shift label of samples with evidence.

    Raises:
        DataError: The training sample has fewer than two structures, or a sample none.
    """
    measured = measure_all(train, [test.sample for test in tests])
    shifts = label_shifts([train, *(test.sample for test in tests)], cutoff)
    return Study(train, tuple(tests), measured, shifts, cutoff)


def errors_of(sample: Sample, prediction: Labels | None) -> Floats:
    """Return the force MAE of each structure in eV/Å, NaN where there is none."""
    if prediction is None or sample.reference is None:
        return np.full(sample.structures.n_systems, np.nan)
    pair = prediction, sample.reference
    return forces_mae_structure(*pair, sample.structures)[""].value


def diagnose(
    found: Study,
    predictions: Sequence[Labels | None],
    *,
    seed: int = 0,
    model: str = "",
    mode: str = "",
    fingerprint: str = "",
) -> Diagnosis:
    """Return a study judged by the errors of some predictions.

    Args:
        found: What was measured.
        predictions: Per test, predicted labels; None where nothing was predicted.
        seed: Seed of every interval.
        model: The model as typed.
        mode: The mode that predicted.
        fingerprint: Of the run.
    """
    errors = [
        errors_of(test.sample, labels)
        for test, labels in zip(found.tests, predictions, strict=True)
    ]
    columns, pooled = found.measurements.columns, _pool(found.tests, errors)
    results = {
        column.name: _result(column, found, errors, pooled, seed) for column in columns
    }
    for one in found.measurements.unavailable:
        results[one.name] = _blank(one.name, one.card, one.reason)
    known = bool(np.isfinite(pooled.values).any())
    return Diagnosis(
        fingerprint=fingerprint,
        model=model,
        mode=mode,
        cutoff=found.cutoff,
        shift_rules=dict(found.shifts.rules),
        samples=(
            _described(found.train, "train", "", found.shifts),
            *(_described(t.sample, t.role, t.control, found.shifts) for t in found.tests),
        ),
        diagnostics=tuple(results.values()),
        worst_error=pooled.percentile(WORST),
        id_error=pooled.percentile(BEYOND, only_id=True),
        ranking=rank(columns, pooled, seed=seed) if known else (),
    )


def table(found: Study, predictions: Sequence[Labels | None]) -> pd.DataFrame:
    """Return one row per structure: its shift labels, every diagnostic and its error."""
    samples = [found.train, *(test.sample for test in found.tests)]
    columns = found.measurements.columns
    frames = []
    for number, (sample, labels) in enumerate(
        zip(samples, [None, *predictions], strict=True)
    ):
        test = None if number == 0 else found.tests[number - 1]
        values = {
            column.name: (column.tests[number - 1] if number else column.train).values
            for column in columns
        }
        frames.append(
            pd.DataFrame(
                {
                    "id": list(sample.structures.ids),
                    "molecule": list(sample.structures.group),
                    "split": sample.name,
                    "role": test.role if test else "train",
                    "shifts": found.shifts.labels.get(sample.name),
                    **values,
                    "force_mae": errors_of(sample, labels),
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def label_shifts(samples: Sequence[Sample], cutoff: float) -> Shifts:
    """Return the shift labels of samples, the first of which is training."""
    train = samples[0]
    forces = train.reference.forces if train.reference else None
    try:
        reference = ShiftReference.of(train.structures, forces, cutoff)
    except BenchError as error:
        return Shifts({}, {}, {sample.name: str(error) for sample in samples})
    labels: dict[str, list[str]] = {}
    reasons: dict[str, str] = {}
    unknown: dict[str, Mapping[str, int]] = {}
    notes: dict[str, tuple[str, ...]] = {}
    for sample in samples:
        forces = sample.reference.forces if sample.reference else None
        try:
            scores = shift_scores(sample.structures, reference, forces)
        except BenchError as error:
            reasons[sample.name] = str(error)
            continue
        found = scores.labels(reference)
        labels[sample.name] = [" ".join(sorted(kinds)) for kinds in found]
        unknown[sample.name] = scores.unknown(reference)
        notes[sample.name] = _shift_notes(sample, scores, reference)
    return Shifts(_rules(reference), labels, reasons, unknown, notes)


def _shift_notes(
    sample: Sample, scores: ShiftScores, reference: ShiftReference
) -> tuple[str, ...]:
    """Return what could not be judged, and why."""
    whys = {"force_norm": "no reference forces", "connectivity": "no radius graph"}
    if reference.force_norm_p99 is None:
        whys["force_norm"] = "training has no reference forces"
    elif sample.reference is None:
        whys["force_norm"] = sample.why_absent("reference")
    if scores.reasons:
        whys["connectivity"] = next(iter(scores.reasons.values()))
    total = sample.structures.n_systems
    return tuple(
        f"whether {share(n, total, 'structure')} carry {kind} is unknown ({whys[kind]})"
        for kind, n in scores.unknown(reference).items()
        if n
    )


def _rules(reference: ShiftReference) -> dict[str, str]:
    limit = reference.force_norm_p99
    charges = " ".join(f"{charge:+d}" for charge in sorted(reference.charges))
    force_norm = "unknown: training has no forces"
    if limit is not None:
        force_norm = f"mean atomic |F| above {limit:.4g} eV/Å, 99 % of training"
    return {
        "elements": "an element that training lacks",
        "force_norm": force_norm,
        "connectivity": f"spectral distance above {reference.spectral_p99:.4g} at "
        f"{reference.spectral.cutoff:g} Å, 99 % of training",
        "size": f"more than {reference.max_atoms} atoms, the most in training",
        "charge": f"a total charge other than {charges}",
    }


def _described(
    sample: Sample, role: str, control: str, shifts: Shifts
) -> DiagnosedSample:
    labels = shifts.labels.get(sample.name)
    unknown = shifts.unknown.get(sample.name, {})
    n_systems = sample.structures.n_systems
    counts = Counter(kind for text in labels or [] for kind in text.split())
    return DiagnosedSample(
        name=sample.name,
        role=role,
        control=control,
        n=n_systems,
        n_molecules=len(set(sample.structures.group)),
        shift_labels={
            kind: counts.get(kind, 0)
            for kind in shifts.rules
            if unknown.get(kind) != n_systems
        },
        unshifted=sum(not text for text in labels or []),
        shift_reason=shifts.reasons.get(sample.name, ""),
        shift_notes=shifts.notes.get(sample.name, ()),
    )


def _result(
    column: Column, found: Study, errors: list[Floats], pooled: Errors, seed: int
) -> DiagnosticResult:
    """Return one diagnostic in all samples."""
    names = [test.sample.name for test in found.tests]
    everything = [column.train, *column.tests]
    edges = shared_edges([one.values for one in everything])
    values = dict(zip([found.train.name, *names], everything, strict=True))
    groups = {found.train.name: found.train.structures.group}
    groups |= {test.sample.name: test.sample.structures.group for test in found.tests}
    samples = {
        found.train.name: SampleResult(
            summary=summarize(column.train), counts=count(column.train.values, edges)
        )
    }
    for test, mine, error in zip(found.tests, column.tests, errors, strict=True):
        name = test.sample.name
        against = test.control or found.train.name
        other = values[against].values
        separation = auroc(mine.values, other, groups[name], groups[against], seed=seed)
        samples[name] = SampleResult(
            summary=summarize(mine),
            counts=count(mine.values, edges),
            to_train=contrast(
                mine.values, column.train.values, edges, name=found.train.name
            ),
            to_control=contrast(
                mine.values, other, edges, name=against, auroc=separation
            ),
            error_correlation=spearman(mine.values, error, groups[name], seed=seed),
        )
    joined = np.concatenate([one.values for one in column.tests])
    return _blank(column.name, column.card).model_copy(
        update={
            "edges": tuple(edges.tolist()),
            "samples": samples,
            "curve": error_curve(joined, pooled.values, pooled.groups),
        }
    )


def _blank(name: str, card: DiagnosticCard, reason: str = "") -> DiagnosticResult:
    return DiagnosticResult(
        name=name,
        label=card.label,
        unit=card.unit,
        needs=card.needs_in_words,
        kind=card.kind,
        reason=reason,
    )


def _pool(tests: Sequence[Probe], errors: list[Floats]) -> Errors:
    """Return the errors of all tests, end to end."""
    groups = [group for test in tests for group in test.sample.structures.group]
    is_id = [
        np.full(len(error), test.role.startswith("id"))
        for test, error in zip(tests, errors, strict=True)
    ]
    return Errors(
        values=np.concatenate(errors), groups=groups, is_id=np.concatenate(is_id)
    )
