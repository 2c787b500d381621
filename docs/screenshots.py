"""Take the pictures of a report that the documents show.

Needs playwright and chromium (``apt-get install chromium``).

Usage: python docs/screenshots.py RUNS
"""

import io
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from mlffbench.report.document import write_report

HERE = Path(__file__).parent
MARGIN, N_COLOURS = 12, 200
DESK = {"width": 1400, "height": 900}
PHONE = {"width": 375, "height": 760}
DISTANCE = "#shifts-controls label:nth-child(2) select"
HISTOGRAM = "#shifts-figures figure:first-child"
ON_A_PHONE = (
    "#board-table",
    HISTOGRAM,
    "#modes-figures figure:first-child",
    ".worst .scroll",
)
MOST_BYTES = 150_000


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        report = Path(folder) / "report.html"
        write_report([Path(sys.argv[1])], report)
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--enable-unsafe-swiftshader"],
        )
        with opened(browser, report, DESK, "light") as page:
            keep(taken(page, "#board-table"), "report_leaderboard.png")
            keep(taken(page, "#modes-figures figure:first-child"), "report_forest.png")
            keep(taken(page, HISTOGRAM), "report_histogram.png")
        with opened(browser, report, DESK, "dark") as page:
            keep(taken(page, "#errors"), "report_dark.png")
        with opened(browser, report, PHONE, "light") as page:
            keep(beside([taken(page, one) for one in ON_A_PHONE]), "report_phone.png")
        browser.close()


@contextmanager
def opened(
    browser: Browser, report: Path, size: dict[str, int], scheme: str
) -> Iterator[Page]:
    """Open a report on a screen of some size, by day or by night."""
    page = browser.new_page(viewport=size, color_scheme=scheme)
    page.goto(report.as_uri())
    # the bar with the parts would stand in the picture
    page.add_style_tag(content="nav { visibility: hidden }")
    page.locator(DISTANCE).select_option(label=distance(page))
    yield page
    page.close()


def distance(page: Page) -> str:
    """Return the distance to show: the embedding's, where there is one."""
    labels: list[str] = page.locator(f"{DISTANCE} option").all_inner_texts()
    wanted = [
        label for label in labels if label.startswith("embedding distance, nearest")
    ]
    return (wanted or labels)[0]


def taken(page: Page, selector: str) -> Image.Image:
    """Return a picture of an element, and of what it holds drawn, with some margin."""
    page.locator(selector).scroll_into_view_if_needed()
    for plot in page.locator(f"{selector} .plot").all():
        plot.scroll_into_view_if_needed()
    page.wait_for_timeout(1500)
    box = page.locator(selector).bounding_box()
    if box is None:
        msg = f"the report shows no {selector}"
        raise SystemExit(msg)
    left, top = page.evaluate("[window.scrollX, window.scrollY]")
    clip = {
        "x": max(0, box["x"] + left - MARGIN),
        "y": max(0, box["y"] + top - MARGIN // 3),
        "width": box["width"] + 2 * MARGIN,
        "height": box["height"] + MARGIN,
    }
    return Image.open(io.BytesIO(page.screenshot(clip=clip, full_page=True)))


def beside(pictures: list[Image.Image]) -> Image.Image:
    """Return pictures of phone screens side by side, each cut where its screen ends."""
    height, width = PHONE["height"], PHONE["width"]
    sheet = Image.new("RGB", (len(pictures) * (width + MARGIN), height), "#b9bec4")
    for place, picture in enumerate(pictures):
        screen = Image.new(
            "RGB", (width, height), picture.convert("RGB").getpixel((0, 0))
        )
        screen.paste(picture, ((width - picture.width) // 2, 0))
        sheet.paste(screen, (place * (width + MARGIN) + MARGIN // 2, 0))
    return sheet


def keep(picture: Image.Image, name: str) -> None:
    """Write a picture of few colours beside this script."""
    path = HERE / name
    picture.convert("RGB").quantize(N_COLOURS).save(path, optimize=True)
    size = path.stat().st_size
    print(f"wrote {name}, {size // 1000} kB")
    if size > MOST_BYTES:
        msg = f"{name} is larger than {MOST_BYTES // 1000} kB"
        raise SystemExit(msg)


if __name__ == "__main__":
    main()
