"""Beside the paper: every published number of Kreiman & Krishnapriyan, and ours.

arXiv 2503.08674, Digital Discovery 5, 415 (2026). The published values lie in a data
file of the package with their sources and how sure each is: most were read off figures.
Whether a bar averages per structure or pools force components is not stated, so ours is
both.
"""

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib.resources import files
from typing import Literal, NamedTuple

from mlffbench.core.record import MetricValue, Record
from mlffbench.dynamics.presets import PRESETS
from mlffbench.report.schema import BesidePaper, OursBeside

FILE = "published.csv"
MODES = {
    "baseline": ("baseline",),
    "rr": ("rr-paper", "rr"),
    "ttt": ("ttt-paper", "ttt"),
}
"""Published mode -> ours: the paper's settings, then our defaults."""
WHOLE = "ood_all"
"""A split of this name holds the structures of all other OOD splits of its suite."""
_SUITES = {"SPICE": "paper-spice", "MD17": "paper-md17", "MD22": "paper-md22"}
_THOUSAND = 1000.0
_GOOD_LABELS = 0.015
"""eV/Å: their bar for labels needed."""
_PROTOCOL = "paper-md17"
"""Preset of their simulations; seeds beyond theirs change no trajectory."""


class _Published(NamedTuple):
    """A row of the data file, and which number of ours belongs beside it."""

    told: BesidePaper
    ours: str


class _Number(NamedTuple):
    """A number of ours: both averages, and the records it comes from."""

    per_structure: MetricValue | None
    pooled: MetricValue | None
    records: tuple[Record, ...]


def published() -> list[_Published]:
    """Return every published number; nothing of ours is beside it yet."""
    text = files("mlffbench.report.paper").joinpath(FILE).read_text(encoding="utf-8")
    return [_row(row) for row in csv.DictReader(io.StringIO(text))]


def beside_paper(
    records: Sequence[Record], further: Sequence[Record]
) -> tuple[BesidePaper, ...]:
    """Return every published number with ours.

    Args:
        records: Of the runs of a report.
        further: Of its simulations and fine-tuning curves.
    """
    found = []
    for told, key in published():
        ours = [
            _ours(told, number, mode)
            for mode, number in _numbers(told, key, records, further)
        ]
        found.append(told.model_copy(update={"ours": tuple(ours)}))
    return tuple(found)


def _row(row: Mapping[str, str]) -> _Published:
    value = row["value"].removeprefix(">")
    told = BesidePaper(
        figure=row["figure"],
        model=row["model"],
        dataset=row["dataset"],
        split=row["split"],
        metric=row["metric"],
        unit=row["unit"],
        mode=row["mode"],
        value=float(value),
        more_than=row["value"].startswith(">"),
        plus_minus=float(row["plus_minus"]) if row["plus_minus"] else None,
        confidence=row["confidence"],
        source=row["source"],
    )
    return _Published(told, row["ours"])


def _numbers(
    told: BesidePaper, key: str, records: Sequence[Record], further: Sequence[Record]
) -> Iterator[tuple[str, _Number]]:
    """Yield our mode and number for each model that has one."""
    kind, _, rest = key.partition(":")
    find = _FINDERS.get(kind.partition("[")[0])
    if find is None:
        return
    everything = [*records, *further]
    subjects = dict.fromkeys((r.suite, r.suite_version, r.model) for r in everything)
    for suite, version, model in subjects:
        mine = [
            record
            for record in everything
            if (record.suite, record.suite_version, record.model)
            == (suite, version, model)
        ]
        for mode in MODES.get(told.mode, ()):
            number = find(told, rest or key, mode, mine)
            if number is not None:
                yield mode, number


def _of_force_error(
    told: BesidePaper,  # noqa: ARG001 - as all finders
    key: str,
    mode: str,
    records: Sequence[Record],
) -> _Number | None:
    """Return the error of a bin over all OOD structures."""
    kind, _, part = key.partition("[")
    structure = kind.replace("forces_mae_", "forces_mae_structure_")
    return _joined(_all_ood(records, mode), f"{structure}[{part}", f"{kind}[{part}")


def _of_shift(
    told: BesidePaper,  # noqa: ARG001 - as all finders
    key: str,
    mode: str,
    records: Sequence[Record],
) -> _Number | None:
    """Return the error of the OOD splits of one shift."""
    wanted = [r for r in _run(records, mode) if r.role == "ood_test" and r.shift == key]
    chosen = [r for r in wanted if r.split != WHOLE]
    return _joined(chosen, "forces_mae_structure", "forces_mae")


def _of_control(
    told: BesidePaper,  # noqa: ARG001 - as all finders
    key: str,  # noqa: ARG001
    mode: str,
    records: Sequence[Record],
) -> _Number | None:
    """Return the error of the ID splits."""
    wanted = [r for r in _run(records, mode) if r.role == "id_test"]
    return _joined(wanted, "forces_mae_structure", "forces_mae")


def _of_good_share(
    told: BesidePaper,  # noqa: ARG001 - as all finders
    key: str,
    mode: str,
    records: Sequence[Record],
) -> _Number | None:
    """Return the share of OOD structures below 25 meV/Å."""
    return _joined(_all_ood(records, mode), key, "")


