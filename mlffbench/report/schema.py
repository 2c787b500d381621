"""The report as JSON: what ``mlffbench report --format json`` writes and programs read.

`docs/schema/report-v2.json` is made from these classes; a change of meaning raises
`REPORT_VERSION` and writes a new schema beside the old one.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from mlffbench.core.record import MetricValue, Outlier, RadiusSummary, Record, Verdict

REPORT_VERSION = 2
"""Raised by one whenever the document changes its meaning."""

NOT_FINISHED = "not finished"
"""How the reason of a run begins that was stopped and can go on."""

WARNING = "Warning: "
"""How a sentence of a board begins that is read before all numbers."""

RowKind = Literal["floor", "prior", "model"]


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ReportRun(_Closed):
    """A run folder that was found.

    Attributes:
        path: Where, as given.
        suite: Name of the suite; empty where it cannot be read, as the next two.
        model: Model as typed.
        mode: Mode.
        status: Whether its numbers are in the document.
        reason: Why not; empty where they are.
    """

    path: str
    suite: str = ""
    model: str = ""
    mode: str = ""
    status: Literal["read", "left out"]
    reason: str = ""

    @property
    def is_unfinished(self) -> bool:
        """Whether it was stopped and can go on: nothing is wrong with it."""
        return self.reason.startswith(NOT_FINISHED)


class BoardSplit(_Closed):
    """A split that every row of a board saw.

    Attributes:
        name: Its name.
        role: ``id_test``, ``ood_test`` …
        shift: Kind of shift; None for an ID split.
        shift_rule: The rule behind the shift, in words.
        rule: How its structures were chosen.
        control: The ID split the gap is measured against; empty for an ID split.
        n: Structures.
        sha256: Checksum of the list of structures.
        level_of_theory: Of the reference labels.
    """

    name: str
    role: str
    shift: str | None
    shift_rule: str
    rule: str
    control: str
    n: int
    sha256: str
    level_of_theory: str


class Cell(_Closed):
    """One model and mode on one split. Errors are force MAE in eV/Å.

    Attributes:
        total: Structures of the split.
        evaluated: Structures with a prediction.
        skipped: Structures the model cannot treat.
        failed: Structures that were tried in vain.
        error: Force MAE; None where nothing was evaluated.
        gap: The error minus that on the ID control; None on ID splits.
        ratio: The error over that on the ID control.
        gap_verdict: What the gap says; empty on ID splits.
        gap_reason: Why the gap cannot be judged; empty where it can.
        difference: The error minus baseline's, paired; None for baseline.
        to_baseline: The error over baseline's, paired.
        verdict: What the comparison with baseline says of this mode; empty for baseline.
        reason: Why it cannot be judged; empty where it can.
        p_value: Of that comparison.
        adjusted_p: The same after Holm, over all verdicts of the board.
        to_prior: The error over that of the prior the mode follows, paired.
        prior_verdict: What that says of this mode; empty without a run of the prior.
        prior_reason: Why it cannot be judged.
        prior_p_value: Of that comparison.
        prior_adjusted_p: After Holm.
        to_zero: The error over that of no forces at all.
        zero_verdict: What that says; ``worse`` is a model worse than none.
        outlier: Molecule that carries more than half of the error, if one does.
        relative_energy_verdict: What the comparison with baseline says of the energies
            among conformers of one molecule; empty where there is none.
        leading: Whether the error is the least of the split, or not shown to be worse
            than it on the structures both evaluated; None without an error.
        worst_molecule: Molecule with the largest force MAE.
        worst_error: That force MAE.
        seconds_per_structure: Wall clock.
        radius: What radius refinement chose; None for other modes.
    """

    total: int
    evaluated: int
    skipped: int
    failed: int
    error: MetricValue | None = None
    gap: MetricValue | None = None
    ratio: MetricValue | None = None
    gap_verdict: Verdict | Literal[""] = ""
    gap_reason: str = ""
    difference: MetricValue | None = None
    to_baseline: MetricValue | None = None
    verdict: Verdict | Literal[""] = ""
    reason: str = ""
    p_value: float | None = None
    adjusted_p: float | None = None
    to_prior: MetricValue | None = None
    prior_verdict: Verdict | Literal[""] = ""
    prior_reason: str = ""
    prior_p_value: float | None = None
    prior_adjusted_p: float | None = None
    to_zero: MetricValue | None = None
    zero_verdict: Verdict | Literal[""] = ""
    outlier: Outlier | None = None
    relative_energy_verdict: Verdict | Literal[""] = ""
    leading: bool | None = None
    worst_molecule: str = ""
    worst_error: float | None = None
    seconds_per_structure: float | None = None
    radius: RadiusSummary | None = None


class Extreme(_Closed):
    """A row's largest number of a kind over the splits.

    Attributes:
        split: Where.
        value: The number, in eV/Å or, for a ratio, without unit.
        low: Lower end of its 95 % interval; None where it has none.
        high: Upper end, likewise.
        molecule: The molecule, where the number belongs to one.
    """

    split: str
    value: float
    low: float | None = None
    high: float | None = None
    molecule: str = ""


class BoardRow(_Closed):
    """One run on a board.

    Attributes:
        run: Path of its folder.
        label: What tells its model from others: the name, and more where it stands twice.
        model: Model as typed.
        mode: Mode.
        unit: What a refinement sees at once: ``structure``, ``group``, ``split``.
        prior: Prior that the mode follows; empty where it follows none.
        kind: ``floor`` for no forces at all, ``prior`` for what refinements learn from.
        cells: Split -> numbers.
        largest_gap: Over the OOD splits.
        largest_ratio: Over the OOD splits.
        worst: Molecule with the largest force MAE of all splits.
        seconds_per_structure: Wall clock over all splits.
        gradient_steps: Over all splits.
    """

    run: str
    label: str
    model: str
    mode: str
    unit: str
    prior: str = ""
    kind: RowKind
    cells: dict[str, Cell]
    largest_gap: Extreme | None = None
    largest_ratio: Extreme | None = None
    worst: Extreme | None = None
    seconds_per_structure: float | None = None
    gradient_steps: int = 0


class Board(_Closed):
    """Runs that may stand in one table: one suite, the same structures, like with like.

    Attributes:
        name: Suite, version and half, and what sets this board apart.
        suite: Name of the suite.
        suite_version: Its version.
        half: ``test`` or ``val``.
        summary: The suite in one line.
        sentences: What the board says, in words.
        n_verdicts: Verdicts on it: of each mode against baseline and against its prior.
        splits: ID first.
        rows: Model by model as they were started, each model's baseline first.
    """

    name: str
    suite: str
    suite_version: int
    half: str
    summary: str
    sentences: tuple[str, ...]
    n_verdicts: int = 0
    splits: tuple[BoardSplit, ...]
    rows: tuple[BoardRow, ...]

    @property
    def warnings(self) -> tuple[str, ...]:
        """Its sentences that are read before all numbers, without the word for it."""
        return tuple(
            text.removeprefix(WARNING)
            for text in self.sentences
            if text.startswith(WARNING)
        )

    @property
    def findings(self) -> tuple[str, ...]:
        """Its other sentences."""
        return tuple(text for text in self.sentences if not text.startswith(WARNING))


class OursBeside(_Closed):
    """A number of ours beside a published one.

    Attributes:
        suite: Name of the suite.
        splits: Names of its splits behind the number.
        model: Model as typed.
        mode: Mode.
        per_structure: Every structure counting the same; None where that is no average
            of force errors, or not known.
        pooled: Over all force components, or the number itself where nothing is pooled;
            None where several splits stand behind it.
        n: Structures, or trajectories, behind it.
        same_data: Whether it is of the structures of the published number.
        because: Why it is not; empty where it is.
        within: Whether the two agree within both uncertainties, by either average.
    """

    suite: str
    splits: tuple[str, ...]
    model: str
    mode: str
    per_structure: MetricValue | None
    pooled: MetricValue | None
    n: int
    same_data: bool
    because: str
    within: Literal["yes", "no", "cannot be judged"]


class BesidePaper(_Closed):
    """A published number, how sure it is, and ours beside it.

    Attributes:
        figure: Where it is published.
        model: The network.
        dataset: Its data.
        split: The part of them.
        metric: What was measured.
        unit: Of the published value.
        mode: ``baseline``, ``rr`` or ``ttt``.
        value: The published value.
        more_than: Whether the value is only a lower bound.
        plus_minus: How far off the value read may be; None where not known.
        confidence: How it was read.
        source: Where from.
        ours: Ours, the paper's settings before our defaults.
    """

    figure: str
    model: str
    dataset: str
    split: str
    metric: str
    unit: str
    mode: str
    value: float
    more_than: bool
    plus_minus: float | None
    confidence: str
    source: str
    ours: tuple[OursBeside, ...] = ()


class GainSpread(_Closed):
    """How a mode's gain is spread over the structures of the OOD splits of a board.

    A gain is the baseline's force MAE of a structure minus the mode's, over the former.

    Attributes:
        board: Name of the board.
        model: Model as typed.
        mode: Mode.
        n: Structures that both evaluated.
        n_better: Structures whose error fell.
        n_worse: Structures whose error rose.
        quantiles: Gain at 10, 25, 50, 75 and 90 % of the structures, ascending.
        top_tenth: Mean force MAE in eV/Å, baseline and mode, of the tenth of structures
            whose error fell most; None below ten structures.
        all_of_them: The same of all structures.
    """

    board: str
    model: str
    mode: str
    n: int
    n_better: int
    n_worse: int
    quantiles: tuple[float, ...]
    top_tenth: tuple[float, float] | None
    all_of_them: tuple[float, float]


class Report(_Closed):
    """The document.

    Attributes:
        schema_version: Version of this layout.
        mlffbench: Version of the package that wrote it.
        runs: Every run folder that was found.
        separated: Comparisons that were refused, one sentence each.
        boards: What may be compared, board by board.
        records: Every number of every run, with interval.
        further: Every number of every simulation and fine-tuning curve.
        beside_paper: Every published number of Kreiman & Krishnapriyan, with ours.
        gains: How the gain of each mode is spread over structures.
    """

    schema_version: int = REPORT_VERSION
    mlffbench: str
    runs: tuple[ReportRun, ...]
    separated: tuple[str, ...]
    boards: tuple[Board, ...]
    records: tuple[Record, ...]
    further: tuple[Record, ...] = ()
    beside_paper: tuple[BesidePaper, ...] = ()
    gains: tuple[GainSpread, ...] = ()


def schema() -> dict[str, Any]:
    """Return the JSON schema of the document."""
    found = Report.model_json_schema(mode="serialization")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"report-v{REPORT_VERSION}.json",
        **found,
    }
