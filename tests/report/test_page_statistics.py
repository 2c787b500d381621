"""The page's JavaScript against Python, in node: the same formulas, the same numbers."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import t

from mlffbench.metrics.intervals.estimates import estimate, gap, paired
from mlffbench.metrics.intervals.holm import adjust
from mlffbench.metrics.metric_card import MetricCard
from mlffbench.metrics.molecules import Molecules
from mlffbench.metrics.samples import Samples
from mlffbench.report.document import compose
from mlffbench.run.folder import RunFolder

NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="node is not installed")
PAGE = Path(__file__).parents[2] / "mlffbench" / "report" / "page"
CARD = MetricCard(unit="eV/Å")


def run_node(names: tuple[str, ...], body: str, content: Any, folder: Path) -> Any:
    """Return what a body of JavaScript returns; `content` is its input."""
    parts = [(PAGE / f"{name}.js").read_text(encoding="utf-8") for name in names]
    script = folder / "check.js"
    (folder / "content.json").write_text(json.dumps(content), encoding="utf-8")
    script.write_text(
        '"use strict";\n'
        + "\n".join(parts)
        + '\nconst content = JSON.parse(require("fs").readFileSync('
        + '__dirname + "/content.json"));\n'
        + f"(async () => {{ {body} }})()"
        + ".then((made) => console.log(JSON.stringify(made)));\n",
        encoding="utf-8",
    )
    done = subprocess.run(
        [str(NODE), str(script)], capture_output=True, text=True, check=True, timeout=120
    )
    return json.loads(done.stdout)


def test_students_t_is_scipys(tmp_path: Path) -> None:
    freedoms = [0.7, 1.0, 2.5, 4.0, 9.3, 37.0, 250.0, 4000.0]
    values = [0.0, 0.3, 1.9, 4.2, 17.0]
    quantiles, tails = run_node(
        ("statistics",),
        "return [content.freedoms.map(Statistics.quantile), content.freedoms.map("
        "(f) => content.values.map((x) => Statistics.twoSided(x, f)))];",
        {"freedoms": freedoms, "values": values},
        tmp_path,
    )
    np.testing.assert_allclose(quantiles, t.ppf(0.975, freedoms), rtol=1e-9)
    expected = 2 * t.sf(np.array(values)[None], np.array(freedoms)[:, None])
    np.testing.assert_allclose(tails, expected, rtol=1e-8)


def test_holm_is_pythons(tmp_path: Path) -> None:
    values = [0.01, None, 0.04, 0.03, 0.005, 0.9]
    found = run_node(
        ("statistics",), "return Statistics.holm(content);", values, tmp_path
    )
    assert found == pytest.approx(adjust(values))


def total(values: np.ndarray, weight: np.ndarray, first: int) -> dict[str, Any]:
    places = list(range(first, first + len(values)))
    sums = (values * weight).tolist()
    return {
        "n": len(values),
        "molecules": places,
        "sums": sums,
        "weights": weight.tolist(),
    }


def case(seed: int) -> tuple[dict[str, Any], Any, Any]:
    """Return two random totals, what Python says of both, and of the first alone."""
    rng = np.random.default_rng(seed)
    n, m = rng.integers(2, 14, size=2).tolist()
    is_pair = bool(seed % 2)
    m = n if is_pair else m
    level, weight = (
        rng.lognormal(sigma=rng.uniform(0.1, 1.5), size=n),
        rng.integers(1, 90, size=n).astype(float),
    )
    other = rng.lognormal(sigma=rng.uniform(0.1, 1.0), size=m)
    if is_pair:
        other *= level
    if seed % 11 == 0:
        level = np.zeros(n)
    theirs = weight if is_pair else rng.integers(1, 90, size=m).astype(float)
    first = 0 if is_pair else int(rng.integers(0, 20))
    a, b = total(level, weight, 0), total(other, theirs, first)
    samples = [
        Samples.of(v, weight=w, evaluated=w > 0)
        for v, w in ((level, weight), (other, theirs))
    ]
    owners = [Molecules.of([f"m{k:02d}" for k in one["molecules"]]) for one in (a, b)]
    compared = (
        paired(*samples, owners[0], card=CARD)
        if is_pair
        else gap(samples[0], owners[0], samples[1], owners[1], card=CARD)
    )
    return (
        {"a": a, "b": b, "paired": is_pair},
        compared,
        estimate(samples[0], owners[0], card=CARD),
    )


def close(theirs: Any, ours: Any) -> None:
    if ours is None:
        assert theirs is None
        return
    for name in ("value", "low", "high", "lowest", "highest", "n", "n_molecules"):
        expected, found = getattr(ours, name), theirs.get(name)
        if expected is None:
            assert found is None, name
        else:
            assert found == pytest.approx(expected, rel=1e-7, abs=1e-12), name


def test_every_comparison_is_pythons(tmp_path: Path) -> None:
    cases = [case(seed) for seed in range(600)]
    found = run_node(
        ("statistics", "interval"),
        "const name = (i) => `m${String(i).padStart(2, '0')}`; return content.map((one) "
        "=> [Interval.compare(one.a, one.b, one.paired, name), Interval.metric(one.a)]);",
        [one for one, _, _ in cases],
        tmp_path,
    )
    said = set()
    for (_, ours, single), (theirs, metric) in zip(cases, found, strict=True):
        close(theirs["difference"], ours.difference)
        close(theirs["ratio"], ours.ratio)
        close(metric, single)
        assert theirs["verdict"] == ours.verdict
        assert theirs["reason"] == ours.reason
        if ours.p_value is None:
            assert theirs["p_value"] is None
        else:
            close_to = pytest.approx(ours.p_value, rel=1e-6, abs=1e-14)
            assert theirs["p_value"] == close_to
        said.add((ours.verdict, ours.reason[:10]))
    assert len(said) > 5


def test_the_page_recomputes_what_python_stored(
    shared_runs: list[RunFolder], tmp_path: Path
) -> None:
    page = compose([shared_runs[0].path.parents[2]], "html").text
    start = page.index('id="payload">') + len('id="payload">')
    board = json.loads(page[start : page.index("</script>", start)])["boards"][0]
    found = run_node(
        ("statistics", "interval", "recompute"),
        "const elements = new Set(content.cells.elements);"
        "return (await Recompute.compute(content, {elements, rows: null}, "
        "async () => {})).rows;",
        board,
        tmp_path,
    )
    seen = 0
    for row, again in zip(board["rows"], found, strict=True):
        for split, cell in row["cells"].items():
            theirs = again["cells"][split]
            for name in ("error", "gap", "ratio", "difference", "to_baseline"):
                if cell[name] is None:
                    assert theirs.get(name) is None
                    continue
                for end in ("value", "low", "high", "lowest", "highest"):
                    expected = cell[name][end]
                    if expected is None:
                        assert theirs[name].get(end) is None, (split, name, end)
                    else:
                        close_to = pytest.approx(expected, rel=1e-4, abs=1e-6)
                        assert theirs[name][end] == close_to, (split, name, end)
                        seen += 1
            assert theirs["leading"] == cell["leading"]
            assert theirs.get("verdict", "") == cell["verdict"]
            if cell["adjusted_p"] is None:
                assert theirs.get("adjusted_p") is None
            else:
                close_to = pytest.approx(cell["adjusted_p"], rel=1e-3, abs=1e-9)
                assert theirs["adjusted_p"] == close_to
    assert seen > 50
