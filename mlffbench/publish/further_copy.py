"""Copy of a simulation or a curve: its numbers, packed, and its records from them."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mlffbench.core.errors import StoreError
from mlffbench.core.files import make_folder
from mlffbench.core.record import Record
from mlffbench.publish.private import bare, told
from mlffbench.publish.published_manifest import published
from mlffbench.publish.run_copy import numbers_of
from mlffbench.publish.same_numbers import difference_of
from mlffbench.run.checksums import verify
from mlffbench.run.curve.curve_score import ERRORS, read_curve, score_curve
from mlffbench.run.folder import (
    SIMULATION,
    RunFolder,
    read_arrays,
    run_folder,
    slug,
    suite_folder,
    write_arrays,
    write_table,
)
from mlffbench.run.simulate.reference_distances import DENSITIES, THERMO, reference_beside
from mlffbench.run.simulate.simulation_score import (
    TRAJECTORIES,
    baseline_beside,
    read_trajectories,
    score_simulation,
)


def copy_further(folder: RunFolder, out: Path) -> RunFolder:
    """Write what is published of a simulation or a curve, without its records.

    Args:
        folder: Of the simulation or the curve.
        out: Below which its copy goes.

    Raises:
        StoreError: It has not finished, is damaged, or of an older mlffbench.
    """
    moves = folder.manifest_name == SIMULATION
    manifest = published(folder.read_finished("simulation" if moves else "curve"))
    job = manifest["job"]
    suite = suite_folder(bare(job["suite"]), limit=job.get("limit")).replace("/", "-")
    place = run_folder(out, suite, job["model"], manifest["mode"]["name"]).path
    if moves:
        place = place / "dynamics" / slug(job["preset"])
    copy = RunFolder(place, folder.manifest_name)
    if copy.manifest_path.exists():
        return copy
    make_folder(copy.path)
    if moves:
        _copy_trajectories(folder, copy)
    else:
        write_arrays(copy.path / ERRORS, read_curve(folder), packed=True)
    copy.complete(manifest)
    return copy


def score_further(folder: RunFolder, copy: RunFolder) -> None:
    """Score what is published, and compare it with the records that are there.

    Raises:
        StoreError: They differ, or there are none.
    """
    if not (folder.path / "records.jsonl").exists():
        msg = f"{folder.path} has no records; repeat its command, which scores it"
        raise StoreError(msg)
    verify(folder.path)
    records = score_again(copy)
    different = difference_of(numbers_of(folder.read_records()), numbers_of(records))
    if different:
        msg = (
            f"the records of {folder.path} are not what its numbers and those beside it "
        )
        msg += f"give ({different}); repeat its command, which scores it anew"
        raise StoreError(msg)
    copy.write_records(records)


def score_again(folder: RunFolder) -> list[Record]:
    """Return the records of a simulation or a curve from its numbers.

    Raises:
        StoreError: A file is missing or broken.
    """
    if folder.manifest_name == SIMULATION:
        return score_simulation(folder)
    return score_curve(folder)[0]


def beside_further(folder: RunFolder) -> Sequence[RunFolder]:
    """Return where the simulations lie that one is compared with, there or not."""
    if folder.manifest_name != SIMULATION:
        return ()
    manifest: dict[str, Any] = folder.read_manifest()
    found: Iterable[RunFolder | None] = (
        baseline_beside(folder, manifest),
        reference_beside(folder, manifest),
    )
    return [one for one in found if one is not None and one.path != folder.path]


def _copy_trajectories(folder: RunFolder, copy: RunFolder) -> None:
    """Write the row of each trajectory and its h(r).

    Raises:
        StoreError: They are broken, or an older mlffbench wrote no h(r).
    """
    table = read_trajectories(folder)
    for column in ("reason", "refinement"):
        table[column] = table[column].map(told)
    write_table(copy.path / TRAJECTORIES, table)
    arrays = read_arrays(folder.path / THERMO)
    if DENSITIES not in arrays:
        msg = f"{folder.path} is of an older mlffbench, which kept no h(r); repeat its "
        raise StoreError(msg + "command with --overwrite, then export")
    write_arrays(copy.path / THERMO, {DENSITIES: arrays[DENSITIES]}, packed=True)
