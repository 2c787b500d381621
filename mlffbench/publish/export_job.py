"""Export: finished runs -> a folder that others verify and merge.

What leaves is written anew: of ``run.json`` only what is listed here, without places,
users and machines; arrays packed; records scored again from what is written.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mlffbench import __version__
from mlffbench.core.errors import StoreError
from mlffbench.core.files import make_folder, sha256_of, told_if_full, write_atomic
from mlffbench.publish.export_folder import (
    KINDS,
    MANIFEST,
    README,
    REPORT,
    RUN,
    RUNS,
    SUMS,
    Export,
    ExportedRun,
    ExportManifest,
    check_replaceable,
    is_export,
    manifest_text,
    open_export,
)
from mlffbench.publish.further_copy import beside_further, copy_further, score_further
from mlffbench.publish.licences import NOT_STATED, data_licences, model_licence
from mlffbench.publish.private import betrayals, places
from mlffbench.publish.readme import readme_of
from mlffbench.publish.run_copy import (
    copy_run,
    drop_arrays,
    score_copy,
    without_oracle,
)
from mlffbench.publish.staging import move, staged
from mlffbench.report.document import compose
from mlffbench.run.evaluate.beside import folders_beside
from mlffbench.run.folder import (
    CURVE,
    SIMULATION,
    RunFolder,
    find_others,
    find_runs,
    read_arrays,
)
from mlffbench.run.manifest import now
from mlffbench.run.simulate.simulation_score import TRAJECTORIES

_TEXT = {
    "predictions.parquet": ("id", "molecule", "reason"),
    TRAJECTORIES: ("molecule", "name", "reason", "refinement"),
}
"""Columns of each table in which a path may stand."""


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """What is asked for.

    Attributes:
        runs: Run folders, or folders of some.
        out: Where the export goes.
        licence: Of the results; empty is not stated.
        records_only: Leave out predictions, references and structures.
        overwrite: Replace an export that is there.
    """

    runs: tuple[Path, ...]
    out: Path
    licence: str = ""
    records_only: bool = False
    overwrite: bool = False


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written.

    Attributes:
        export: The export, read back.
        beside: Runs that were taken along since others are compared with them.
        without_oracle: Runs whose records lose what the oracle says.
    """

    export: Export
    beside: tuple[Path, ...]
    without_oracle: tuple[Path, ...]


def export_runs(request: ExportRequest) -> Exported:
    """Write an export; its folder is whole or not there.

    Raises:
        StoreError: A run has not finished or is damaged, its records are not what its
            predictions give, something stands in the way, or the disk is full.
    """
    _make_way(request)
    asked = _asked(request.runs)
    beside = [one for one in _beside(asked) if one.path not in {r.path for r in asked}]
    with staged(request.out) as new, told_if_full(request.out):
        _make_way(request)  # where one was killed, an export is put back first
        _write(request, [*asked, *beside], new)
        export = replace(open_export(new), path=request.out)
        move(new, request.out)
    judged = [
        one
        for one in asked
        if any(record != without_oracle(record) for record in one.read_records())
    ]
    return Exported(
        export, tuple(one.path for one in beside), tuple(one.path for one in judged)
    )


def _asked(folders: Sequence[Path]) -> list[RunFolder]:
    """Return every run, simulation and curve under some folders, each once.

    Raises:
        StoreError: There is none.
    """
    others = [
        one for name in (SIMULATION, CURVE) for one in find_others(list(folders), name)
    ]
    there = any(path for one in folders for path in one.rglob("run.json"))
    runs = find_runs(list(folders)) if there or not others else []
    return list({one.path.resolve(): one for one in (*runs, *others)}.values())


def _make_way(request: ExportRequest) -> None:
    """Check that an export may be written.

    Raises:
        StoreError: Something stands there.
    """
    out = request.out
    if any(out.resolve().is_relative_to(one.resolve()) for one in request.runs):
        msg = f"{out} lies among the runs, where score and report would find it again; "
        raise StoreError(msg + "choose a folder beside them with --out")
    if not os.path.lexists(out):
        return
    if is_export(out) and not out.is_symlink():
        if not request.overwrite:
            msg = f"{out} holds an export; choose another --out, or replace it with "
            raise StoreError(msg + "--overwrite")
        check_replaceable(out)
    elif out.is_symlink() or not out.is_dir() or any(out.iterdir()):
        msg = f"{out} is there and is no export; choose a new folder with --out"
        raise StoreError(msg)


