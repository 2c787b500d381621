import csv
import io

import pytest

from mlffbench.core.record import (
    Comparison,
    Counts,
    MetricValue,
    RadiusSummary,
    Record,
)
from mlffbench.core.registry import Entry
from mlffbench.metrics.catalog import METRICS
from mlffbench.metrics.metric_card import MetricCard
from mlffbench.report.tables.display_units import (
    number,
    percent_with_interval,
    shown_unit,
    with_interval,
)
from mlffbench.report.tables.record_tables import energy_table, force_table, radius_table
from mlffbench.report.tables.render import to_csv, to_markdown, to_rich, worst_markdown

MAE = MetricValue(value=0.2, unit="eV/Å", n=9, n_molecules=3, low=0.1, high=0.3)
RATIO = MetricValue(value=2.0, unit="1", n=18, n_molecules=6, low=1.5, high=2.5)


def record(split: str = "ood_elements", **changes: object) -> Record:
    content: dict[str, object] = {
        "suite": "toy",
        "suite_version": 1,
        "split": split,
        "role": "ood_test",
        "shift": "elements",
        "control": "id",
        "model": "m",
        "mode": "baseline",
        "seed": 0,
        "split_sha256": "0" * 64,
        "status": "ok",
        "counts": Counts(total=10, evaluated=9, skipped=1, failed=0, reasons={"why": 1}),
        "metrics": {"forces_mae": MAE},
        "gap": {"forces_mae": Comparison(difference=MAE, ratio=RATIO, verdict="worse")},
        "paired": {},
        "worst_group": ("CCO", 0.4),
        "wall_s_per_structure": 0.01,
    }
    return Record.model_validate(content | changes)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (1234.5, "1,234"),
        (0.012345, "0.0123"),
        (12.345, "12.3"),
        (-5.678, "-5.68"),
    ],
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert number(value) == text


def test_units_are_converted_on_display_only() -> None:
    assert shown_unit("eV/Å", "meV").name == "meV/Å"
    assert shown_unit("1", "kcal").factor == 1
    assert with_interval(MAE) == "200 [100, 300]"
    assert with_interval(MAE, "kcal") == "4.61 [2.31, 6.92]"
    assert with_interval(None) == "–"


def test_a_missing_number_is_a_dash_never_zero() -> None:
    empty = Counts(
        total=10, evaluated=0, skipped=10, failed=0, reasons={"skipped: x": 10}
    )
    skipped = record(
        status="skipped",
        counts=empty,
        metrics={},
        gap={},
        worst_group=None,
        wall_s_per_structure=None,
    )
    table = force_table([skipped])
    cells = dict(zip(table.columns, table.rows[0], strict=True))
    assert cells["force MAE meV/Å"] == "–"
    assert cells["to ID"] == "–"
    assert cells["skipped"] == "10"
    assert any("10 of 10 structures – skipped: x" in note for note in table.notes)
    assert "0.0" not in to_markdown(table)


def test_table_has_id_first_and_keeps_models_together() -> None:
    id_record = record("id", role="id_test", shift=None, gap={})
    table = force_table([record(model="b"), record(), id_record])
    assert [row[0] for row in table.rows] == ["id", "ood_elements", "ood_elements"]
    assert table.rows[1][5] == "×2.00 [1.50, 2.50]"


def test_paired_column_appears_with_a_refinement() -> None:
    better = Comparison(difference=MAE, ratio=RATIO, verdict="better")
    table = force_table([record(), record(mode="ttt", paired={"forces_mae": better})])
    assert "to baseline" in table.columns
    assert "better" in table.rows[1]


def test_csv_holds_every_number() -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv([record()]))))
    assert float(rows[0]["value"]) == 0.2
    assert rows[0]["metric"] == "forces_mae"
    assert rows[0]["skipped"] == "1"
    assert [row["what"] for row in rows] == ["value", "gap difference", "gap ratio"]
    assert float(rows[2]["value"]) == 2.0
    assert rows[2]["verdict"] == "worse"
    assert rows[0]["reasons"] == "1 × why"


def test_hostile_names_stay_text() -> None:
    table = force_table([record(model="[bold]|x|\n\\")])
    assert "\\|x\\|" in to_markdown(table)
    assert [part.row_count for part in to_rich(table, 200)] == [1]
    assert "CCO" in worst_markdown([record()])


def test_energies_have_intervals_in_three_columns() -> None:
    energy = MAE.model_copy(update={"unit": "eV/atom"})
    table = energy_table([record(metrics={"energy_mae_raw": energy}, notes=("look",))])
    assert table.columns[3:] == ("n", "raw meV/atom", "aligned", "relative")
    assert table.rows[0][3:] == ("9 / 0 / 0", "200 [100, 300]", "–", "–")
    assert any("look" in note for note in table.notes)


