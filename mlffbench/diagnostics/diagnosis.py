"""Diagnosis: what ``diagnostics.json`` holds. Reports read it; they need no model."""

import math
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from mlffbench.core.errors import StoreError
from mlffbench.core.files import write_atomic
from mlffbench.core.record import MetricValue

SCHEMA_VERSION = 2
"""Raised by one whenever ``diagnostics.json`` changes its meaning."""
Use = Literal["warns", "explains", "misleads", "no evidence", "unknown"]
"""What a diagnostic is good for where no error is known."""
_CHANCE = 0.5
"""AUROC of two samples that are alike."""


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Summary(_Closed):
    """The values of one diagnostic in one sample.

    Attributes:
        n: Structures that were measured.
        n_missing: Structures that were not; ``reasons`` says why, with counts.
        reasons: Reason -> structures.
        median: In the unit of the diagnostic, as all that follow; None without a value.
        mean: Mean.
        spread: Standard deviation (n in the denominator).
        low: 5th percentile.
        high: 95th percentile.
        notes: What a reader must know of the values.
    """

    n: int
    n_missing: int
    reasons: dict[str, int] = {}
    median: float | None = None
    mean: float | None = None
    spread: float | None = None
    low: float | None = None
    high: float | None = None
    notes: tuple[str, ...] = ()


class Contrast(_Closed):
    """One sample against another in one diagnostic.

    Attributes:
        other: Name of the other sample.
        wasserstein: Wasserstein-1 distance of the two, in the unit of the diagnostic.
        effect: The same over the root mean square of the two standard deviations: free
            of unit, so that diagnostics can be compared. None where both samples are
            constant and differ: no number is large enough.
        overlap: Σ min(p, q) over the shared bins, from 0 to 1.
        auroc: P(this > other) + ½ P(equal), with interval over molecules.
    """

    other: str
    wasserstein: float
    effect: float | None
    overlap: float
    auroc: MetricValue | None = None


class CurveBin(_Closed):
    """The error of structures of like shift.

    Attributes:
        low: Smallest value of the diagnostic in the bin.
        high: Largest.
        error: Mean over its structures of their force MAE, with interval.
    """

    low: float
    high: float
    error: MetricValue


class SampleResult(_Closed):
    """One diagnostic in one sample.

    Attributes:
        summary: Its values.
        counts: Structures in each of the shared bins.
        to_train: Against the training sample.
        to_control: Against the ID control, else training; with an AUROC.
        error_correlation: Spearman's ρ with the force MAE of each structure.
    """

    summary: Summary
    counts: tuple[int, ...]
    to_train: Contrast | None = None
    to_control: Contrast | None = None
    error_correlation: MetricValue | None = None


class DiagnosticResult(_Closed):
    """One diagnostic in all samples.

    Attributes:
        name: Its name in the catalogue.
        label: Label of its axis.
        unit: Unit of its values.
        needs: What it looks at beside the structures, in words.
        kind: The kind of shift it measures; None for an alarm.
        reason: Why there is nothing else here; empty when there is.
        edges: Edges of the shared bins. The first and the last bin reach as far out as
            the values do.
        samples: Sample -> what was found.
        curve: The error against the shift, over all test samples.
    """

    name: str
    label: str
    unit: str
    needs: str
    kind: str | None
    reason: str = ""
    edges: tuple[float, ...] = ()
    samples: dict[str, SampleResult] = {}
    curve: tuple[CurveBin, ...] = ()


class Rank(_Closed):
    """How well one diagnostic predicts the error of a structure, over all test samples.

    Attributes:
        name: The diagnostic.
        needs_labels: Whether it reads reference labels: an explanation, not an alarm.
        is_distance: Whether it is a distance from training, whose large values are to
            warn.
        n: Structures with a value and an error.
        spearman: Rank correlation with the force MAE. Negative: low values warn, but a
            distance misleads.
        auroc_worst: AUROC of the tenth with the largest errors against the rest.
        auroc_beyond_id: AUROC of errors above the ID splits' 95th percentile.
    """

    name: str
    needs_labels: bool
    is_distance: bool
    n: int
    spearman: MetricValue | None
    auroc_worst: MetricValue | None
    auroc_beyond_id: MetricValue | None

    @property
    def use(self) -> Use:
        """What it is good for, by the interval of ρ; unknown without one.

        Resamples of very few molecules may all give one ρ: that interval without width
        says nothing either, unless ρ is 1 or -1.
        """
        rho = self.spearman
        if rho is None or rho.low is None or rho.high is None:
            return "unknown"
        if math.isclose(rho.low, rho.high) and not math.isclose(abs(rho.value), 1):
            return "unknown"
        if rho.low <= 0 <= rho.high:
            return "no evidence"
        if self.is_distance and rho.high < 0:
            return "misleads"
        return "explains" if self.needs_labels else "warns"


