"""Diagnose: beside a finished run, how far its structures are from training.

::

    runs/<suite>/<model>/<mode>/
      diagnostics.json     histograms, distances, error curves, the ranking of alarms
      diagnostics.parquet  one row per structure: shift labels, diagnostics, error
      figures/*.png        one per diagnostic, where `mlffbench diagnose` was asked

What the model's structures look like is measured once per model and shared by its modes;
only the errors are each mode's own. Nothing is computed with a prior here: its labels
come from the cache, where a mode that needed them has left them.
"""

import io
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from mlffbench.core.errors import BenchError, DataError, StoreError
from mlffbench.core.files import make_folder
from mlffbench.core.forcefield import ForceField
from mlffbench.core.labels import Labels
from mlffbench.core.model_options import ModelOptions
from mlffbench.core.plugins.user_file import in_words
from mlffbench.core.split import NO_TRAIN, Split
from mlffbench.diagnostics.catalog import DIAGNOSTICS
from mlffbench.diagnostics.diagnosis import Diagnosis
from mlffbench.diagnostics.diagnostic import Sample
from mlffbench.diagnostics.evidence import cached_labels
from mlffbench.diagnostics.study import Probe, Study, diagnose, study, table
from mlffbench.models.catalog import DEFAULT_PRIOR
from mlffbench.models.load import load_model
from mlffbench.models.model_spec import check_not_typed
from mlffbench.priors.prior_labels import LabelCache
from mlffbench.run.diagnose.instruments import NOT_SCANNED, NOT_WANTED, Instruments
from mlffbench.run.evaluate.chosen_radii import identity_of
from mlffbench.run.evaluate.evaluation_job import choose_rows
from mlffbench.run.evaluate.stored import StoredRun, StoredSplit
from mlffbench.run.folder import RunFolder

DIAGNOSIS, VALUES, FIGURES = "diagnostics.json", "diagnostics.parquet", "figures"
"""What is written beside a run."""
MOST_STRUCTURES = 1_000_000
"""Of a run that is diagnosed: all of them are held, with graphs, 70 kB each."""


def diagnose_runs(
    folders: Sequence[RunFolder],
    model: ForceField,
    *,
    device: str,
    dtype: str | None,
    advance: Callable[[int], None],
    priors: Collection[str] = (),
) -> list[str]:
    """Write the diagnosis of every run of one model that lacks one.

    Args:
        folders: Finished runs of the model, its modes.
        model: The model as loaded.
        device: Where it computes.
        dtype: Name of what it computes in; None is its default.
        advance: Told of every run that is done.
        priors: Those that were asked for: what else a run's file names and what would run
            code is not loaded.

    Returns:
        A sentence for everything that could not be computed. Nothing is raised: a
        diagnosis never makes a run fail, nor the diagnosis of another mode.
    """
    found: Study | None = None
    failed: dict[str, list[str]] = {}
    for folder in folders:
        try:
            _check_held(folder)
            run = StoredRun.read(folder)
            if not is_diagnosed(run):
                if found is None or not _fits(found, run):
                    instruments = Instruments.of(model, device=device, dtype=dtype)
                    cached = _with_cached_prior(instruments, run, priors)
                    found = study_of(run, cached)
                predictions = [split.prediction for split in _tested(run)]
                write_diagnosis(folder.path, found, predictions, run)
        except Exception as error:  # noqa: BLE001 - a diagnosis never makes a run fail
            why = str(error) if isinstance(error, BenchError) else in_words(error)
            failed.setdefault(why, []).append(folder.path.name)
        advance(1)
    notes = [
        f"no diagnosis of {model.name!r} ({', '.join(modes)}): {why}"
        for why, modes in failed.items()
    ]
    return notes + (unavailable_in_words(found, repr(model.name)) if found else [])


def _check_held(folder: RunFolder) -> None:
    """Check that memory holds the structures of a run.

    Raises:
        DataError: It has more than can be held.
    """
    splits = folder.read_manifest().get("splits", [])
    n = sum(int(split.get("n_chosen", 0)) for split in splits)
    if n > MOST_STRUCTURES:
        msg = f"{n:,} structures are more than the {MOST_STRUCTURES:,} that a diagnosis "
        msg += "holds at once; diagnose some of each split: mlffbench diagnose --suite "
        raise DataError(msg + "SUITE --model MODEL --limit 10000")


