"""Received further: a simulation or a fine-tuning curve of an export, looked through.

What is published of them are the numbers that their records come from: of a simulation a
row per trajectory and its h(r), of a curve the error of each structure. Neither holds a
structure, a trajectory, a label or a weight.
"""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from mlffbench.core.errors import BenchError, first_fault
from mlffbench.core.guards.archives import ARCHIVE_FAULTS
from mlffbench.core.guards.sizes import read_text
from mlffbench.publish.received_run import check_keys, check_members, damaged
from mlffbench.publish.run_shape import CurveShape, FurtherShape, SimulationShape
from mlffbench.run.checksums import read_checksums
from mlffbench.run.curve.curve_score import ERRORS, ERRORS_MEMBERS
from mlffbench.run.folder import CURVE, SIMULATION, RunFolder
from mlffbench.run.simulate.reference_distances import DENSITIES, THERMO
from mlffbench.run.simulate.simulation_score import TRAJECTORIES


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
        rows = [_n_rows(folder / name) for name in kind.tables]
    except BenchError:
        raise
    except (*ARCHIVE_FAULTS, pa.ArrowException) as error:
        msg = f"the files in {folder} cannot be read ({error})"
        raise damaged(msg) from error
    for n_rows in rows:
        if n_rows != shape.n_rows:
            msg = f"{folder} holds {n_rows} trajectories, its {kind.what} has "
            msg += f"{shape.n_rows}"
            raise damaged(msg)


def _n_rows(path: Path) -> int:
    with path.open("rb") as table:  # its name need not be UTF-8
        return int(pq.read_metadata(table).num_rows)
