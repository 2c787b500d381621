"""Export: finished runs -> a folder that others verify and merge.

What leaves is written anew: of ``run.json`` only what is listed here, without places,
users and machines; arrays packed; records scored again from what is written.
"""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any

from mlffbench import __version__
from mlffbench.core.errors import StoreError
from mlffbench.core.files import (
    make_folder,
    sha256_of,
    temporary_of,
    told_if_full,
    write_atomic,
)
from mlffbench.core.record import Record
from mlffbench.publish.export_folder import (
    MANIFEST,
    README,
    REPORT,
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
from mlffbench.publish.licences import NOT_STATED, data_licences, model_licence
from mlffbench.publish.private import (
    bare,
    betrayals,
    everywhere,
    places,
    told,
    told_command,
)
from mlffbench.publish.readme import readme_of
from mlffbench.publish.received_run import ARRAYS
from mlffbench.publish.same_numbers import difference_of
from mlffbench.report.document import compose
from mlffbench.run.checksums import verify
from mlffbench.run.evaluate.beside import folders_beside
from mlffbench.run.evaluate.evaluation_score import score_run
from mlffbench.run.folder import (
    CURVE,
    SIMULATION,
    RunFolder,
    find_others,
    find_runs,
    read_arrays,
    run_folder,
    suite_folder,
    write_arrays,
    write_table,
)
from mlffbench.run.manifest import now

_KEPT = (
    *("schema_version", "fingerprint", "job", "splits", "mode", "versions", "suite"),
    *("dtype", "git", "started", "finished", "wall_s", "gradient_steps"),
    *("peak_memory_mb", "status"),
)
"""Of ``run.json``, what is published as it is, but for paths."""
_TEXT = ("id", "molecule", "reason")


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
        left_out: Simulations and fine-tuning curves, which an export cannot hold.
    """

    export: Export
    beside: tuple[Path, ...]
    without_oracle: tuple[Path, ...]
    left_out: tuple[Path, ...] = ()


def export_runs(request: ExportRequest) -> Exported:
    """Write an export; its folder is whole or not there.

    Raises:
        StoreError: A run has not finished or is damaged, its records are not what its
            predictions give, something stands in the way, or the disk is full.
    """
    _make_way(request)
    others = _others(request)
    every = {one.path.resolve(): one for one in find_runs(list(request.runs))}
    asked = list(every.values())
    beside = [one for one in _beside(asked) if one.path not in {r.path for r in asked}]
    out = request.out.absolute()
    make_folder(out.parent)
    staged = temporary_of(out)
    try:
        with told_if_full(request.out):
            _write(request, [*asked, *beside], staged)
            export = replace(open_export(staged), path=request.out)
            _move(staged, out)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    judged = [
        one
        for one in asked
        if any(record != _without_oracle(record) for record in one.read_records())
    ]
    return Exported(
        export,
        tuple(one.path for one in beside),
        tuple(one.path for one in judged),
        others,
    )


def _others(request: ExportRequest) -> tuple[Path, ...]:
    """Return the simulations and curves under what is asked for.

    Raises:
        StoreError: There is nothing else.
    """
    folders = list(request.runs)
    found = [one for name in (SIMULATION, CURVE) for one in find_others(folders, name)]
    if found and not any(path for one in folders for path in one.rglob("run.json")):
        msg = (
            f"{found[0].path} is a simulation or a fine-tuning curve, whose numbers "
            "nobody could verify without computing it again; an export holds runs of "
        )
        raise StoreError(msg + "mlffbench run: name one, and send this folder as it is")
    return tuple(one.path for one in found)


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


def _move(staged: Path, out: Path) -> None:
    if not is_export(out):
        if out.exists():
            out.rmdir()  # it is empty
        staged.rename(out)
        return
    old = staged.with_name(f"{staged.name}.old")  # kept until the new one is there
    out.rename(old)
    try:
        staged.rename(out)
    except BaseException:
        old.rename(out)
        raise
    shutil.rmtree(old)


def _beside(runs: Sequence[RunFolder]) -> list[RunFolder]:
    """Return the finished runs that others are compared with."""
    found: dict[Path, RunFolder] = {}
    for one in runs:
        others = folders_beside(one, one.read_manifest().get("mode") or {}).values()
        found |= {r.path: r for r in others if (r.path / "records.jsonl").exists()}
    return list(found.values())


def _write(request: ExportRequest, runs: Sequence[RunFolder], staged: Path) -> None:
    make_folder(staged)
    copies: list[tuple[RunFolder, RunFolder]] = []
    for run in runs:
        copy = _copy(run, staged / RUNS)
        twin = next((r.path for r, other in copies if copy.path == other.path), None)
        if twin:
            msg = f"{run.path} is of the same suite, model and mode as {twin}; name one "
            raise StoreError(msg + "of them, or export each into a folder of its own")
        copies.append((run, copy))
    for run, copy in copies:
        _score(run, copy)
    text = compose([staged], "md").text  # it names no folder
    write_atomic(staged / REPORT, text.encode())
    if request.records_only:
        for _, copy in copies:
            _drop_arrays(copy)
    told_runs = tuple(_entry(copy, staged, request) for _, copy in copies)
    manifest = ExportManifest(
        mlffbench=__version__,
        written=now(),
        licence=request.licence or NOT_STATED,
        runs=told_runs,
    )
    write_atomic(staged / MANIFEST, manifest_text(manifest))
    write_atomic(staged / README, readme_of(manifest).encode())
    files = sorted(path for path in staged.rglob("*") if path.is_file())
    _check_private(files, staged)
    lines = [f"{sha256_of(p)}  {p.relative_to(staged).as_posix()}\n" for p in files]
    write_atomic(staged / SUMS, "".join(lines).encode())


def _copy(run: RunFolder, out: Path) -> RunFolder:
    """Write what is published of a run, without its records.

    Raises:
        StoreError: It has not finished, or is damaged.
    """
    manifest = _published(run.read_finished("run"))
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


def _published(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return what may leave of a ``run.json``."""
    kept: dict[str, Any] = everywhere({n: manifest[n] for n in _KEPT if n in manifest})
    model = manifest.get("model") or {}
    card = {n: v for n, v in (model.get("card") or {}).items() if n != "weights"}
    hardware = {
        name: value
        for name, value in (manifest.get("hardware") or {}).items()
        if name != "platform"  # a kernel's name tells whose machine it is
    }
    checks = manifest.get("checks") or {}
    remarks = [told(str(text)) for text in checks.get("remarks") or ()]
    return {
        **kept,
        "model": {**everywhere({**model, "card": None}), "card": everywhere(card)},
        "hardware": hardware,
        "command": told_command(str(manifest.get("command", ""))),
        "checks": {**everywhere(checks), "remarks": remarks},
        "suite": _published_suite(manifest.get("suite") or {}),
    }


def _published_suite(suite: Mapping[str, Any]) -> dict[str, Any]:
    """Return a suite whose files of the user's are named without their folders."""
    found: dict[str, Any] = everywhere(suite)
    for spec in found.get("splits") or ():
        if isinstance(spec, dict) and ":" not in str(spec.get("file", "")):
            spec["file"] = PurePath(str(spec["file"]).replace("\\", "/")).name
    return found


def _score(run: RunFolder, copy: RunFolder) -> None:
    """Score what is published, and compare it with the records of the run.

    Raises:
        StoreError: They differ.
    """
    verify(run.path)
    scored = score_run(copy)
    different = difference_of(_numbers(run.read_records()), _numbers(scored.records))
    if different:
        msg = f"the records of {run.path} are not what its predictions give "
        msg += f"({different}); run first: mlffbench score {run.path}"
        raise StoreError(msg)
    copy.write_records(scored.records)
    copy.write_alignment(scored.shifts)


def _numbers(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Return records without the texts in which paths may stand."""
    left_out = {"provenance", "model", "mode", "suite", "prior", "notes", "counts"}
    return [
        {
            **_without_oracle(record).model_dump(mode="json", exclude=left_out),
            "counts": record.counts.model_dump(exclude={"reasons"}),
        }
        for record in records
    ]


def _without_oracle(record: Record) -> Record:
    """Return a record without what the oracle says, which lies beside the runs."""
    if record.radius is None:
        return record
    radius = record.radius.model_copy(update={"headroom": None, "captured": None})
    return record.model_copy(update={"radius": radius})


def _drop_arrays(copy: RunFolder) -> None:
    """Leave only the records of a run, and say so in its manifest."""
    manifest = {**copy.read_manifest(), "published": "records only"}
    records, shifts = copy.read_records(), (copy.path / "alignment.json").read_text()
    for name in ARRAYS:
        (copy.path / name).unlink()
    copy.complete(manifest)
    copy.write_records(records)
    copy.write_alignment(json.loads(shifts))


def _entry(copy: RunFolder, staged: Path, request: ExportRequest) -> ExportedRun:
    manifest = copy.read_manifest()
    return ExportedRun(
        folder=copy.path.relative_to(staged).as_posix(),
        suite=manifest["job"]["suite"],
        suite_version=manifest["job"]["suite_version"],
        model=manifest["job"]["model"],
        mode=manifest["mode"]["name"],
        half=manifest["job"]["half"],
        limit=manifest["job"].get("limit"),
        predictions=not request.records_only,
        bytes=sum(path.stat().st_size for path in copy.path.iterdir()),
        model_licence=model_licence(manifest),
        data_licences=data_licences(manifest.get("suite") or {}),
    )


def _check_private(files: Sequence[Path], staged: Path) -> None:
    """Check that nothing in the files tells of this machine.

    Raises:
        StoreError: Something does.
    """
    for path in files:
        content = path.read_bytes()
        if path.suffix == ".npz":
            content = b"".join(
                "\n".join(map(str, array.ravel())).encode()
                for array in read_arrays(path).values()
                if array.dtype.kind in "US"
            )
        elif path.suffix == ".parquet":
            table = RunFolder(path.parent).read_table(columns=list(_TEXT))
            content = "\n".join(table.astype(str).to_numpy().ravel()).encode()
            found = betrayals([content]) or places(content)
        else:
            found = betrayals([content])
        if found:
            msg = f"{path.relative_to(staged)} would tell {found!r}, a place on this "
            msg += "machine; name ids and files without it, run again, then export"
            raise StoreError(msg)
