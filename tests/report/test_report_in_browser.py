"""The page in a real browser, with the network cut."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from small_runs import change, edit_records

from mlffbench.core.record import MetricValue
from mlffbench.report.document import compose, write_report
from mlffbench.report.page import render
from mlffbench.report.schema import Report
from mlffbench.report.tables.display_units import number
from mlffbench.report.tables.record_tables import TextTable
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
        """Scroll past every figure and wait until it is drawn."""
        self.page.evaluate(
            "document.querySelectorAll('.plot').forEach((plot) => plot.scrollIntoView())"
        )
        for place in range(self.page.locator(".plot").count()):
            self.page.locator(".plot").nth(place).scroll_into_view_if_needed()
            self.page.wait_for_function(
                "i => document.querySelectorAll('.plot')[i].childElementCount", arg=place
            )

    def texts(self, selector: str) -> list[str]:
        found: list[str] = self.page.locator(selector).all_inner_texts()
        return [" ".join(text.split()) for text in found]


@pytest.fixture(scope="module")
def written(
    shared_runs: list[RunFolder], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Report]:
    """Return a page and the same numbers as JSON."""
    root, out = shared_runs[0].path.parents[2], tmp_path_factory.mktemp("report")
    write_report([root], out / "report.html")
    content = compose([root], "json").text
    return out / "report.html", Report.model_validate_json(content)


@pytest.fixture(scope="module")
def open_once(browser: Any, written: tuple[Path, Report]) -> Iterator[Opened]:
    opened = Opened(browser, written[0], color_scheme="light")
    yield opened
    opened.context.close()


@pytest.fixture
def page(
    open_once: Opened, written: tuple[Path, Report]
) -> Iterator[tuple[Opened, Report]]:
    """Return the one page of most tests, as it is when it opens."""
    yield open_once, written[1]
    open_once.page.click("#reset")
    assert open_once.faults == []


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


def test_colours_follow_the_system_and_the_button(page: tuple[Opened, Report]) -> None:
    opened, _ = page
    ground = "getComputedStyle(document.body).backgroundColor"
    light = opened.page.evaluate(ground)
    opened.page.emulate_media(color_scheme="dark")
    opened.page.wait_for_selector(":root[data-theme=dark]")
    dark = opened.page.evaluate(ground)
    brightness = [sum(map(int, re.findall(r"\d+", one)[:3])) for one in (light, dark)]
    assert brightness[0] > 600
    assert brightness[1] < 200
    opened.page.focus("#theme")
    opened.page.keyboard.press("Space")
    assert opened.page.evaluate(ground) == light
    opened.page.emulate_media(color_scheme="light")


def test_a_page_without_static_errors_has_its_colours_too(
    browser: Any, tmp_path: Path
) -> None:
    table = TextTable(
        "Dynamics", ("model", "survival"), (("zero", "3 %"),), frozenset(), ()
    )
    nothing: dict[str, Any] = {"runs": (), "separated": (), "boards": (), "records": ()}
    (tmp_path / "r.html").write_text(
        render(Report(mlffbench="1", **nothing, further=()), [], [], [table])
    )
    opened = Opened(browser, tmp_path / "r.html", color_scheme="light")
    opened.page.click("#theme")
    assert opened.page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert opened.faults == []
    opened.context.close()


@pytest.fixture(scope="module")
def phone(browser: Any, written: tuple[Path, Report]) -> Iterator[Opened]:
    size = {"width": 375, "height": 740}
    opened = Opened(browser, written[0], viewport=size, color_scheme="dark")
    yield opened
    assert opened.faults == []
    opened.context.close()


def test_nothing_is_wider_than_a_telephone(phone: Opened) -> None:
    phone.see_everything()
    assert phone.page.evaluate("document.documentElement.scrollWidth") == 375
    widths = "[...document.querySelectorAll('.plot svg')].map(one => one.clientWidth)"
    assert 100 < max(phone.page.evaluate(widths)) <= 375


HINTS = """() => [...document.querySelectorAll(".scroll")]
  .filter(one => one.checkVisibility())
  .map(one => [one.scrollWidth > one.clientWidth + 1, one.matches(".wide.more"),
               getComputedStyle(one, "::before").content.includes("sideways")])"""


def test_a_table_that_goes_on_says_so(phone: Opened, open_once: Opened) -> None:
    phone.page.click("text=/All 8 rows/")
    phone.page.wait_for_selector("details[open] .scroll.wide")
    boxes = [*phone.page.evaluate(HINTS), *open_once.page.evaluate(HINTS)]
    assert [one for one in boxes if len(set(one)) > 1] == []
    assert {one[0] for one in boxes} == {True, False}
    ended = phone.page.evaluate(
        """() => {
          const box = document.querySelector("#board-table");
          box.scrollLeft = box.scrollWidth;
          const name = box.querySelector("tbody th").getBoundingClientRect();
          return new Promise(done => setTimeout(() =>
            done([box.matches(".more"), box.matches(".wide"), name.left]), 50));
        }"""
    )
    assert ended[:2] == [False, True]
    assert 0 <= ended[2] < 40, "the name of a row stays in sight"


BOARD = """
  const splits = Array.from({length: 8}, (_, i) => (i < 2 ? "id_" : "ood_") + i);
  const samples = ["train", ...splits].map((name, i) => ({name, n: 10 + i, labels: {},
    role: i ? name.split("_")[0] + "_test" : "train", unshifted: 0, reason: ""}));
  samples.push({name: "ood_none", n: 0, labels: {}, role: "ood_test"});
  const counts = Object.fromEntries(samples.slice(0, 9).map(({name, n}, i) =>
    [name, {n, counts: [n - 4, 3, 1, 0, 0]}]));
  const one = {name: "d", label: "distance", unit: "Å", kind: "alarm", reason: "",
    edges: [0, 1, 2, 3, 4, 5], samples: counts};
  const row = {label: "m", mode: "baseline"};
  const curves = {d: [[0, 1, 0.1, -0.1, 0.2, 5], [1, 2, 0.2, 0.1, 9, 5]]};
  const models = {m: {samples, diagnostics: [one], rules: {}}};
  const shifts = {models, runs: [{curves, ranking: []}], missing: []};
  const board = {rows: [row], shifts};