def _beside(runs: Sequence[RunFolder]) -> list[RunFolder]:
    """Return the finished runs that others are compared with."""
    found: dict[Path, RunFolder] = {}
    for one in runs:
        mode = one.read_manifest().get("mode") or {}
        others = (
            folders_beside(one, mode).values()
            if one.manifest_name == RUN
            else beside_further(one)
        )
        found |= {r.path: r for r in others if (r.path / "records.jsonl").exists()}
    return list(found.values())


def _write(request: ExportRequest, runs: Sequence[RunFolder], new: Path) -> None:
    make_folder(new)
    copies: list[tuple[RunFolder, RunFolder]] = []
    for run in runs:
        copy_it = copy_run if run.manifest_name == RUN else copy_further
        copy = copy_it(run, new / RUNS)
        twin = next((r.path for r, other in copies if copy.path == other.path), None)
        if twin:
            msg = f"{run.path} is of the same suite, model and mode as {twin}; name one "
            raise StoreError(msg + "of them, or export each into a folder of its own")
        copies.append((run, copy))
    for run, copy in copies:
        score = score_copy if copy.manifest_name == RUN else score_further
        score(run, copy)
    text = compose([new], "md").text  # it names no folder
    write_atomic(new / REPORT, text.encode())
    if request.records_only:
        for _, copy in copies:
            if copy.manifest_name == RUN:
                drop_arrays(copy)
    told_runs = tuple(_entry(copy, new, request) for _, copy in copies)
    manifest = ExportManifest(
        mlffbench=__version__,
        written=now(),
        licence=request.licence or NOT_STATED,
        runs=told_runs,
    )
    write_atomic(new / MANIFEST, manifest_text(manifest))
    write_atomic(new / README, readme_of(manifest).encode())
    files = sorted(path for path in new.rglob("*") if path.is_file())
    _check_private(files, new)
    lines = [f"{sha256_of(p)}  {p.relative_to(new).as_posix()}\n" for p in files]
    write_atomic(new / SUMS, "".join(lines).encode())


def _entry(copy: RunFolder, new: Path, request: ExportRequest) -> ExportedRun:
    manifest = copy.read_manifest()
    job, kind = manifest["job"], KINDS[copy.manifest_name]
    return ExportedRun(
        kind=kind,
        folder=copy.path.relative_to(new).as_posix(),
        suite=job["suite"],
        suite_version=job["suite_version"],
        model=job["model"],
        mode=manifest["mode"]["name"],
        half=job.get("half", "test"),
        limit=job.get("limit"),
        predictions=kind != "run" or not request.records_only,
        bytes=sum(path.stat().st_size for path in copy.path.iterdir() if path.is_file()),
        model_licence=model_licence(manifest),
        data_licences=data_licences(manifest.get("suite") or {"dataset": job["suite"]}),
    )


def _check_private(files: Sequence[Path], new: Path) -> None:
    """Check that nothing in the files tells of this machine.

    Raises:
        StoreError: Something does.
    """
    for path in files:
        if path.suffix == ".npz":
            content = b"\n".join(
                "\n".join(map(str, array.ravel())).encode()
                for array in read_arrays(path).values()
                if array.dtype.kind in "US"
            )
            found = betrayals([content]) or places(content)
        elif path.suffix == ".parquet":
            columns = list(_TEXT[path.name])
            table = RunFolder(path.parent).read_table(path.name, columns=columns)
            content = "\n".join(table.astype(str).to_numpy().ravel()).encode()
            found = betrayals([content]) or places(content)
        else:
            found = betrayals([path.read_bytes()])
        if found:
            msg = f"{path.relative_to(new)} would tell {found!r}, a place on this "
            msg += "machine; name ids and files without it, run again, then export"
            raise StoreError(msg)
