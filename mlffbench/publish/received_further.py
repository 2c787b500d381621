"""Received further: a simulation or a fine-tuning curve of an export, looked through.

What is published of them are the numbers that their records come from: of a simulation a
row per trajectory and its h(r), of a curve the error of each structure. Neither holds a
structure, a trajectory, a label or a weight.
"""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import ValidationError

from mlffbench.core.errors import BenchError, first_fault
from mlffbench.core.guards import caps
from mlffbench.core.guards.archives import ARCHIVE_FAULTS
from mlffbench.core.guards.sizes import read_text
from mlffbench.publish.received_run import check_keys, check_members, damaged
from mlffbench.publish.run_shape import CurveShape, FurtherShape, SimulationShape
from mlffbench.run.checksums import read_checksums
from mlffbench.run.curve.curve_score import ERRORS, ERRORS_MEMBERS
from mlffbench.run.folder import CURVE, SIMULATION, RunFolder
from mlffbench.run.simulate.reference_distances import DENSITIES, THERMO
from mlffbench.run.simulate.simulation_score import TRAJECTORIES

MOST_ROWS = 1_000_000
"""Trajectories of a simulation."""


@dataclass(frozen=True, slots=True)
class FurtherKind:
    """A kind of folder that is no run.

    Attributes:
        what: What messages call it.
        manifest_name: Of its file of manifest.
        tables: Its tables, which have a row per trajectory.
        archives: Its archives, and the arrays of each.
        shape: What its manifest must be.
    """

    what: str
    manifest_name: str
    tables: tuple[str, ...]
    archives: tuple[tuple[str, frozenset[str]], ...]
    shape: type[FurtherShape]

    @property
    def files(self) -> frozenset[str]:
        """The names of its files in an export."""
        arrays = (name for name, _ in self.archives)
        always = ("records.jsonl", "sha256sums", self.manifest_name)
        return frozenset({*always, *self.tables, *arrays})


SIMULATIONS = FurtherKind(
    what="simulation",
    manifest_name=SIMULATION,
    tables=(TRAJECTORIES,),
    archives=((THERMO, frozenset({DENSITIES})),),
    shape=SimulationShape,
)
CURVES = FurtherKind(
    what="curve",
    manifest_name=CURVE,
    tables=(),
    archives=((ERRORS, frozenset(ERRORS_MEMBERS)),),
    shape=CurveShape,
)


def check_further(folder: Path, kind: FurtherKind) -> None:
    """Check what the files of a simulation or a curve claim before any is unpacked.

    Raises:
        BenchError: It has not finished, or claims more than it holds.
    """
    named = (read_checksums(folder) or {}).keys()
    if named != kind.files - {"sha256sums"}:
        msg = f"{folder / 'sha256sums'} does not name the files of its {kind.what}"
        raise damaged(msg)
    path = folder / kind.manifest_name
    manifest = RunFolder(folder, kind.manifest_name).read_finished(kind.what)
    check_keys(path, read_text(path))
    try:
        shape = kind.shape.model_validate(manifest)
    except ValidationError as error:
        msg = f"{path} is not what a {kind.what} writes: {first_fault(error)}"
        raise damaged(msg) from error
    try:
        for name, members in kind.archives:
            with zipfile.ZipFile(folder / name) as archive:
                check_members(archive, folder / name, members)
        for name in kind.tables:
            _check_rows(folder / name, shape.n_rows)
    except BenchError:
        raise
    except (*ARCHIVE_FAULTS, pa.ArrowException) as error:
        msg = f"the files in {folder} cannot be read ({error})"
        raise damaged(msg) from error


def _check_rows(path: Path, expected: int) -> None:
    """Check that a table has a row per trajectory, and that no text fills the memory.

    Raises:
        BenchError: It has others, or claims too much.
    """
    with path.open("rb") as file:  # its name need not be UTF-8
        schema, n_rows = pq.read_schema(file), pq.read_metadata(file).num_rows
        if n_rows != expected:
            msg = f"{path.parent} holds {n_rows} trajectories, its simulation has "
            raise damaged(msg + f"{expected}")
        if n_rows > MOST_ROWS or any(pa.types.is_nested(kind) for kind in schema.types):
            msg = f"{path} claims {n_rows:,} trajectories, or several values in a cell"
            raise damaged(msg)
        texts = [one.name for one in schema if not pa.types.is_primitive(one.type)]
        packed = pq.read_table(file, columns=texts, read_dictionary=texts)
    n_bytes = sum(map(_bytes_of_texts, packed.columns))
    if n_bytes > caps.LARGEST_TEXTS:
        msg = f"{path} would unpack into {n_bytes:,} bytes of text, which none has"
        raise damaged(msg)


def _bytes_of_texts(column: Any) -> int:
    """Return the bytes of a column whose texts are packed in a dictionary."""
    return sum(
        int(pc.sum(pc.binary_length(one.dictionary).take(one.indices)).as_py() or 0)
        for one in column.chunks
    )
