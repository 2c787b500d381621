"""The table of a terminal: it fits, cuts no name, and says nothing twice."""

from collections.abc import Callable
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from mlffbench.cli.shared.console import make_console
from mlffbench.core.record import Comparison, Counts, MetricValue, Outlier, Record
from mlffbench.core.registry import Entry
from mlffbench.metrics.catalog import METRICS
from mlffbench.metrics.metric_card import MetricCard
from mlffbench.report.document import records_by_suite
from mlffbench.report.tables.error_matrix import MARKS, error_matrix
from mlffbench.report.tables.matrix_lines import matrix_lines
from mlffbench.report.tables.record_tables import energy_table, force_table
from mlffbench.report.tables.render import to_rich
from mlffbench.report.tables.table_notes import left_out, warnings
from mlffbench.report.tables.wrapping import wrapped
from mlffbench.run.folder import RunFolder

MODELS = ("mini-mace", "ase:tblite.ase:TBLite?method=GFN2-xTB", "mini-mace-scratch")
PIECES = ("mini-", "mace", "scratch", "tblite.", "TBLite?", "method=", "GFN2-", "xTB")
"""What names may be broken into."""
MODES = ("baseline", "rr", "ttt", "rr-paper", "mine")


def error(value: float, n: int = 20) -> MetricValue:
    return MetricValue(
        value=value, unit="eV/Å", n=n, n_molecules=7, low=value / 3, high=3 * value
    )


def record(split: str, model: str, mode: str, **changes: object) -> Record:
    mae = error(0.8142)
    compared = Comparison(difference=mae, ratio=None, verdict="better", p_value=0.01)
    content: dict[str, object] = {
        "suite": "toy",
        "suite_version": 1,
        "split": split,
        "role": "id_test" if split.startswith("id") else "ood_test",
        "shift": None if split.startswith("id") else "force_norm",
        "control": "",
        "model": model,
        "mode": mode,
        "seed": 0,
        "split_sha256": "0" * 64,
        "status": "ok",
        "counts": Counts(total=20, evaluated=20, skipped=0, failed=0, reasons={}),
        "metrics": {"forces_mae": mae, "energy_mae_raw": mae, "forces_cosine": mae},
        "gap": {},
        "paired": {} if mode == "baseline" else {"forces_mae": compared},
        "worst_group": None,
        "wall_s_per_structure": 0.01,
    }
    return Record.model_validate(content | changes)


def many(
    models: tuple[str, ...] = MODELS, modes: tuple[str, ...] = MODES
) -> list[Record]:
    splits = ("ood_connectivity", "id_conformers")
    return [record(s, m, mode) for m in models for mode in modes for s in splits]


def lines_of(records: list[Record], width: int) -> list[str]:
    return [line.plain for line in matrix_lines(error_matrix(records), width)]


@pytest.mark.parametrize("width", [40, 60, 80, 120, 160, 100_000])
@pytest.mark.parametrize("modes", [MODES[:1], MODES[:3], MODES])
def test_it_fits_and_no_name_is_cut(width: int, modes: tuple[str, ...]) -> None:
    lines = lines_of(many(modes=modes), width)
    assert max(map(cell_len, lines)) <= width
    text = "\n".join(lines)
    for name in (*PIECES, *modes):
        assert name in text
    # split by split, model by model, a value per mode
    assert text.count("814") == 2 * len(MODELS) * len(modes)
    assert text.count("[271, 2,443]") == text.count("814")


def test_the_shipped_suites_keep_intervals_beside_values_at_80() -> None:
    lines = lines_of(many(("mini-mace", "mini-schnet"), MODES[:3]), 80)
    assert (
        "  mini-mace    814 [271, 2,443]  814 [271, 2,443] ↓  814 [271, 2,443] ↓" in lines
    )
    assert lines[0] == "toy v1, test half: force MAE meV/Å"
    assert lines[3] == "id_conformers (ID): 20 structures of 7 molecules"
    assert "ood_connectivity (OOD, force norm): 20 structures of 7 molecules" in lines


def test_what_is_missing_is_not_zero_and_what_is_fewer_is_marked() -> None:
    partly = Counts(total=20, evaluated=9, skipped=11, failed=0, reasons={"no": 11})
    nothing = Counts(total=20, evaluated=0, skipped=20, failed=0, reasons={"no": 20})
    matrix = error_matrix(
        [
            record("id", "a", "baseline"),
            record("id", "a", "rr"),
            record("id", "b", "baseline", metrics={}, counts=nothing),
            record(
                "id", "c", "baseline", counts=partly, metrics={"forces_mae": error(1, 9)}
            ),
        ]
    )
    rows = matrix.parts[0].rows
    assert rows["b"][0].value == "none"
    assert rows["b"][1].value == "–"
    assert rows["c"][0].mark == "*"
    assert rows["a"][1].mark == "↓"
    for said in ("–: not run", "none: nothing", "* of fewer", "↓ better", "[a, b]: 95 %"):
        assert said in matrix.notes[0]
    assert "↑" not in matrix.notes[0]


