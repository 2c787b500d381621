"""Received run: the run folder of an export, looked through before it is read."""

import json
import zipfile
from collections.abc import Collection
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from mlffbench.core.errors import BenchError, StoreError, first_fault
from mlffbench.core.guards.archives import ARCHIVE_FAULTS
from mlffbench.core.guards.sizes import check_packing, read_text
from mlffbench.publish.run_shape import RunShape, once
from mlffbench.run.checksums import read_checksums
from mlffbench.run.folder import RunFolder
from mlffbench.run.shards.npz_rows import npz_rows

ARRAYS = ("predictions.parquet", "forces.npz", "reference.npz", "structures.npz")
"""What is left out where records are all that is published."""
_MEMBERS = {
    "forces.npz": {"forces"},
    "reference.npz": {"forces", "energy"},
    "structures.npz": {
        *("positions", "numbers", "cell", "pbc", "multiplicity", "smiles"),
    },
}
"""The arrays of each file."""
_OWNERS = ("--overwrite", "mlffbench score ", "repeat its command")
"""Advice that only who made a run can follow."""
_IN_RUN = frozenset(
    {*ARRAYS, "run.json", "records.jsonl", "alignment.json", "sha256sums"}
)


def check_run(folder: Path, *, predictions: bool) -> None:
    """Check what the files of a run claim before any is unpacked.

    Raises:
        BenchError: It has not finished, or claims more than it holds.
    """
    if (read_checksums(folder) or {}).keys() != files_of_run(predictions=predictions) - {
        "sha256sums"
    }:
        msg = f"{folder / 'sha256sums'} does not name the files of its run"
        raise damaged(msg)
    manifest = RunFolder(folder).read_finished("run")
    check_keys(folder / "run.json", read_text(folder / "run.json"))
    try:
        shape = RunShape.model_validate(manifest)
    except ValidationError as error:
        msg = f"{folder / 'run.json'} is not what a run writes: {first_fault(error)}"
        raise damaged(msg) from error
    if not predictions:
        return
    try:
        for name in ARRAYS[1:]:
            with zipfile.ZipFile(folder / name) as archive:
                check_members(archive, folder / name, _MEMBERS[name])
        with npz_rows(folder / "reference.npz") as arrays:
            n_held = arrays.length("energy")
        with (folder / ARRAYS[0]).open("rb") as table:  # its name need not be UTF-8
            n_rows = pq.read_metadata(table).num_rows
        expected = sum(split.n_chosen for split in shape.splits)
    except BenchError:
        raise
    except (*ARCHIVE_FAULTS, pa.ArrowException) as error:
        msg = f"the files in {folder} cannot be read ({error})"
        raise damaged(msg) from error
    if not n_rows == n_held == expected:
        msg = f"{folder} holds {n_rows} predictions and {n_held} references, its splits "
        raise damaged(msg + f"have {expected}")


def check_members(archive: zipfile.ZipFile, file: Path, members: Collection[str]) -> None:
    """Check that an archive holds the arrays it should, once each, and not too much.

    Args:
        archive: The archive, open.
        file: What a message calls it.
        members: Names of the arrays.

    Raises:
        StoreError: It holds others.
        DataError: It would unpack into too much.
    """
    names = [member.filename.removesuffix(".npy") for member in archive.infolist()]
    if sorted(names) != sorted(members):
        odd = sorted(set(names) ^ set(members)) or sorted(names)
        msg = f"{file} does not hold the arrays of a run, once each (see {odd[0]!r:.60})"
        raise damaged(msg)
    for member in archive.infolist():
        where = f"{file}, {member.filename}"
        check_packing(member.file_size, member.compress_size, where)


def check_keys(path: Path, text: str) -> None:
    """Check that no key of a JSON file stands there twice.

    Raises:
        StoreError: One does, or it is no JSON.
    """
    try:
        json.loads(text, object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        msg = f"{path} is damaged: {error}"
        raise damaged(msg) from error


def as_received(error: StoreError) -> StoreError:
    """Return what is wrong with a run for who cannot run it again."""
    text = str(error)
    places = [text.find(word) for word in _OWNERS if word in text]
    # the last of them may be words of a command that somebody else wrote
    return damaged(text[: min(places)].rpartition("; ")[0] or text) if places else error


def files_of_run(*, predictions: bool) -> frozenset[str]:
    """Return the names of the files of a run in an export.

    Args:
        predictions: Whether its predictions, references and structures are there.
    """
    return _IN_RUN if predictions else _IN_RUN - {*ARRAYS}


def damaged(what: str) -> StoreError:
    """Return the sentence for what was not received as it was sent."""
    return StoreError(f"{what}; ask for it or fetch it again")
