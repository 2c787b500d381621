"""Put the force tables of the runs in a folder into README.md and docs/results.md.

README shows two models, docs/results.md all of them, with the radii and the energies.

Usage: python docs/readme_table.py RUNS
"""

import sys
from pathlib import Path

from mlffbench.core.record import Record
from mlffbench.report.document import records_by_suite
from mlffbench.report.tables.record_tables import energy_table, force_table, radius_table
from mlffbench.report.tables.render import to_markdown
from mlffbench.run.folder import find_runs

HERE = Path(__file__).parent
README, RESULTS = HERE.parent / "README.md", HERE / "results.md"
START, END = "<!-- table -->\n", "<!-- end -->"
SHOWN = {("gfn2-xtb", "baseline"), *(("mini-mace", m) for m in ("baseline", "rr", "ttt"))}


def text_of(records: list[Record]) -> str:
    """Return the force table without its title."""
    return to_markdown(force_table(records)).partition("\n")[2].strip()


def main() -> None:
    (records,) = records_by_suite(find_runs([Path(sys.argv[1])])).values()
    few = [record for record in records if (record.model, record.mode) in SHOWN]
    text = README.read_text(encoding="utf-8")
    before, _, rest = text.partition(START)
    after = rest.partition(END)[2]
    README.write_text(f"{before}{START}\n{text_of(few)}\n\n{END}{after}")
    tables = [force_table(records), radius_table(records), energy_table(records)]
    intro = (
        "# Results on mini-ood\n\nMade by `make demo`; `python docs/readme_table.py runs`"
    )
    parts = [f"{intro} writes this page.", *map(to_markdown, tables)]
    RESULTS.write_text("\n\n".join(part.strip() for part in parts) + "\n")


if __name__ == "__main__":
    main()
