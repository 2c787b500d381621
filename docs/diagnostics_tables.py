"""Put the tables of docs/diagnostics.md, and its figures, where they belong.

Usage: mlffbench run --suite mini-ood --mode baseline,ttt --out RUNS
       python docs/diagnostics_tables.py RUNS
"""

import sys
from dataclasses import replace
from pathlib import Path

from mlffbench.diagnostics.diagnosis import Diagnosis
from mlffbench.diagnostics.figures import draw
from mlffbench.report.tables.record_tables import TextTable
from mlffbench.report.tables.render import to_markdown
from mlffbench.report.tables.shift_tables import ranking_table, shift_table

HERE = Path(__file__).parent
PAGE = HERE / "diagnostics.md"
START, END = "<!-- tables -->\n", "<!-- end -->"
SHOWN = ("embedding_knn", "prior_gap", "spectral_gap")


def main() -> None:
    runs = Path(sys.argv[1]) / "mini-ood"
    folders = [runs / model / "baseline" for model in ("mini-mace", "mini-schnet")]
    found = [Diagnosis.read(folder / "diagnostics.json") for folder in folders]
    tables = [_telling(shift_table(found[0])), _telling(_beside(found))]
    # the page explains the columns once, in its own words
    text = "\n".join(to_markdown(t).partition("\n- ")[0].strip() + "\n" for t in tables)
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(START)
    text = text.replace("## ", "### ")
    PAGE.write_text(f"{before}{START}\n{text}\n{END}{rest.partition(END)[2]}")
    for one in found[0].diagnostics:
        if one.name in SHOWN:
            (HERE / f"diagnostics_{one.name}.png").write_bytes(draw(found[0], one))


def _telling(table: TextTable) -> TextTable:
    """Return a table without the rows that say nothing, those of neutral molecules."""
    rows = tuple(row for row in table.rows if row[0] != "charge")
    return replace(table, rows=rows)


def _beside(found: list[Diagnosis]) -> TextTable:
    """Return the rankings of several models beside each other, as the first ranks."""
    made = [ranking_table(one) for one in found]
    cells = [{row[0]: row[2:] for row in table.rows} for table in made]
    rows = [
        (
            *row[:2],
            " / ".join(dict.fromkeys(one[row[0]][0] for one in cells)),
            *(cell for one in cells for cell in one[row[0]][2:4]),
        )
        for row in made[0].rows
    ]
    models = [f"{what}, {one.model}" for one in found for what in ("ρ", "AUROC worst")]
    columns = (*made[0].columns[:3], *models)
    title = f"{len(found)} models: which diagnostic predicts the error"
    return TextTable(title, columns, tuple(rows), frozenset(), ("end",))


if __name__ == "__main__":
    main()
