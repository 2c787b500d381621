"""Split files: which structures a split holds, with its rule in words and a checksum.

A folder of splits holds ``splits.json``, every split with its rule and checksums, and one
parquet table of ids and rows per split. What a split was made from is written down: when
a data file or a rule changes, the splits are made again.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mlffbench.core.errors import DataError
from mlffbench.core.files import make_folder, sha256_of, write_atomic
from mlffbench.core.split import Shift, Source, Split

VERSION = 1
_NOTE = "splits.json"


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """A split and the name of its source."""

    source: str
    split: Split


def kept_splits(
    folder: Path,
    sources: Mapping[str, Source],
    made_from: Mapping[str, Any],
    carve: Callable[[], Sequence[Cut]],
) -> tuple[Split, ...]:
    """Return the splits of a folder, carved and written first where need be.

    Args:
        folder: Where split files are kept.
        sources: Name -> source of the structures.
        made_from: Everything the splits depend on.
        carve: Makes the splits.

    Raises:
        DataError: A split file was changed by hand, or carving found fault with the data.
        StoreError: The folder cannot be written.
    """
    facts = json.loads(json.dumps({**made_from, "split_files": VERSION}))
    note = _read(folder / _NOTE)
    if note is None or note.get("made_from") != facts:
        _write(folder, carve(), facts)
        note = _read(folder / _NOTE)
    if note is None:
        msg = f"{folder / _NOTE} cannot be read; delete the folder {folder}, then repeat "
        raise DataError(msg + "the command")
    return tuple(_load(folder, entry, sources) for entry in note["splits"])


def _write(folder: Path, cuts: Sequence[Cut], made_from: Mapping[str, Any]) -> None:
    make_folder(folder)
    entries = []
    for cut in cuts:
        split = cut.split
        name = f"{split.name}.{split.role}.parquet"
        table = pa.table({"id": split.ids, "row": split.rows, "molecule": split.groups})
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        content = sink.getvalue().to_pybytes()
        write_atomic(folder / name, content)
        entries.append(
            {
                "name": split.name,
                "role": split.role,
                "source": cut.source,
                "rule": split.rule,
                "shift": split.shift.kind if split.shift else None,
                "shift_rule": split.shift.rule if split.shift else None,
                "shares_molecules": split.shares_molecules,
                "control": split.control,
                "n_structures": len(split.rows),
                "n_molecules": len(set(split.groups)),
                "ids_sha256": split.sha256,
                "file": name,
                "file_sha256": hashlib.sha256(content).hexdigest(),
            }
        )
    note = {"made_from": made_from, "splits": entries}
    text = json.dumps(note, indent=1, ensure_ascii=False)
    write_atomic(folder / _NOTE, text.encode())  # last: it says that all is there


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _load(folder: Path, entry: Mapping[str, Any], sources: Mapping[str, Source]) -> Split:
    path = folder / entry["file"]
    if sha256_of(path) != entry["file_sha256"]:
        msg = f"{path} is not the split that was made; delete the folder {folder}, then "
        raise DataError(msg + "repeat the command")
    rows = pq.read_table(path, columns=["row"])["row"].to_numpy()
    kind = entry["shift"]
    return Split(
        name=entry["name"],
        role=entry["role"],
        source=sources[entry["source"]],
        rows=np.asarray(rows, dtype=np.int64),
        rule=entry["rule"],
        shift=Shift(kind, entry["shift_rule"]) if kind else None,
        shares_molecules=entry["shares_molecules"],
        control=entry["control"],
    )
