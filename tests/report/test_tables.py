import csv
import io
import json

import pytest

from mlffbench.core.record import Comparison, Counts, MetricValue, Record
from mlffbench.report.render import to_csv, to_json, to_markdown, to_rich, worst_markdown
from mlffbench.report.tables import energy_table, force_table
from mlffbench.report.units import number, shown_unit, with_interval

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


def test_csv_and_json_hold_every_number() -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv([record()]))))
    assert float(rows[0]["value"]) == 0.2
    assert rows[0]["metric"] == "forces_mae"
    assert rows[0]["skipped"] == "1"
    assert [row["what"] for row in rows] == ["value", "gap difference", "gap ratio"]
    assert float(rows[2]["value"]) == 2.0
    assert rows[2]["verdict"] == "worse"
    assert rows[0]["reasons"] == "1 × why"
    content = json.loads(to_json([record()]))
    assert Record.model_validate(content["records"][0]) == record()


def test_hostile_names_stay_text() -> None:
    table = force_table([record(model="[bold]|x|\n\\")])
    assert "\\|x\\|" in to_markdown(table)
    assert to_rich(table).row_count == 1
    assert "CCO" in worst_markdown([record()])


def test_energies_have_intervals_in_three_columns() -> None:
    energy = MAE.model_copy(update={"unit": "eV/atom"})
    table = energy_table([record(metrics={"energy_mae_raw": energy}, notes=("look",))])
    assert table.columns[3:] == ("n", "raw meV/atom", "aligned", "relative")
    assert table.rows[0][3:] == ("9 / 0 / 0", "200 [100, 300]", "–", "–")
    assert any("look" in note for note in table.notes)