RADIUS = RadiusSummary(smallest=3.0, largest=4.5, n=9, n_changed=3, n_refined=6)


def share(value: float, *ends: float) -> MetricValue:
    limits = dict(zip(("low", "high"), ends, strict=False))
    return MetricValue(value=value, unit="1", n=9, n_molecules=3, **limits)


@pytest.mark.parametrize(
    ("metric", "text"),
    [
        (None, "–"),
        (share(0.224), "22"),
        (share(0.224, 0.151, 0.3), "22 [15, 30]"),
        (share(-0.5, -1.2, 0.1), "-50 [-120, 10]"),
        (share(-0.001, -0.002, 0.004), "0 [0, 0]"),
        (share(0.0), "0"),
        (share(1.0, 0.9, 1.0), "100 [90, 100]"),
    ],
)
def test_shares_are_whole_percents(metric: MetricValue | None, text: str) -> None:
    assert percent_with_interval(metric) == text


def test_radii_are_columns_of_the_force_table_where_there_are_any() -> None:
    assert "radius Å" not in force_table([record(), record(mode="ttt")]).columns
    table = force_table([record(), record(mode="rr", radius=RADIUS)])
    cells = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    assert [cell["radius Å"] for cell in cells] == ["–", "3.00–4.50"]
    assert [cell["graph changed"] for cell in cells] == ["–", "33 %"]


def test_the_radius_table_says_what_was_gained() -> None:
    better = Comparison(
        difference=MAE.model_copy(update={"value": -0.02, "low": -0.03, "high": -0.01}),
        ratio=RATIO,
        verdict="better",
    )
    known = RADIUS.model_copy(
        update={"headroom": share(0.22, 0.1, 0.3), "captured": share(0.41, 0.2, 0.6)}
    )
    table = radius_table(
        [
            record(),
            record(mode="rr", radius=known, paired={"forces_mae": better}),
            record(mode="rr-paper", radius=RADIUS),
        ]
    )
    assert [row[2] for row in table.rows] == ["rr", "rr-paper"]
    cells = dict(zip(table.columns, table.rows[0], strict=True))
    assert cells["n"] == "9"
    assert cells["refined"] == "67 %"
    assert cells["graph changed"] == "33 %"
    assert cells["change meV/Å"] == "-20.0 [-30.0, -10.0]"
    assert cells["headroom %"] == "22 [10, 30]"
    assert cells["captured %"] == "41 [20, 60]"
    unknown = dict(zip(table.columns, table.rows[1], strict=True))
    assert unknown["change meV/Å"] == "–"
    assert unknown["headroom %"] == unknown["captured %"] == "–"
    assert any("reads the labels" in note for note in table.notes)
    assert table.sections == {1}


def test_one_radius_for_all_is_one_number_and_none_is_no_row() -> None:
    same = RADIUS.model_copy(update={"largest": 3.0})
    assert "3.00" in radius_table([record(mode="rr", radius=same)]).rows[0]
    assert radius_table([record()]).rows == ()
    assert "kcal/mol" in radius_table([record(radius=same)], "kcal").columns[7]


def test_radii_survive_being_written_down() -> None:
    known = RADIUS.model_copy(update={"headroom": share(0.22, 0.1, 0.3)})
    one = record(mode="rr", radius=known)
    assert Record.model_validate_json(one.model_dump_json()) == one


def test_a_headline_is_a_column_and_its_card_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = force_table([record()]).columns, energy_table([record()]).columns
    cards = {
        "tail": MetricCard(unit="eV/Å", headline=True, label="tail"),
        "drift": MetricCard(unit="eV", energies="raw", headline=True),
        "aside": MetricCard(unit="eV/Å"),
    }
    added = {name: Entry("a:b", "added", card=card) for name, card in cards.items()}
    monkeypatch.setattr(METRICS, "_rows", {**METRICS.rows(), **added})
    found = record(metrics={"forces_mae": MAE, "tail": MAE, "aside": MAE, "drift": MAE})
    forces, energies = force_table([found], "kcal"), energy_table([found])
    cells = dict(zip(forces.columns, forces.rows[0], strict=True))
    assert cells["tail kcal/mol/Å"] == "4.61 [2.31, 6.92]"
    assert energies.columns[-1] == "drift meV"
    assert energies.rows[0][-1] == "200 [100, 300]"
    assert (len(forces.columns), len(energies.columns)) == tuple(
        len(columns) + 1 for columns in plain
    )
    for card, words in zip(
        cards.values(), ("force table", "energy table", "no"), strict=True
    ):
        assert words in dict(card.rows())["in tables"]


def test_the_shipped_columns() -> None:
    assert force_table([record()]).columns == (
        *("split", "model", "mode", "n (mol.)", "force MAE meV/Å", "to ID"),
        *("cosine", "skipped", "failed", "ms/str."),
    )
