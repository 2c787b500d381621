"""Put numbers of the runs in a folder into README.md and all into docs/results.md.

README shows one column per run of `SHOWN`, so that it fits 80 characters; docs/results.md
all runs, with the radii and the energies.

Usage: python docs/readme_table.py RUNS
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from mlffbench.core.record import Record
from mlffbench.report.document import records_by_suite
from mlffbench.report.tables.display_units import with_interval
from mlffbench.report.tables.record_tables import energy_table, force_table, radius_table
from mlffbench.report.tables.render import to_markdown
from mlffbench.run.folder import find_runs

HERE = Path(__file__).parent
README, RESULTS = HERE.parent / "README.md", HERE / "results.md"
START, END = "<!-- table -->\n", "<!-- end -->"
SHOWN = {
    ("gfn2-xtb", "baseline"): "gfn2-xtb",
    ("mini-mace", "baseline"): "mini-mace",
    ("mini-mace", "ttt"): "mini-mace ttt",
}
"""Model and mode -> heading."""


def readme_table(records: Sequence[Record]) -> str:
    """Return the force MAE of a few runs by split, ID first."""
    cells: dict[str, dict[str, str]] = {}
    for record in sorted(records, key=lambda record: not record.role.startswith("id")):
        heading = SHOWN.get((record.model, record.mode))
        if heading is not None:
            error = record.metrics["forces_mae"]
            row = cells.setdefault(record.split, {"mol.": str(error.n_molecules)})
            if row["mol."] != str(error.n_molecules):
                msg = f"{record.split}: not every model evaluated the same molecules"
                raise SystemExit(msg)
            row[heading] = with_interval(error, "meV")
    columns = ["mol.", *SHOWN.values()]
    lines = [["split", *columns], ["---", *["---:"] * len(columns)]]
    lines += [[split, *(row[name] for name in columns)] for split, row in cells.items()]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    (records,) = records_by_suite(find_runs([Path(sys.argv[1])])).values()
    text = README.read_text(encoding="utf-8")
    before, _, rest = text.partition(START)
    after = rest.partition(END)[2]
    README.write_text(f"{before}{START}\n{readme_table(records)}\n\n{END}{after}")
    tables = [force_table(records), radius_table(records), energy_table(records)]
    intro = (
        "# Results on mini-ood\n\nMade by `make demo`; `python docs/readme_table.py runs`"
    )
    parts = [f"{intro} writes this page.", *map(to_markdown, tables)]
    RESULTS.write_text("\n\n".join(part.strip() for part in parts) + "\n")


if __name__ == "__main__":
    main()