def study_of(run: StoredRun, instruments: Instruments) -> Study:
    """Return what was measured of a finished run's structures.

    Args:
        run: The run. The unrefined predictions come from it, where it is a baseline, or
            from the baseline of the same model and files beside it; else the model
            predicts once more.
        instruments: The model and the rest.

    Raises:
        DataError: The run has fewer than two training structures.
    """
    unrefined = _unrefined(run)
    manifest = [split.manifest for split in run.splits]
    names = _names([(str(one["name"]), str(one["role"])) for one in manifest])
    samples = [
        Sample(
            name=name,
            structures=split.structures,
            reference=split.reference,
            prediction=unrefined.get(_content_of(split)),
        )
        for split, name in zip(run.splits, names, strict=True)
    ]
    roles = [str(split.manifest["role"]) for split in run.splits]
    controls = [str(split.manifest["control"]) for split in run.splits]
    return _study(samples, roles, controls, instruments)


def study_of_splits(
    splits: Sequence[Split], instruments: Instruments, *, limit: int | None, seed: int
) -> Study:
    """Return what was measured of the splits of a suite, without a run.

    Args:
        splits: Training and one half of the others.
        instruments: The model and the rest.
        limit: Structures per split at most, spread over its molecules; None is all.
        seed: Of that choice.

    Raises:
        DataError: The suite has fewer than two training structures.
    """
    samples = []
    names = _names([(split.name, split.role) for split in splits])
    for split, name in zip(splits, names, strict=True):
        rows = choose_rows(split, limit, seed)
        samples.append(
            Sample(
                name=name,
                structures=split.source.structures(rows),
                reference=split.source.labels(rows),
            )
        )
    roles = [split.role for split in splits]
    return _study(samples, roles, [split.control for split in splits], instruments)


def write_diagnosis(
    path: Path,
    found: Study,
    predictions: Sequence[Labels | None],
    run: StoredRun | None = None,
    *,
    model: str = "",
    seed: int = 0,
) -> Diagnosis:
    """Write the diagnosis and the values into a folder.

    The JSON comes last: where it is, the rest is. What an earlier diagnosis left there
    goes first.

    Args:
        path: The folder.
        found: What was measured.
        predictions: Per test, predicted labels; None where nothing was predicted.
        run: The run that predicted; it says the rest.
        model: Without a run: the model as typed.
        seed: Without a run: seed of every interval.

    Raises:
        StoreError: The folder cannot be written.
    """
    manifest = run.manifest if run else None
    result = diagnose(
        found,
        predictions,
        seed=int(manifest["job"]["seed"]) if manifest else seed,
        model=str(manifest["job"]["model"]) if manifest else model,
        mode=str(manifest["mode"]["name"]) if manifest else "",
        fingerprint=str(manifest["fingerprint"]) if manifest else "",
    )
    make_folder(path)
    _remove_diagnosis(path)
    buffer = io.BytesIO()
    values = table(found, predictions)
    pq.write_table(pa.Table.from_pandas(values, preserve_index=False), buffer)
    contents = {VALUES: buffer.getvalue(), DIAGNOSIS: result.as_bytes()}
    RunFolder(path).write_scores(contents)
    return result


def is_diagnosed(run: StoredRun) -> bool:
    """Return whether a run has a diagnosis that belongs to it and lacks no row."""
    try:
        stored = Diagnosis.read(run.folder.path / DIAGNOSIS)
    except StoreError:
        return False
    names = {one.name for one in stored.diagnostics}
    same = stored.fingerprint == str(run.manifest["fingerprint"])
    return same and names == set(DIAGNOSTICS.names())


def _remove_diagnosis(path: Path) -> None:
    """Remove a diagnosis from a folder, the JSON first, and nothing else.

    Raises:
        StoreError: A file cannot be removed.
    """
    figures = [path / FIGURES / f"{name}.png" for name in DIAGNOSTICS.names()]
    for file in (path / DIAGNOSIS, path / VALUES, *figures):
        try:
            file.unlink(missing_ok=True)
        except OSError as error:
            msg = f"cannot replace {file}: {error.strerror}; choose another folder"
            raise StoreError(msg) from error


def _with_cached_prior(
    instruments: Instruments, run: StoredRun, asked: Collection[str]
) -> Instruments:
    """Return instruments that look labels of a prior up; nothing is computed."""
    name = _prior_of(run)
    try:
        check_not_typed(
            name, str(run.folder.manifest_path), trust=name in asked, what="prior"
        )
        cache = LabelCache.of(load_model(name, ModelOptions()))
    except BenchError as error:
        return replace(instruments, no_prior=str(error))
    return replace(instruments, prior=lambda structures: cached_labels(structures, cache))


