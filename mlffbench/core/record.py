"""Record: the metrics of one split under one model and mode, one JSON line each."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

SCHEMA_VERSION = 1
"""Raised by one whenever a stored file changes its meaning."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class MetricValue(_Frozen):
    """A number with everything needed to read it.

    Attributes:
        value: The number, in ``unit``.
        unit: ``"eV/Å"``, ``"eV/atom"``, ``"1"`` …
        n: Structures behind it.
        n_molecules: Molecules behind it, the units of the bootstrap.
        low: Lower end of the 95 % interval over molecules; None with fewer than two.
        high: Upper end, likewise.
        standard_error: Bootstrap standard deviation; None with fewer than two molecules.
    """

    value: float
    unit: str
    n: int
    n_molecules: int
    low: float | None = None
    high: float | None = None
    standard_error: float | None = None


class Comparison(_Frozen):
    """A number against another on stated structures.

    Attributes:
        difference: This minus the other, with interval.
        ratio: This over the other, with interval; None when the other is 0.
        verdict: Whether the interval of the difference excludes zero, in words.
    """

    difference: MetricValue
    ratio: MetricValue | None
    verdict: Literal["better", "worse", "no difference", "undecided"]


class Counts(_Frozen):
    """The denominators, out loud.

    Attributes:
        total: Structures in the split (after ``--limit``).
        evaluated: Structures with a finite prediction.
        skipped: Structures the model cannot treat, never computed.
        failed: Structures that were tried and gave no number.
        reasons: Reason -> number of structures, for the skipped and the failed.
    """

    total: int
    evaluated: int
    skipped: int
    failed: int
    reasons: dict[str, int]


class RadiusSummary(_Frozen):
    """What radius refinement chose for the structures of a split.

    Attributes:
        smallest: Least radius chosen, in Å.
        largest: Largest radius chosen, in Å.
        n: Structures a radius was chosen for.
        n_changed: Structures whose graph is another than at the trained cutoff.
        n_refined: Structures predicted at another cutoff or envelope than the trained.
        headroom: How much of the baseline's force MAE the best choice would have removed,
            known to the oracle only (``mlffbench diagnose --oracle``).
        captured: How much of that this refinement removed.
    """

    smallest: float
    largest: float
    n: int
    n_changed: int
    n_refined: int
    headroom: MetricValue | None = None
    captured: MetricValue | None = None


class Record(_Frozen):
    """The metrics of one split under one model and mode.

    Attributes:
        schema_version: Version of this layout.
        suite: Name of the suite, with its ``suite_version``.
        split: Name of the split; ``role`` and ``shift`` say what it is.
        control: Name of the ID split that the gap is measured against.
        model: Name of the model as typed.
        mode: ``baseline``, ``rr``, ``ttt`` …
        seed: Seed of the run.
        status: ``ok``, or ``skipped`` when nothing could be evaluated.
        counts: The denominators.
        metrics: Name -> value with interval.
        gap: Name -> this OOD split against its ID control.
        paired: Name -> this mode against baseline on the same structures.
        radius: What radius refinement chose; None in the modes without one.
        worst_group: Molecule with the largest force MAE, and that MAE.
        provenance: What made the numbers: versions, device, dtype, checksums, settings.
        notes: What a reader must know of these numbers.
    """

    schema_version: int = SCHEMA_VERSION
    suite: str
    suite_version: int
    split: str
    role: str
    shift: str | None
    control: str
    model: str
    mode: str
    seed: int
    split_sha256: str
    status: Literal["ok", "skipped", "failed"]
    counts: Counts
    metrics: dict[str, MetricValue]
    gap: dict[str, Comparison]
    paired: dict[str, Comparison]
    worst_group: tuple[str, float] | None
    wall_s_per_structure: float | None
    radius: RadiusSummary | None = None
    provenance: dict[str, str] = {}
    notes: tuple[str, ...] = ()
