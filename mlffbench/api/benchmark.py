"""A suite run from Python: the same jobs, folders and numbers as ``mlffbench run``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import (
    BaseModel,
    ConfigDict,
    NonNegativeInt,
    PositiveInt,
    Strict,
    ValidationError,
)

from mlffbench.api.inputs import device_named, names_given
from mlffbench.api.notebook_bar import watched
from mlffbench.api.results import Results
from mlffbench.core.errors import BenchError
from mlffbench.report.run_inventory import take_inventory
from mlffbench.run.evaluate.evaluation_score import score_run
from mlffbench.run.folder import RunFolder
from mlffbench.run.loop import run_campaign
from mlffbench.run.request import Request, resolve
from mlffbench.run.suite import Setting
from mlffbench.run.work import Progress


class _Asked(BaseModel):
    """The arguments of `run_suite`, of the types they must have."""

    model_config = ConfigDict(strict=True, extra="forbid")

    suite: str
    models: tuple[str, ...]
    modes: tuple[str, ...]
    settings: dict[str, dict[str, Setting]]
    half: Literal["test", "val"]
    dtype: Literal["float32", "float64"] | None
    seed: NonNegativeInt
    limit: PositiveInt | None
    batch_atoms: PositiveInt | None
    out: Annotated[Path, Strict(False)]
    overwrite: bool
    trust: bool
    diagnose: bool


class Scoring(NamedTuple):
    """Runs that have numbers, and a sentence for each that has none."""

    folders: list[RunFolder]
    faults: list[str]


def run_suite(
    suite: str,
    *,
    models: str | Sequence[str] | None = None,
    modes: str | Sequence[str] | None = None,
    settings: Mapping[str, Mapping[str, Setting]] | None = None,
    half: Literal["test", "val"] = "test",
    limit: int | None = None,
    seed: int = 0,
    device: str = "auto",
    dtype: str | None = None,
    batch_atoms: int | None = None,
    out: str | Path = "runs",
    overwrite: bool = False,
    trust: bool = False,
    diagnose: bool = True,
    progress: Progress | None = None,
) -> Results:
    """Run models on a suite, score them, and return the results.

    The folders under ``out`` are those of ``mlffbench run`` with the same options: killed
    at any moment, the same call goes on where it was, and what is finished is only read.

    Args:
        suite: A shipped suite's name, or the path of a suite file.
        models: Models as `load_model` takes them; left out, the suite's.
        modes: ``"baseline"``, ``"rr"``, ``"ttt"`` …; left out, the suite's.
        settings: Mode -> its settings, e.g. ``{"ttt": {"steps": 50}}``.
        half: ``"test"``, or ``"val"`` for tuning.
        limit: Structures per split at most, spread over the molecules; None is all.
        seed: Of every random choice.
        device: ``"cpu"``, ``"cuda"``, or ``"auto"``: the GPU where there is one.
        dtype: ``"float32"`` or ``"float64"``; None is each model's own default.
        batch_atoms: Atoms per batch; None is the device's default.
        out: Folder of all runs.
        overwrite: Replace finished runs, and runs with other settings.
        trust: Whether model files that can run code of their own may be loaded.
        diagnose: Also measure, beside every run, how far its splits are from training.
        progress: Told of every finished batch; left out, a notebook shows a bar.

    Returns:
        The runs of this call. What could not run is in ``Results.faults``, one sentence
        each; modes of the suite that a model is not made for are in ``Results.notes``.

    Raises:
        BenchError: A name, a setting or a file is wrong, or nothing could be run at all.

    Examples:
        >>> found = run_suite("mini-ood", models="zero", limit=2)  # doctest: +SKIP
    """
    asked = _checked(
        suite=str(suite),
        models=names_given(models),
        modes=names_given(modes),
        settings=settings or {},
        half=half,
        dtype=dtype,
        seed=seed,
        limit=limit,
        batch_atoms=batch_atoms,
        out=out,
        overwrite=overwrite,
        trust=trust,
        diagnose=diagnose,
    )
    request = Request(**asked.model_dump(), device=device_named(device))
    done = run_campaign(resolve(request), watched(progress))
    scored = score_folders(done.folders)
    faults = (*done.faults, *scored.faults)
    if not scored.folders:
        raise BenchError("; ".join(faults) or "nothing was run")
    inventory = take_inventory([folder.path for folder in scored.folders])
    return Results(inventory=inventory, faults=faults, notes=tuple(done.notes))


def score_folders(folders: Sequence[RunFolder]) -> Scoring:
    """Score finished runs from their stored predictions; no model is needed.

    Args:
        folders: Runs; their ``records.jsonl`` and ``alignment.json`` are written.
    """
    scoring = Scoring([], [])
    for folder in folders:
        try:
            records, shifts = score_run(folder)
        except BenchError as error:
            scoring.faults.append(str(error))
            continue
        folder.write_records(records)
        folder.write_alignment(shifts)
        scoring.folders.append(folder)
        failed = [record for record in records if record.status == "failed"]
        for record in failed[:1]:
            reason = next(iter(record.counts.reasons), "no reason")
            who = f"{record.model} {record.mode}"
            scoring.faults.append(
                f"{who} has no number for split {record.split!r}: {reason}"
            )
    return scoring


def _checked(**values: object) -> _Asked:
    """Return arguments whose types and ranges are right.

    Raises:
        BenchError: One is not; the sentence names it and what was expected.
    """
    try:
        return _Asked.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        msg = f"run_suite: {where}={first['input']!r}: {first['msg']}"
        raise BenchError(msg) from error