def unavailable_in_words(found: Study, who: str) -> list[str]:
    """Return which diagnostics could not be computed and why, as one sentence or none."""
    names: dict[str, list[str]] = {}
    for one in found.measurements.unavailable:
        if one.reason not in (NOT_WANTED, NOT_SCANNED):
            names.setdefault(one.reason, []).append(one.name)
    told = [f"{', '.join(them)} ({why})" for why, them in names.items()]
    told += [
        f"shift labels of {name} ({why})" for name, why in found.shifts.reasons.items()
    ]
    return [f"diagnostics of {who}: {'; '.join(told)}"] if told else []


def _tested(run: StoredRun) -> list[StoredSplit]:
    return [split for split in run.splits if split.manifest["role"] != "train"]


def _names(splits: Sequence[tuple[str, str]]) -> list[str]:
    """Return one name per split; of splits that share one, with their roles."""
    names = [name for name, _ in splits]
    return [f"{name} {role}" if names.count(name) > 1 else name for name, role in splits]


def _study(
    samples: Sequence[Sample],
    roles: Sequence[str],
    controls: Sequence[str],
    instruments: Instruments,
) -> Study:
    """Return what was measured of splits, OOD against the control each names.

    Raises:
        DataError: None of them is train.
    """
    if "train" not in roles:
        msg = f"{NO_TRAIN}, so nothing can be compared with training; add one to the "
        raise DataError(msg + "suite, e.g. file: mini:train")
    examined = instruments.examine(samples)
    names = [
        sample.name
        for sample, role in zip(samples, roles, strict=True)
        if role.startswith("id")
    ]
    probes = [
        Probe(
            sample=sample,
            role=role,
            control=_control_of(named, names) if role.startswith("ood") else "",
        )
        for sample, role, named in zip(examined, roles, controls, strict=True)
        if role != "train"
    ]
    return study(examined[list(roles).index("train")], probes, instruments.cutoff)


def _control_of(named: str, known: Sequence[str]) -> str:
    """Return the ID split an OOD split is compared with; empty for training."""
    if named:
        return named if named in known else ""
    return known[0] if known else ""


def _prior_of(run: StoredRun) -> str:
    """Return the prior that the run's mode looked at, else the default one."""
    return str(run.manifest["mode"]["settings"].get("prior") or DEFAULT_PRIOR)


def _fits(found: Study, run: StoredRun) -> bool:
    """Return whether what was measured is of the structures of another run."""
    samples = [found.train, *(probe.sample for probe in found.tests)]
    splits = [split.structures for split in run.splits]
    same = (
        one.structures.ids == other.ids
        and torch.equal(one.structures.positions, other.positions)
        for one, other in zip(samples, splits, strict=False)
    )
    return len(samples) == len(splits) and all(same)


def _unrefined(run: StoredRun) -> dict[tuple[str, str], Labels]:
    """Return the stored predictions of the unrefined model, by content of the split.

    The baseline beside a run counts only where it is of the same model, and its splits
    where they are of the same files: names and ids alone may stay when both change.
    """
    splits = [split for split in run.splits if split.manifest["role"] == "train"]
    if run.manifest["mode"]["name"] == "baseline":
        splits = list(run.splits)
    else:
        baseline = _baseline_beside(run)
        splits += baseline.splits if baseline else []
    return {_content_of(split): _with_failures(split) for split in splits}


def _baseline_beside(run: StoredRun) -> StoredRun | None:
    """Return the finished baseline run of the same model, if there is one."""
    try:
        other = StoredRun.read(RunFolder(run.folder.path.parent / "baseline"))
    except StoreError:
        return None  # the model predicts once more; its own diagnosis says what is wrong
    same = identity_of(other.manifest["model"]) == identity_of(run.manifest["model"])
    return other if same else None


def _content_of(split: StoredSplit) -> tuple[str, str]:
    """Return the checksums of the file of a split and of its ids."""
    return str(split.manifest["source_sha256"]), str(split.manifest["sha256"])


def _with_failures(split: StoredSplit) -> Labels:
    """Return stored predictions that name what was skipped or failed, and why."""
    bad = split.table[split.table["status"] != "ok"]
    failures = {
        int(row): f"{status}: {reason}"
        for row, status, reason in zip(
            bad.index, bad["status"], bad["reason"], strict=True
        )
    }
    return replace(split.prediction, failures=failures)
