"""Copy of a run: what is published of it, packed, and its records from that alone."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlffbench.core.errors import StoreError
from mlffbench.core.files import make_folder
from mlffbench.core.record import Record
from mlffbench.publish.export_folder import is_export
from mlffbench.publish.private import bare, told
from mlffbench.publish.published_manifest import published
from mlffbench.publish.received_run import ARRAYS
from mlffbench.publish.same_numbers import difference_of
from mlffbench.run.checksums import verify
from mlffbench.run.evaluate.evaluation_score import score_run
from mlffbench.run.folder import (
    RunFolder,
    read_arrays,
    run_folder,
    suite_folder,
    write_arrays,
    write_table,
)


def copy_run(run: RunFolder, out: Path) -> RunFolder:
    """Write what is published of a run, without its records.

    Raises:
        StoreError: It has not finished, or is damaged.
    """
    manifest = published(run.read_finished("run"))
    if not (run.path / ARRAYS[0]).exists() and is_export(run.path.parents[3]):
        msg = f"{run.path} is of an export with records only, which cannot be scored; "
        raise StoreError(msg + "export the run that it was made from")
    job, mode = manifest["job"], manifest["mode"]["name"]
    suite = suite_folder(bare(job["suite"]), half=job["half"], limit=job.get("limit"))
    copy = run_folder(out, suite.replace("/", "-"), job["model"], mode)
    if copy.path.exists():
        return copy
    make_folder(copy.path)
    table = run.read_table()
    table["reason"] = table["reason"].map(told)
    write_table(copy.path / ARRAYS[0], table)
    for name in ARRAYS[1:]:
        write_arrays(copy.path / name, read_arrays(run.path / name), packed=True)
    copy.complete(manifest)
    return copy


def score_copy(run: RunFolder, copy: RunFolder) -> None:
    """Score what is published, and compare it with the records of the run.

    Raises:
        StoreError: They differ.
    """
    verify(run.path)
    scored = score_run(copy)
    different = difference_of(numbers_of(run.read_records()), numbers_of(scored.records))
    if different:
        msg = f"the records of {run.path} are not what its predictions give "
        msg += f"({different}); run first: mlffbench score {run.path}"
        raise StoreError(msg)
    copy.write_records(scored.records)
    copy.write_alignment(scored.shifts)


def numbers_of(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Return records without the texts in which paths may stand."""
    left_out = {"provenance", "model", "mode", "suite", "prior", "notes", "counts"}
    return [
        {
            **without_oracle(record).model_dump(mode="json", exclude=left_out),
            "counts": record.counts.model_dump(exclude={"reasons"}),
        }
        for record in records
    ]


def without_oracle(record: Record) -> Record:
    """Return a record without what the oracle says, which lies beside the runs."""
    if record.radius is None:
        return record
    radius = record.radius.model_copy(update={"headroom": None, "captured": None})
    return record.model_copy(update={"radius": radius})


def drop_arrays(copy: RunFolder) -> None:
    """Leave only the records of a run, and say so in its manifest."""
    manifest = {**copy.read_manifest(), "published": "records only"}
    records, shifts = copy.read_records(), (copy.path / "alignment.json").read_text()
    for name in ARRAYS:
        (copy.path / name).unlink()
    copy.complete(manifest)
    copy.write_records(records)
    copy.write_alignment(json.loads(shifts))
