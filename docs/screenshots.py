"""Take the pictures of a report that the documents show.

Needs playwright and chromium (``apt-get install chromium``).

Usage: python docs/screenshots.py RUNS
"""

import io
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from mlffbench.report.document import write_report

HERE = Path(__file__).parent
WIDTH, MARGIN, N_COLOURS = 1200, 12, 48
DISTANCE = "#shifts-controls label:nth-child(2) select"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        report = Path(folder) / "report.html"
        write_report([Path(sys.argv[1])], report)
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": WIDTH, "height": 900})
        page.goto(report.as_uri())
        take(page, "#board-table", "report_leaderboard.png")
        take(page, "#modes-figures figure:first-child", "report_forest.png")
        page.locator(DISTANCE).select_option(label=distance(page))
        take(page, "#shifts-figures figure:first-child", "report_histogram.png")
        browser.close()


def distance(page: Page) -> str:
    """Return the distance to show: the embedding's, where there is one."""
    labels: list[str] = page.locator(f"{DISTANCE} option").all_inner_texts()
    wanted = [
        label for label in labels if label.startswith("embedding distance, nearest")
    ]
    return (wanted or labels)[0]


def take(page: Page, selector: str, name: str) -> None:
    """Write a picture of an element with some paper around it."""
    page.locator(selector).scroll_into_view_if_needed()
    page.wait_for_timeout(1500)
    box = page.locator(selector).bounding_box()
    if box is None:
        msg = f"the report shows no {selector}"
        raise SystemExit(msg)
    left, top = page.evaluate("[window.scrollX, window.scrollY]")
    clip = {
        "x": max(0, box["x"] + left - MARGIN),
        "y": max(0, box["y"] + top - MARGIN),
        "width": min(box["width"] + 2 * MARGIN, WIDTH),
        "height": box["height"] + MARGIN,
    }
    # the bar with the parts would stand in the picture
    page.add_style_tag(content="nav { visibility: hidden }")
    taken = Image.open(io.BytesIO(page.screenshot(clip=clip, full_page=True)))
    taken.convert("RGB").quantize(N_COLOURS).save(HERE / name, optimize=True)
    print(f"wrote {name}, {(HERE / name).stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
