"""Every colour of the page can be read on what it stands on, by day and by night."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "mlffbench" / "report" / "page"
SHEET = (PAGE / "report.css").read_text(encoding="utf-8")
THEMES = {"light": ":root {", "dark": ':root[data-theme="dark"] {'}
READABLE, VISIBLE = 4.5, 3.0
"""WCAG 2.2: least contrast of text, and of the lines and points of a figure."""


def colours(theme: str) -> dict[str, str]:
    block = SHEET.partition(THEMES[theme])[2].partition("}")[0]
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", block))


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("ground", ["paper", "panel", "tint", "warn-tint"])
@pytest.mark.parametrize("ink", ["ink", "soft", "accent", "warn", "bad", "good"])
def test_text_is_readable(theme: str, ground: str, ink: str) -> None:
    found = colours(theme)
    assert contrast(found[ink], found[ground]) >= READABLE


@pytest.mark.parametrize("theme", THEMES)
def test_figures_are_visible(theme: str) -> None:
    found = colours(theme)
    script = (PAGE / "figure.js").read_text(encoding="utf-8")
    line = re.search(rf"{theme}: \[(.+)\]", script)
    assert line is not None
    series = re.findall(r"#[0-9a-f]{6}", line[1])
    assert len(set(series)) == 8
    for colour in (*series, found["train-line"]):
        assert contrast(colour, found["paper"]) >= VISIBLE, colour


def test_black_on_white_is_21() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