@pytest.mark.parametrize("verdict", MARKS)
def test_every_verdict_has_a_mark(verdict: str) -> None:
    compared = Comparison.model_validate(
        {"difference": error(1), "ratio": None, "verdict": verdict}
    )
    found = error_matrix([record("id", "a", "rr", paired={"forces_mae": compared})])
    assert found.parts[0].rows["a"][0].mark == MARKS[verdict]
    assert f"{MARKS[verdict]} {verdict}" in found.notes[0]


def test_the_first_headline_is_what_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = METRICS.rows()
    first = {"tail": Entry("a:b", "x", card=MetricCard(unit="eV/Å", headline=True))}
    monkeypatch.setattr(METRICS, "_rows", {**first, **rows})
    found = error_matrix([record("id", "a", "baseline", metrics={"tail": error(0.002)})])
    assert found.title.endswith("tail meV/Å")
    assert found.parts[0].rows["a"][0].value == "2.00"


def skipping(model: str, mode: str) -> Record:
    reasons = {f"skipped: element not supported: {e}": n for e, n in (("B", 5), ("S", 9))}
    counts = Counts(total=20, evaluated=6, skipped=14, failed=0, reasons=reasons)
    zero = Comparison(difference=error(1), ratio=None, verdict="worse")
    open_one = zero.model_copy(update={"verdict": "cannot be judged", "reason": "few"})
    return record(
        "ood",
        model,
        mode,
        counts=counts,
        outlier=Outlier(molecule="C", share=0.6 if mode == "rr" else 0.71),
        against_zero={"forces_mae": zero},
        paired={"forces_mae": open_one},
    )


def test_what_holds_for_many_rows_is_said_once() -> None:
    records = [skipping(model, mode) for model in ("a", "b") for mode in ("rr", "ttt")]
    who = "4 rows: a rr, ttt; b rr, ttt"
    assert list(left_out(records, "structures")) == [
        f"ood: 14 of 20 structures – skipped: element not supported: B (5), S (9) ({who})"
    ]
    assert list(warnings(records)) == [
        f"ood: C alone carries 60 to 71 % of the error ({who})",
        f"ood: worse than no forces at all ({who})",
        "cannot be judged on ood, few: a rr, ttt; b rr, ttt",
    ]
    energies = [one.model_copy(update={"notes": ("look",)}) for one in records]
    assert energy_table(energies).notes[1:] == (f"ood: look ({who})",)


@pytest.mark.parametrize("width", [60, 80, 160])
@pytest.mark.parametrize("make", [force_table, energy_table])
def test_wide_tables_continue_below(
    width: int, make: Callable[..., object], capsys: pytest.CaptureFixture[str]
) -> None:
    table = make(many())
    console = Console(width=width, highlight=False)
    for part in to_rich(table, width):  # type: ignore[arg-type]
        console.print(part)
    text = capsys.readouterr().out
    assert max(map(cell_len, text.splitlines())) <= width
    assert "…" not in text
    for name in (*PIECES, "connectivity", "conformers"):
        assert name in text
    for heading in table.columns:  # type: ignore[attr-defined]
        assert all(word in text for word in heading.split())


def test_a_name_is_broken_between_its_words() -> None:
    assert wrapped("mini-mace-scratch", 17) == ["mini-mace-scratch"]
    assert wrapped("mini-mace-scratch", 12) == ["mini-mace-", "scratch"]
    assert wrapped("1,043 [956, 1,138]", 14, at=" ") == ["1,043 [956,", "1,138]"]
    assert wrapped("abcdefghij-k", 4) == ["abcd", "efgh", "ij-k"]
    assert wrapped("", 4) == [""]


@pytest.mark.parametrize(("columns", "width"), [("80", 80), ("160", 160), (None, 10**5)])
def test_columns_is_obeyed_in_pipes(
    monkeypatch: pytest.MonkeyPatch, columns: str | None, width: int
) -> None:
    if columns is None:
        monkeypatch.delenv("COLUMNS", raising=False)
    else:
        monkeypatch.setenv("COLUMNS", columns)
    assert make_console().width == width


def test_a_trial_is_labelled_and_stands_apart(tmp_path: Path) -> None:
    whole = record("id", "a", "baseline")
    trial = whole.model_copy(update={"provenance": {"limit": "6"}})
    assert (
        error_matrix([trial]).title == "toy v1, test half, 6 per split: force MAE meV/Å"
    )
    assert force_table([trial]).title == "toy v1, test half, 6 per split: forces"
    folders = [RunFolder(tmp_path / name) for name in ("whole", "trial")]
    for folder, one in zip(folders, (whole, trial), strict=True):
        folder.path.mkdir()
        folder.write_records([one])
    # even where both saw the very same structures
    assert [len(them) for them in records_by_suite(folders).values()] == [1, 1]
