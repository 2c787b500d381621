"""Put the force table of the runs in a folder into README.md.

Usage: python docs/readme_table.py RUNS
"""

import sys
from pathlib import Path

from mlffbench.report.document import records_by_suite
from mlffbench.report.render import to_markdown
from mlffbench.report.tables import force_table
from mlffbench.run.store import find_runs

README = Path(__file__).parent.parent / "README.md"
START, END = "<!-- table -->\n", "<!-- end -->"


def main() -> None:
    (records,) = records_by_suite(find_runs([Path(sys.argv[1])])).values()
    table = to_markdown(force_table(records)).partition("\n")[2].strip()
    text = README.read_text(encoding="utf-8")
    before, _, rest = text.partition(START)
    README.write_text(f"{before}{START}\n{table}\n\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
