"""Published numbers, and which of ours stand beside them."""

from dataclasses import asdict

import numpy as np
import pytest

from mlffbench.core.record import Counts, MetricValue, Record
from mlffbench.dynamics.presets import PRESETS
from mlffbench.metrics.published import (
    CONNECTIVITY_EDGES,
    MEAN_NORM_EDGES,
    bin_labels,
)
from mlffbench.report.paper.beside_paper import _FINDERS, WHOLE, beside_paper, published
from mlffbench.report.paper.gain_spread import _spread
from mlffbench.report.schema import BesidePaper
from mlffbench.report.tables.paper_tables import gain_table, paper_tables

GOOD = "forces_good_share"


def value(
    number: float, n: int = 10, unit: str = "eV/Å", half: float | None = None
) -> MetricValue:
    ends = {} if half is None else {"low": number - half, "high": number + half}
    return MetricValue(value=number, unit=unit, n=n, n_molecules=n, **ends)


def record(**changes: object) -> Record:
    given = {
        "suite": "mini-ood",
        "suite_version": 1,
        "split": "ood_rings",
        "role": "ood_test",
        "shift": "connectivity",
        "control": "",
        "model": "net",
        "mode": "baseline",
        "seed": 0,
        "split_sha256": "0",
        "status": "ok",
        "counts": Counts(total=10, evaluated=10, skipped=0, failed=0, reasons={}),
        "metrics": {},
        "gap": {},
        "paired": {},
        "worst_group": None,
        "wall_s_per_structure": None,
        **changes,
    }
    return Record.model_validate(given)


def beside(
    key: str, mode: str, *records: Record, further: tuple[Record, ...] = ()
) -> list[BesidePaper]:
    """Return the published rows of a kind and mode, with ours."""
    rows = beside_paper(records, further)
    keys = [ours for _, ours in published()]
    pairs = zip(rows, keys, strict=True)
    return [row for row, ours in pairs if ours == key and row.mode == mode]


def test_every_published_number_has_its_confidence_and_source() -> None:
    rows = published()
    assert len(rows) == 140
    assert {row.told.confidence.partition(" ")[0] for row in rows} == {
        *("printed", "digitised", "hearsay")
    }
    assert all(row.told.source and row.told.figure for row in rows)
    assert sum(row.told.confidence == "printed" for row in rows) == 19
    bins = {*bin_labels(CONNECTIVITY_EDGES), *bin_labels(MEAN_NORM_EDGES)}
    for row in rows:
        kind, _, part = row.ours.partition("[")
        assert not part or part.rstrip("]") in bins
        assert kind == "" or kind.partition(":")[0] in _FINDERS


def test_nothing_of_ours_leaves_the_numbers_alone() -> None:
    rows = beside_paper((), ())
    assert not any(row.ours for row in rows)
    [first, *_] = paper_tables(rows)
    assert {len(row) for row in first.rows} == {len(first.columns)}
    assert first.rows[0][3].endswith("meV/Å")


def test_several_splits_are_averaged_structure_by_structure() -> None:
    one = record(metrics={GOOD: value(0.5, 30, "1", 0.1)})
    two = record(split="ood_cages", metrics={GOOD: value(0.9, 10, "1", 0.1)})
    rows = beside(GOOD, "baseline", one, two)
    [ours] = rows[0].ours
    assert ours.per_structure is not None
    assert ours.per_structure.value == pytest.approx(0.6)
    assert (ours.n, ours.pooled, ours.within) == (40, None, "cannot be judged")
    assert ours.splits == ("ood_rings", "ood_cages")
    whole = record(split=WHOLE, metrics={GOOD: value(0.8, 40, "1", 0.1)})
    [ours] = beside(GOOD, "baseline", one, two, whole)[0].ours
    assert ours.splits == (WHOLE,)


@pytest.mark.parametrize(("error", "answer"), [(0.128, "yes"), (0.100, "no")])
def test_within_by_either_average(error: float, answer: str) -> None:
    key = "forces_mae_by_connectivity[0.085-0.195]"
    structure = key.replace("mae_by", "mae_structure_by")
    metrics = {key: value(error, half=0.002), structure: value(0.5, half=0.002)}
    rows = beside(key, "baseline", record(suite="paper-spice", metrics=metrics))
    found = next(row for row in rows if row.model == "GemNet-T")
    assert found.value == 128.6
    [ours] = found.ours
    assert ours.within == answer
    assert not ours.same_data
    assert "published rule" in ours.because


def test_published_settings_come_before_our_defaults() -> None:
    modes = ("ttt", "ttt-paper", "rr", "baseline")
    records = [record(mode=m, metrics={GOOD: value(0.5, 9, "1")}) for m in modes]
    rows = beside(GOOD, "ttt", *records)
    assert [one.mode for one in rows[0].ours] == ["ttt-paper", "ttt"]
    assert "suite mini-ood, not paper-spice" in rows[0].ours[0].because


def test_dynamics_of_the_same_molecule_and_protocol() -> None:
    protocol = asdict(PRESETS["paper-md17"])
    told = {"preset": protocol.pop("name"), "limit": ""}
    told |= {name: str(value) for name, value in protocol.items()}
    time = {"stable_time": value(100.0, 1, "ps")}
    mine = record(suite="paper-md17", split="ood_toluene", metrics=time, provenance=told)
    rows = beside("stable_time", "baseline", further=(mine,))
    by_split = {row.split: row.ours for row in rows}
    assert by_split["naphthalene"] == ()
    assert by_split["toluene"][0].same_data
    cut = mine.model_copy(update={"provenance": {**told, "duration": "1.0"}})
    rows = beside("stable_time", "baseline", further=(cut,))
    [ours] = next(row.ours for row in rows if row.ours)
    assert ours.because == "protocol paper-md17 with another duration"
    assert not ours.same_data
    short = mine.model_copy(update={"provenance": {**told, "preset": "quick"}})
    rows = beside("stable_time", "baseline", further=(short,))
    [ours] = next(row.ours for row in rows if row.ours)
    assert ours.because == "protocol quick, not paper-md17"


def test_labels_needed_is_the_least_below_the_bar() -> None:
    curve = tuple(
        record(
            mode=f"ttt, {n} labels",
            metrics={"forces_mae": value(error)},
            provenance={"start": "ttt", "n_labels": str(n)},
        )
        for n, error in ((0, 0.2), (20, 0.014), (50, 0.01))
    )
    [row] = beside("labels_needed", "ttt", further=curve)
    [ours] = row.ours
    assert ours.pooled is not None
    assert (row.value, ours.pooled.value) == (20, 20)
    theirs = [one.model_copy(update={"suite": "paper-md17"}) for one in curve]
    [row] = beside("labels_needed", "ttt", further=tuple(theirs))
    assert "not published" in row.ours[0].because


def test_the_spread_of_gains_and_the_top_tenth() -> None:
    before = np.linspace(0.1, 2.0, 20)
    after = before.copy()
    after[0] = 0.2  # worse
    after[-2:] = 0.5  # the two that gain most
    found = _spread(before, after, ("board", "net", "ttt"))
    assert found is not None
    assert (found.n, found.n_better, found.n_worse) == (20, 2, 1)
    assert found.top_tenth == pytest.approx((1.95, 0.5))
    assert found.quantiles[2] == 0.0
    row = gain_table([found]).rows[0]
    assert row[-2] == "1,950 → 500"
    assert _spread(np.array([np.nan]), np.array([1.0]), ("", "", "")) is None