class DiagnosedSample(_Closed):
    """A sample of a diagnosis.

    Attributes:
        name: What tables call it.
        role: ``train``, ``id_test`` …; empty for a file.
        control: The sample it is compared with.
        n: Structures.
        n_molecules: Molecules.
        shift_labels: Shift label -> structures that carry it; none for what no
            structure could be judged by.
        unshifted: Structures that carry none.
        shift_notes: What could not be judged, and why.
        shift_reason: Why there are no labels; empty when there are.
    """

    name: str
    role: str
    control: str
    n: int
    n_molecules: int
    shift_labels: dict[str, int] = {}
    unshifted: int = 0
    shift_notes: tuple[str, ...] = ()
    shift_reason: str = ""


class Diagnosis(_Closed):
    """Everything that diagnostics say of a training sample and others.

    Attributes:
        schema_version: Version of this layout.
        fingerprint: Of the run it belongs to; empty for files.
        model: The model as typed; empty without one.
        mode: Mode whose errors are meant.
        cutoff: Radius of the graphs, in Å.
        shift_rules: Shift label -> its rule, with the limits found in training.
        samples: The training sample first.
        diagnostics: In the order of the catalogue.
        error_unit: Unit of errors.
        worst_error: Error above which a structure is in the worst tenth.
        id_error: 95th percentile of the errors in the ID samples.
        ranking: The best predictor of error first.
    """

    schema_version: int = SCHEMA_VERSION
    fingerprint: str = ""
    model: str = ""
    mode: str = ""
    cutoff: float
    shift_rules: dict[str, str] = {}
    samples: tuple[DiagnosedSample, ...]
    diagnostics: tuple[DiagnosticResult, ...]
    error_unit: str = "eV/Å"
    worst_error: float | None = None
    id_error: float | None = None
    ranking: tuple[Rank, ...] = ()

    def write(self, path: Path) -> None:
        """Write it as JSON.

        Raises:
            StoreError: The file cannot be written.
        """
        write_atomic(path, self.as_bytes())

    def as_bytes(self) -> bytes:
        """Return what `write` writes."""
        return (self.model_dump_json() + "\n").encode()

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return what `write` wrote.

        Raises:
            StoreError: The file is missing, broken or of another schema.
        """
        try:
            found = cls.model_validate_json(path.read_text(encoding="utf-8"))
        except (OSError, ValidationError, UnicodeDecodeError) as error:
            msg = f"{path} is missing or broken; repeat the run with --overwrite"
            raise StoreError(msg) from error
        if found.schema_version != SCHEMA_VERSION:
            msg = f"{path} has schema version {found.schema_version}, this mlffbench "
            raise StoreError(msg + f"reads {SCHEMA_VERSION}; repeat the run")
        return found

    def largest(self, sample: str, *, alarms: bool) -> DiagnosticResult | None:
        """Return the diagnostic in which a sample is furthest from training.

        Args:
            sample: Name of the sample.
            alarms: Among the alarms, instead of the kinds of shift. An alarm is a
                distance: it is heard only where the sample is further out than training,
                and than its control beyond doubt: by the interval of the AUROC, where
                there is one.

        Returns:
            None where nothing differs.
        """
        train = self.samples[0].name
        sized = [
            (effect_size(one, sample), one)
            for one in self.diagnostics
            if (one.kind is None) == alarms
            and (not alarms or _is_heard(one, sample, train))
        ]
        effect, result = max(sized, key=lambda pair: pair[0], default=(0.0, None))
        return result if effect > 0 else None


def effect_size(result: DiagnosticResult, sample: str) -> float:
    """Return how far a sample is from training in a diagnostic; 0 where not known."""
    found = result.samples.get(sample)
    if found is None or found.to_train is None:
        return 0.0
    return math.inf if found.to_train.effect is None else found.to_train.effect


def separation(result: DiagnosticResult, sample: str) -> MetricValue | None:
    """Return the AUROC of a sample against its control; None where not known."""
    found = result.samples.get(sample)
    return found.to_control.auroc if found and found.to_control else None


def _is_heard(result: DiagnosticResult, sample: str, train: str) -> bool:
    """Return whether a sample is further out than training, by the mean, and control."""
    if not {sample, train} <= set(result.samples):
        return False
    mine, other = (result.samples[name].summary.mean for name in (sample, train))
    if mine is None or other is None or mine <= other:
        return False
    auroc = separation(result, sample)
    if auroc is None:
        return False
    return (auroc.value if auroc.low is None else auroc.low) > _CHANCE
