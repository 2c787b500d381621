"""The page in a real browser, with the network cut."""

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from small_runs import change, edit_records, run_small

from mlffbench.core.record import MetricValue
from mlffbench.report.document import compose, write_report
from mlffbench.report.schema import Report
from mlffbench.report.tables.display_units import number
from mlffbench.run.folder import RunFolder, read_arrays

sync_api = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed"
)

NAMES = ("chromium", "chromium-browser", "google-chrome")
FOUND = os.environ.get("MLFFBENCH_BROWSER") or next(
    filter(None, map(shutil.which, NAMES)), None
)
pytestmark = pytest.mark.skipif(
    FOUND is None,
    reason="no chromium: apt-get install chromium, or set MLFFBENCH_BROWSER",
)
FACTOR = {"error": 1000, "gap": 1000, "ratio": 1, "to_baseline": 1}
MEASURES = {"error": "error", "gap": "gap", "ratio": "ratio", "baseline": "to_baseline"}
HOSTILE = (
    "<script>window.hacked=1</script>\"'><img src=x onerror=window.hacked=2>"
    "</script>\n\u202eevil\u200f<b>bold</b>{{ 7*7 }}" + "x" * 10_000
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as driver:
        arguments = [
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--enable-unsafe-swiftshader",
        ]
        opened = driver.chromium.launch(executable_path=FOUND, args=arguments)
        yield opened
        opened.close()


@pytest.fixture
def folders(suite_file: Path, springs: str, tmp_path: Path) -> list[RunFolder]:
    return run_small(suite_file, springs, tmp_path / "runs")


class Opened:
    """A page that was opened, and everything it should not have done."""

    def __init__(self, browser: Any, path: Path, **options: Any) -> None:
        self.context = browser.new_context(offline=True, **options)
        self.page = self.context.new_page()
        self.faults: list[str] = []
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("request", self._asked)
        self.page.on("console", self._said)
        self.page.goto(path.as_uri())

    def _asked(self, request: Any) -> None:
        if not request.url.startswith(("file:", "data:", "blob:")):
            self.faults.append(f"asked for {request.url}")

    def _said(self, message: Any) -> None:
        if message.type == "error":
            self.faults.append(message.text)

    def see_everything(self) -> None:
        for part in ("leaderboard", "modes", "shifts", "errors", "accounting"):
            self.page.evaluate(f"document.getElementById('{part}').scrollIntoView()")
            self.page.wait_for_timeout(300)

    def texts(self, selector: str) -> list[str]:
        found: list[str] = self.page.locator(selector).all_inner_texts()
        return [" ".join(text.split()) for text in found]


@pytest.fixture(scope="module")
def written(
    shared_suite_file: Path, shared_springs: str, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Report]:
    """Return a page and the same numbers as JSON."""
    folder = tmp_path_factory.mktemp("report")
    run_small(shared_suite_file, shared_springs, folder / "runs")
    write_report([folder / "runs"], folder / "report.html")
    content = compose([folder / "runs"], "json").text
    return folder / "report.html", Report.model_validate_json(content)


@pytest.fixture
def page(browser: Any, written: tuple[Path, Report]) -> Iterator[tuple[Opened, Report]]:
    opened = Opened(browser, written[0])
    yield opened, written[1]
    opened.context.close()


def shown(value: float) -> str:
    return number(value).replace("-", "−")


def ends(metric: MetricValue, factor: float) -> str:
    low, high, before = metric.low, metric.high, ""
    if low is None or high is None:
        low, high, before = metric.lowest, metric.highest, "molecules "
    if low is None or high is None:
        return "no interval"
    join = " to " if low < 0 else "–"
    return f"{before}{shown(low * factor)}{join}{shown(high * factor)}"


def test_it_opens_without_network_and_without_an_error(
    page: tuple[Opened, Report],
) -> None:
    opened, _ = page
    opened.see_everything()
    assert opened.page.locator("#modes .plot .main-svg").count() > 0
    assert opened.page.locator("#errors .plot .main-svg").count() > 0
    assert opened.faults == []


def test_every_number_of_the_leaderboard_is_that_of_the_json(
    page: tuple[Opened, Report],
) -> None:
    opened, report = page
    seen = 0
    for measure, attribute in MEASURES.items():
        opened.page.click(f"[data-measure={measure}]")
        for row in report.boards[0].rows:
            line = f'tr[data-row="{row.run}"]'
            for split, cell in row.cells.items():
                found = opened.page.locator(f"{line} td[data-split={split}]")
                metric = getattr(cell, attribute)
                if found.count() == 0:
                    assert split.startswith("id")
                    continue
                text = " ".join(found.inner_text().split())
                if metric is None:
                    assert text.startswith("–")
                    continue
                factor = FACTOR[attribute]
                expected = shown(metric.value * factor)
                assert re.split(r"[◆◇ ]", text.lstrip("×"))[0] == expected
                assert ends(metric, factor) in text
                seen += 1
            extremes = {
                "gap": row.largest_gap,
                "ratio": row.largest_ratio,
                "worst": row.worst,
            }
            for column, extreme in extremes.items():
                found = opened.page.locator(f"{line} td[data-column={column}] .value")
                assert extreme is not None
                factor = 1 if column == "ratio" else 1000
                assert found.inner_text().lstrip("×") == shown(extreme.value * factor)
                seen += 1
            cost = opened.page.locator(f"{line} td[data-column=cost] .value").inner_text()
            assert row.seconds_per_structure is not None
            assert cost == shown(1000 * row.seconds_per_structure)
    assert seen > 50


def test_numbers_read_as_in_every_other_table(page: tuple[Opened, Report]) -> None:
    opened, _ = page
    rng = np.random.default_rng(0)
    values = [
        *(rng.normal(size=300) * 10 ** rng.uniform(-9, 6, size=300)),
        0.0,
        1234.5,
        1235.5,
        12.25,
        -0.5,
        8.345,
    ]
    shown_there = opened.page.evaluate("values => values.map(Text.number)", values)
    assert shown_there == [shown(value) for value in values]


def test_columns_sort_and_what_is_missing_stays_last(page: tuple[Opened, Report]) -> None:
    opened, _ = page
    opened.page.click("[data-measure=baseline]")
    opened.page.focus('[data-sort="split:id"]')
    opened.page.keyboard.press("Enter")
    up = [text.split()[0].lstrip("×") for text in opened.texts("td[data-split=id]")]
    assert opened.page.locator("th[aria-sort=ascending]").count() == 1
    opened.page.keyboard.press("Enter")
    down = [text.split()[0].lstrip("×") for text in opened.texts("td[data-split=id]")]
    assert up[2:] == down[2:] == ["–", "–"]
    assert [float(text) for text in up[:2]] == sorted(float(text) for text in up[:2])
    assert down[:2] == up[:2][::-1]


def pooled(folder: Path, split: str, keep: Any) -> float:
    """Return the force MAE over the structures that a function of (numbers) keeps."""
    table = pd.read_parquet(folder / "predictions.parquet")
    forces = read_arrays(folder / "forces.npz")["forces"]
    reference = read_arrays(folder / "reference.npz")["forces"]
    numbers = read_arrays(folder / "structures.npz")["numbers"]
    ends = np.cumsum(table["n_atoms"].to_numpy())
    parts = []
    for place in np.flatnonzero(table["split"].to_numpy() == split):
        atoms = slice(ends[place] - table["n_atoms"][place], ends[place])
        if keep(numbers[atoms]):
            parts.append(np.abs(forces[atoms] - reference[atoms]).ravel())
    return float(np.concatenate(parts).mean())


def test_a_filter_recomputes_every_number(page: tuple[Opened, Report]) -> None:
    opened, report = page
    opened.page.get_by_label("structures with O").uncheck(force=True)
    opened.page.wait_for_selector("text=/Recomputed for .* of 21 structures/")
    for row in report.boards[0].rows:
        expected = pooled(Path(row.run), "id", lambda numbers: 8 not in numbers)
        text = opened.texts(f'tr[data-row="{row.run}"] td[data-split=id] .value')[0]
        assert re.split(r"[◆◇]", text)[0] == shown(1000 * expected)
    opened.page.click("#reset")
    assert "numbers as stored" in opened.page.inner_text("#board-status")
    assert opened.faults == []


def test_structures_every_model_evaluated(page: tuple[Opened, Report]) -> None:
    opened, report = page
    zero = report.boards[0].rows[0]
    opened.page.get_by_label("only those every shown model evaluated").check(force=True)
    opened.page.wait_for_selector("text=/Recomputed for 18 of 21 structures/")
    expected = pooled(Path(zero.run), "ood", lambda numbers: 7 not in numbers)
    text = opened.texts(f'tr[data-row="{zero.run}"] td[data-split=ood] .value')[0]
    assert re.split(r"[◆◇]", text)[0] == shown(1000 * expected)


def test_the_page_computes_what_python_computed(page: tuple[Opened, Report]) -> None:
    opened, report = page
    computed = opened.page.evaluate(
        """async () => {
          const content = document.getElementById("payload").textContent;
          const board = JSON.parse(content).boards[0];
          const elements = new Set(board.cells.elements);
          const filter = {elements, rows: null};
          return (await Recompute.compute(board, filter, async () => {})).rows;
        }"""
    )
    for row, again in zip(report.boards[0].rows, computed, strict=True):
        for split, cell in row.cells.items():
            for name in FACTOR:
                ours, theirs = getattr(cell, name), again["cells"][split].get(name)
                if ours is None:
                    assert theirs is None
                    continue
                assert theirs["value"] == pytest.approx(ours.value, rel=1e-5, abs=1e-9)
                assert (theirs["n"], theirs["n_molecules"]) == (ours.n, ours.n_molecules)
                if ours.low is None or ours.high is None:
                    assert theirs["low"] is None
                    continue
                for end in ("low", "high"):
                    expected = pytest.approx(getattr(ours, end), rel=1e-4, abs=1e-6)
                    assert theirs[end] == expected


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_follow_the_system_and_the_button(
    browser: Any, written: tuple[Path, Report], scheme: str
) -> None:
    opened = Opened(browser, written[0], color_scheme=scheme)
    ground = "getComputedStyle(document.body).backgroundColor"
    at_first = opened.page.evaluate(ground)
    brightness = sum(map(int, re.findall(r"\d+", at_first)[:3]))
    assert (brightness < 200) == (scheme == "dark")
    opened.see_everything()
    opened.page.focus("#theme")
    opened.page.keyboard.press("Space")
    assert opened.page.evaluate(ground) != at_first
    assert opened.faults == []
    opened.context.close()


def test_nothing_is_wider_than_a_telephone(
    browser: Any, written: tuple[Path, Report]
) -> None:
    opened = Opened(browser, written[0], viewport={"width": 375, "height": 740})
    opened.see_everything()
    assert opened.page.evaluate("document.documentElement.scrollWidth") == 375
    assert opened.faults == []
    opened.context.close()


def test_hostile_names_are_text(
    browser: Any, folders: list[RunFolder], tmp_path: Path
) -> None:
    for folder in folders[1:]:
        table = pd.read_parquet(folder.path / "predictions.parquet")
        table["molecule"] = HOSTILE + table["molecule"]
        table["id"] = HOSTILE + table["id"]
        table.to_parquet(folder.path / "predictions.parquet")
        names = {"model": HOSTILE, "suite": HOSTILE}
        command = f"mlffbench run --suite {HOSTILE}"
        mode = {"sees": HOSTILE, "settings": {HOSTILE: HOSTILE}}
        change(folder, job=names, command=command, mode=mode)
        edit_records(
            folder,
            lambda record: {
                **record,
                "model": HOSTILE,
                "suite": HOSTILE,
                "notes": [HOSTILE],
                "worst_group": [HOSTILE, 1.0],
                "shift": HOSTILE,
            },
        )
    change(folders[0], status="running", command=HOSTILE)
    out = tmp_path / "report.html"
    write_report([tmp_path / "runs"], out)
    opened = Opened(browser, out, viewport={"width": 375, "height": 740})
    opened.see_everything()
    assert opened.page.evaluate("window.hacked") is None
    assert opened.page.locator("img[src=x]").count() == 0
    assert opened.page.locator("main b:not(.bar b)").count() == 0
    assert "<script>window.hacked=1</script>" in opened.page.inner_text("#summary")
    assert "\u202e" not in opened.page.inner_text("body")
    assert "{{ 7*7 }}" in opened.page.inner_text("#summary")
    assert opened.page.evaluate("document.documentElement.scrollWidth") == 375
    assert opened.faults == []
    opened.context.close()


def test_a_figure_gives_its_data_as_csv(page: tuple[Opened, Report]) -> None:
    opened, report = page
    with opened.page.expect_download() as found:
        opened.page.click('button[aria-label="CSV of Each mode against baseline"]')
    lines = found.value.path().read_text(encoding="utf-8").splitlines()
    assert lines[0] == "model,mode,split,ratio,low,high,verdict"
    row = report.boards[0].rows[-2]
    ratio = row.cells["id"].to_baseline
    assert ratio is not None
    assert float(lines[1].split(",")[3]) == pytest.approx(ratio.value)


def test_it_prints_in_the_light_with_everything_open(page: tuple[Opened, Report]) -> None:
    opened, _ = page
    assert len(opened.page.pdf()) > 20_000
    assert opened.page.locator("details:not([open])").count() == 0
    assert json.dumps(opened.faults) == "[]"