def _of_dynamics(
    told: BesidePaper, key: str, mode: str, records: Sequence[Record]
) -> _Number | None:
    """Return what a simulation of the same molecule gave."""
    mine = [
        record
        for record in records
        if record.mode == mode
        and key in record.metrics
        and "preset" in record.provenance
        and told.split in record.split
    ]
    return _joined(mine[:1], "", key) if mine else None


def _of_labels(
    told: BesidePaper,  # noqa: ARG001 - as all finders
    key: str,  # noqa: ARG001
    mode: str,
    records: Sequence[Record],
) -> _Number | None:
    """Return the least labels of a curve whose error is below 15 meV/Å."""
    curve = [
        record
        for record in records
        if record.provenance.get("start") == mode and "n_labels" in record.provenance
    ]
    good = [
        record
        for record in curve
        if (mae := record.metrics.get("forces_mae")) and mae.value < _GOOD_LABELS
    ]
    if not good:
        return None
    least = min(good, key=lambda record: int(record.provenance["n_labels"]))
    mae = least.metrics["forces_mae"]
    labels = MetricValue(
        value=float(least.provenance["n_labels"]),
        unit="count",
        n=mae.n,
        n_molecules=mae.n_molecules,
    )
    return _Number(None, labels, (least,))


_Finder = Callable[[BesidePaper, str, str, Sequence[Record]], _Number | None]
_FINDERS: dict[str, _Finder] = {
    "forces_mae_by_connectivity": _of_force_error,
    "forces_mae_by_mean_norm": _of_force_error,
    "ood": _of_shift,
    "id": _of_control,
    "forces_good_share": _of_good_share,
    "stable_time": _of_dynamics,
    "distance_distribution_error": _of_dynamics,
    "labels_needed": _of_labels,
}
"""What the data file calls a number of ours -> where it is found."""


def _run(records: Sequence[Record], mode: str) -> list[Record]:
    """Return the records of runs under a mode, no simulations and no curves."""
    return [
        record
        for record in records
        if record.mode == mode
        and "preset" not in record.provenance
        and "n_labels" not in record.provenance
    ]


def _all_ood(records: Sequence[Record], mode: str) -> list[Record]:
    """Return the records of all OOD structures under a mode, each structure once."""
    wanted = [r for r in _run(records, mode) if r.role == "ood_test"]
    return [r for r in wanted if r.split == WHOLE] or wanted


def _joined(records: Sequence[Record], structure: str, pooled: str) -> _Number | None:
    """Return both averages; over several splits structure by structure only."""
    known = [r for r in records if structure in r.metrics or pooled in r.metrics]
    if not known:
        return None
    if len(known) == 1:
        metrics = known[0].metrics
        return _Number(metrics.get(structure), metrics.get(pooled), tuple(known))
    values = [r.metrics[structure] for r in known if structure in r.metrics]
    if not values:
        return None
    n = sum(value.n for value in values)
    mean = MetricValue(
        value=sum(value.n * value.value for value in values) / n,
        unit=values[0].unit,
        n=n,
        n_molecules=sum(value.n_molecules for value in values),
    )
    return _Number(mean, None, tuple(known))


def _ours(told: BesidePaper, number: _Number, mode: str) -> OursBeside:
    first = number.records[0]
    because = _why_other_data(told, number.records)
    value = number.per_structure or number.pooled
    return OursBeside(
        suite=first.suite,
        splits=tuple(dict.fromkeys(record.split for record in number.records)),
        model=first.model,
        mode=mode,
        per_structure=number.per_structure,
        pooled=number.pooled,
        n=value.n if value else 0,
        same_data=not because,
        because=because,
        within=_within(told, number),
    )


def _why_other_data(told: BesidePaper, records: Sequence[Record]) -> str:
    """Return why ours is of other structures than theirs, empty where it is not."""
    first = records[0]
    suite = next((s for name, s in _SUITES.items() if told.dataset.startswith(name)), "")
    if first.suite != suite:
        return f"suite {first.suite}, not {suite}" if suite else f"suite {first.suite}"
    if first.provenance.get("limit"):
        return "a trial of some structures"
    if suite != "paper-md17":
        return "by the published rule, or files that were not compared with theirs"
    if "preset" not in first.provenance:
        return "which molecule and which frames they labelled is not published"
    if first.provenance["preset"] != _PROTOCOL:
        return f"protocol {first.provenance['preset']}, not {_PROTOCOL}"
    changed = [
        name.replace("_", " ")
        for name, value in asdict(PRESETS[_PROTOCOL]).items()
        if name not in {"name", "seeds"} and first.provenance.get(name) != str(value)
    ]
    return f"protocol {_PROTOCOL} with another {', '.join(changed)}" if changed else ""


def _within(
    told: BesidePaper, number: _Number
) -> Literal["yes", "no", "cannot be judged"]:
    """Return whether intervals overlap, by either average."""
    if told.plus_minus is None or told.more_than:
        return "cannot be judged"
    factor = _THOUSAND if told.unit == "meV/Å" else 1.0
    low, high = told.value - told.plus_minus, told.value + told.plus_minus
    answers = [
        low <= factor * value.high and factor * value.low <= high
        for value in (number.per_structure, number.pooled)
        if value is not None and value.low is not None and value.high is not None
    ]
    if not answers:
        return "cannot be judged"
    return "yes" if any(answers) else "no"
