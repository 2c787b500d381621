"""Record: the metrics of one split under one model and mode, one JSON line each."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

SCHEMA_VERSION = 1
"""Raised by one whenever a stored file changes its meaning."""

Verdict = Literal["better", "worse", "no difference", "cannot be judged"]
"""What a comparison says."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class MetricValue(_Frozen):
    """A number with everything needed to read it.

    Attributes:
        value: The number, in ``unit``.
        unit: ``"eV/Å"``, ``"eV/atom"``, ``"1"`` …
        n: Structures behind it.
        n_molecules: Molecules behind it, the units of the interval.
        low: Lower end of the 95 % interval over molecules; None where no method covers:
            with fewer than five molecules, or where one molecule is all there is.
        high: Upper end, likewise.
        standard_error: Of the value, over molecules; None without an interval.
        lowest: Least value of a single molecule; None with an interval or one molecule.
        highest: Largest value of a single molecule, likewise.
    """

    value: float
    unit: str
    n: int
    n_molecules: int
    low: float | None = None
    high: float | None = None
    standard_error: float | None = None
    lowest: float | None = None
    highest: float | None = None


class Comparison(_Frozen):
    """A number against another on stated structures.

    Both intervals, the p value and the verdict are read from one statistic: the interval
    of the ratio holds 1 exactly where that of the difference holds 0, where p is at least
    0.05 and where the verdict is neither better nor worse.

    Attributes:
        difference: This minus the other, with interval.
        ratio: This over the other, with interval; None when the other is 0.
        verdict: What the intervals say, in words.
        reason: Why it cannot be judged; empty where it can.
        p_value: Two-sided, of no difference; None without an interval.
    """

    difference: MetricValue
    ratio: MetricValue | None
    verdict: Verdict
    reason: str = ""
    p_value: float | None = None


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


class Outlier(_Frozen):
    """A molecule that decides a number: it carries more than half of the error.

    Attributes:
        molecule: Its key.
        share: Its part of the force error summed over all molecules.
    """

    molecule: str
    share: float


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
        prior: Name of the prior that the mode follows; empty where it follows none.
        against_prior: Name -> this mode against the prior itself on the same structures;
            empty where no finished run of the prior lies beside this one.
        against_zero: Name -> this model and mode against no forces at all.
        radius: What radius refinement chose; None in the modes without one.
        worst_group: Molecule with the largest force MAE, and that MAE.
        outlier: Molecule that carries more than half of the force error, if one does.
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
    prior: str = ""
    against_prior: dict[str, Comparison] = {}
    against_zero: dict[str, Comparison] = {}
    worst_group: tuple[str, float] | None
    outlier: Outlier | None = None
    wall_s_per_structure: float | None
    radius: RadiusSummary | None = None
    provenance: dict[str, str] = {}
    notes: tuple[str, ...] = ()
