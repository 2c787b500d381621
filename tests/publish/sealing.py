"""What a forger does: changes an export and writes its checksums anew."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def seal_again(export: Path) -> None:
    """Write every checksum of an export as its files are now."""
    for sums in export.glob("runs/**/sha256sums"):
        names = [line[66:] for line in sums.read_text().splitlines()]
        there = [name for name in names if (sums.parent / name).exists()]
        sums.write_text("".join(f"{sha256(sums.parent / n)}  {n}\n" for n in there))
    files = [p for p in sorted(export.rglob("*")) if p.is_file()]
    top = export / "sha256sums"
    lines = [
        f"{sha256(p)}  {p.relative_to(export).as_posix()}\n" for p in files if p != top
    ]
    top.write_text("".join(lines))


def change_records(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Pass every record of a run through a function that changes it."""
    path = folder / "records.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    for record in records:
        change(record)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
