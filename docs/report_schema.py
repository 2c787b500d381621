"""Write the schema of the JSON report, one file per version.

Usage: python docs/report_schema.py
"""

import json
from pathlib import Path

from mlffbench.report.schema import REPORT_VERSION, schema

FOLDER = Path(__file__).parent / "schema"


def main() -> None:
    path = FOLDER / f"report-v{REPORT_VERSION}.json"
    path.write_text(json.dumps(schema(), indent=2, ensure_ascii=False) + "\n")
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