"""
PANELS = """(() => {
  const plot = document.querySelector("#shifts-figures .plot");
  const full = plot._fullLayout;
  const axes = (letter) => Object.keys(full)
    .filter(key => key.startsWith(letter + "axis")).map(key => full[key].range.join());
  return {
    x: [...new Set(axes("x"))], y: [...new Set(axes("y"))], columns: axes("x").length,
    rows: axes("y").length,
    traces: plot.data.map(one => one.name + one.xaxis + one.yaxis),
    titles: full.annotations.slice(0, -1).map(one => one.text),
  };
})()"""


@pytest.mark.parametrize(("wide", "columns"), [(True, 4), (False, 2)])
def test_each_split_has_a_panel_beside_training(
    request: pytest.FixtureRequest, *, wide: bool, columns: int
) -> None:
    opened: Opened = request.getfixturevalue("open_once" if wide else "phone")
    opened.page.evaluate(f"() => {{ {BOARD} Shifts.show(board); }}")
    opened.page.locator("#shifts-figures .plot").first.scroll_into_view_if_needed()
    opened.page.wait_for_selector("#shifts-figures .main-svg")
    found = opened.page.evaluate(PANELS)
    assert len(found["x"]) == len(found["y"]) == 1, "all panels share their axes"
    assert (found["columns"], found["rows"]) == (columns, 8 // columns)
    assert found["titles"][0] == "id_0 (11)"
    assert len(found["titles"]) == 8
    panels = {
        trace.removeprefix("train") for trace in found["traces"] if "train" in trace
    }
    assert len(panels) == 8
    assert len(found["traces"]) == 16
    words = opened.page.inner_text("#shifts-figures figure:first-child > p")
    assert words.endswith("Not measured on ood_none.")


def test_intervals_end_where_their_axis_does(page: tuple[Opened, Report]) -> None:
    opened, _ = page
    opened.see_everything()
    found = opened.page.evaluate(
        """() => {
          const found = [{value: 2, low: 0, high: 3}, {value: 4, low: -1, high: 9e6},
            {value: 3, low: 2, high: 5}, {value: 5, low: null, high: null}];
          const range = Scale.logRange(found);
          const {array, arrayminus} = Scale.bars(found, range);
          const ends = found.map(({value}, i) =>
            [value - arrayminus[i], value + array[i]]);
          const arrows = Scale.arrows(found, [0, 1, 2, 3], range, {along: "x"})[0];
          return {range, ends, symbols: arrows.marker.symbol, x: arrows.x, y: arrows.y,
                  none: Scale.arrows(found.slice(2), [2, 3], range, {})};
        }"""
    )
    low, high = found["range"]
    assert 0.1 < low < 0.2
    assert 50 < high < 80
    expected = [(low, 3), (low, high), (2, 5), (5, 5)]
    for ends, wanted in zip(found["ends"], expected, strict=True):
        assert ends == pytest.approx(wanted)
    assert found["symbols"] == ["triangle-left", "triangle-left", "triangle-right"]
    assert found["x"] == pytest.approx([low, low, high])
    assert found["y"] == [0, 1, 1]
    assert found["none"] == []
    drawn = opened.page.evaluate(
        """() => [...document.querySelectorAll(".plot")].filter(plot => plot.data)
          .flatMap(plot => plot.data.flatMap(trace => ["x", "y"].flatMap(axis => {
            const bar = trace["error_" + axis];
            const {type, range} = plot._fullLayout[axis + "axis"] || {};
            return bar && type === "log" ? trace[axis].map((value, i) =>
              [Math.log10(value - bar.arrayminus[i]) - range[0],
               range[1] - Math.log10(value + bar.array[i])]) : [];
          })))"""
    )
    assert len(drawn) > 8
    assert min(min(ends) for ends in drawn) > -1e-9


def test_a_bar_ends_in_an_arrow_and_holds_every_number(
    page: tuple[Opened, Report],
) -> None:
    opened, _ = page
    bars = opened.page.evaluate(
        """() => {
          const content = document.getElementById("payload").textContent;
          const [stored, wide] = [0, 1].map(() => JSON.parse(content).boards[0]);
          wide.rows.forEach((row, i) => {
            const value = 10 ** i;
            row.cells.id.error = {...row.cells.id.error, value, low: 0, high: 1e9};
          });
          Leaderboard.show(wide);
          const bars = [...document.querySelectorAll("td[data-split=id] .bar")];
          Leaderboard.show(stored);
          return bars.map(one => [one.querySelector("i").className,
                                  parseFloat(one.querySelector("b").style.left)]);
        }"""
    )
    assert {arrows for arrows, _ in bars} == {"down up"}
    places = [place for _, place in bars]
    assert places == sorted(set(places)), "no two numbers share an end of the scale"
    assert 0 < places[0] < places[-1] < 100


def test_ticks_are_round_and_no_more_than_there_is_room_for(
    page: tuple[Opened, Report],
) -> None:
    opened, _ = page
    ticks = opened.page.evaluate(
        """() => [[[0.05, 1.6], 14], [[0.05, 1.6], 5], [[8, 4e4], 4], [[900, 1100], 5],
                  [[1e-6, 1e6], 5]].map(([range, most]) => Scale.ticks(range, most)
                    .map(x => Number(x.toPrecision(6))))"""
    )
    assert ticks[0] == [0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1, 1.5]
    assert ticks[1] == [0.05, 0.1, 0.2, 0.5, 1]
    assert ticks[2] == [10, 100, 1000, 10000]
    assert ticks[3] == [1000]
    assert len(ticks[4]) <= 5


def test_a_long_name_is_shown_whole(page: tuple[Opened, Report]) -> None:
    opened, _ = page
    smiles = "CC(=O)N[C@@H]" * 14
    shown = opened.page.evaluate(
        """smiles => {
          const content = document.getElementById("payload").textContent;
          const board = JSON.parse(content).boards[0];
          for (const one of Object.values(board.worst.structures)) {
            Object.assign(one, {id: smiles, molecule: smiles});
          }
          Errors.show(board);
          const cells = [...document.querySelectorAll("#errors-worst .long")];
          return cells.map(cell => [cell.innerText, cell.scrollWidth - cell.clientWidth]);
        }""",
        smiles,
    )
    assert len(shown) > 10
    assert {text for text, _ in shown} == {smiles}
    assert {hidden for _, hidden in shown} == {0}
    box = opened.page.locator("#errors-worst .scroll")
    assert box.evaluate("one => one.scrollWidth - one.clientWidth") <= 1


def test_tables_have_names_and_headers(page: tuple[Opened, Report]) -> None:
    opened, _ = page
    lacking = opened.page.evaluate(
        """() => ({
          tables: [...document.querySelectorAll("table")].length,
          captions: [...document.querySelectorAll("table > caption")].length,
          scopes: [...document.querySelectorAll("th")].filter(one => !one.scope).length,
          rows: [...document.querySelectorAll("tbody tr")].filter(
            one => !one.querySelector("th[scope=row]")).length,
        })"""
    )
    assert lacking["tables"] == lacking["captions"] > 5
    assert lacking["scopes"] == lacking["rows"] == 0


def test_arrow_keys_turn_a_geometry(page: tuple[Opened, Report]) -> None:
    opened, _ = page
    plot = opened.page.locator(".viewer .plot")
    plot.scroll_into_view_if_needed()
    opened.page.wait_for_selector(".viewer .plot > *")
    if opened.page.locator(".viewer .plot canvas").count() == 0:
        pytest.skip("this browser has no WebGL")
    eye = (
        "one => { const {x, y, z} = one.layout.scene.camera.eye || {}; return [x, y, z] }"
    )
    plot.focus()
    opened.page.keyboard.press("ArrowLeft")
    first = plot.evaluate(eye)
    opened.page.keyboard.press("ArrowUp")
    second = plot.evaluate(eye)
    assert np.linalg.norm(first) == pytest.approx(np.linalg.norm(second), rel=1e-6)
    assert second[2] > first[2]
    assert first[0] != pytest.approx(first[1])


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
