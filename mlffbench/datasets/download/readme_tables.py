"""The tables of data/README.md, made from the rows they describe.

``python -m mlffbench.datasets.download.readme_tables data/README.md`` writes them anew.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from mlffbench.core.errors import DataError
from mlffbench.core.files import write_atomic
from mlffbench.datasets.download.claims import Download, RemoteFile
from mlffbench.datasets.download.table import DOWNLOADS

START, END = "<!-- downloads -->", "<!-- end of downloads -->"


def with_tables(page: str) -> str:
    """Return a page with the tables of downloads between its two marks.

    Raises:
        DataError: The page does not hold both marks, once each.
    """
    if page.count(START) != 1 or page.count(END) != 1:
        msg = f"the page must hold {START} and {END}, once each"
        raise DataError(msg)
    before, _, rest = page.partition(START)
    _, _, after = rest.partition(END)
    return f"{before}{START}\n\n{tables()}\n{END}{after}"


def tables() -> str:
    """Return the table of downloads and that of their files, in Markdown."""
    return "\n".join([*_rows(), "", *_file_rows(), ""])


def _rows() -> Iterator[str]:
    yield _line(
        "download", "what it is", "source", "licence", "level of theory", "units",
        "charges", "layout", "citation",
    )  # fmt: skip
    yield _line(*["---"] * 9)
    for key, row in DOWNLOADS.items():
        yield _line(
            f"`{key}`", row.summary, row.source, row.licence, row.level_of_theory,
            row.units, row.charges, f"`{row.layout}`", row.citation,
        )  # fmt: skip


def _file_rows() -> Iterator[str]:
    yield _line("file", "size", "checksum", "who says so", "addresses")
    yield _line("---", "---:", "---", "---", "---")
    for key, row in DOWNLOADS.items():
        if not row.files:
            yield _line(f"`{key}`", "–", "–", _listing(row), row.source)
        for file in row.files:
            checksum = f"`{file.checksum}`" if file.checksum else "–"
            name = f"`{key}/{file.part}`" if file.part else f"`{key}`"
            yield _line(
                f"{name} {file.name}", _size(file), checksum, file.claim,
                " ".join(file.urls),
            )  # fmt: skip


def _listing(row: Download) -> str:
    return f"{row.repository} on Hugging Face lists its files when it is asked"


def _size(file: RemoteFile) -> str:
    if file.size is not None:
        return f"{file.size:,}"
    return file.size_in_words if file.about else "–"


def _line(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


if __name__ == "__main__":
    PAGE = Path(sys.argv[1])
    write_atomic(PAGE, with_tables(PAGE.read_text(encoding="utf-8")).encode())
