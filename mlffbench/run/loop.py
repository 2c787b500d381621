"""The loop over models and jobs; one that cannot run does not stop the others."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import torch

from mlffbench.core.errors import BenchError, CapabilityError
from mlffbench.core.forcefield import ForceField
from mlffbench.core.model_options import ModelOptions
from mlffbench.models.load import load_model
from mlffbench.run.elsewhere.handover import elsewhere, hand_over
from mlffbench.run.elsewhere.request_file import can_be_joined, write_request
from mlffbench.run.evaluate.evaluation_job import Job
from mlffbench.run.evaluate.predict import LIMITS
from mlffbench.run.folder import RunFolder
from mlffbench.run.manifest import begin, finish, is_finished, manifest_of
from mlffbench.run.model_files import say_reused
from mlffbench.run.request import AnyRequest, Campaign, Request
from mlffbench.run.shards.shared_work import SharedWork
from mlffbench.run.work import AnyJob, Progress, Silent, Work

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Done:
    """Folders of the jobs that finished, and one sentence for each that did not.

    Attributes:
        folders: Of the finished jobs.
        faults: Jobs that should have run and could not.
        notes: Jobs that the model is not made for, where others finished.
    """

    folders: list[RunFolder] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def run_campaign(campaign: Campaign[Any], progress: Progress | None = None) -> Done:
    """Carry out every job.

    A job that needs a capability which its model lacks is a note where others finished,
    and a fault where nothing did.

    Args:
        campaign: The jobs.
        progress: Told of everything that is finished; None for nobody.
    """
    request, watcher = campaign.request, progress or Silent()
    options = ModelOptions(
        device=request.device, dtype=request.dtype, trust=request.trust
    )
    done = Done(faults=list(campaign.faults))
    lacking: list[str] = []
    by_model: dict[str, list[AnyJob]] = {}
    for job in campaign.jobs:
        by_model.setdefault(job.model, []).append(job)
    with one_thread():
        for name, jobs in by_model.items():
            try:
                own = elsewhere(name)
                if own is not None:
                    answer = hand_over(own, name, request, watcher)
                    at = {campaign.folder(job).path: campaign.folder(job) for job in jobs}
                    done.folders.extend(at[path] for path in answer.folders)
                    done.faults.extend(answer.faults)
                    done.notes.extend(answer.notes)
                    continue
                LIMITS.forget()
                model = load_model(name, options)
            except BenchError as error:
                _LOG.debug("%s", name, exc_info=True)
                done.faults.append(f"{name}: {error}")
                continue
            finished = []
            for job in jobs:
                folder = campaign.folder(job)
                try:
                    work = campaign.kind.work(job, model)
                    if carry_out(work, folder, request, watcher):
                        say_reused(name, job.label, model)
                except CapabilityError as error:
                    lacking.append(f"{job.label}: {_as_typed(error, model, name)}")
                except BenchError as error:
                    _LOG.debug("%s", job.label, exc_info=True)
                    told = _as_typed(error, model, name)
                    done.faults.append(f"{job.label}: {told}")
                else:
                    finished.append(folder)
            done.folders.extend(finished)
            trained = any(split.role == "train" for split in campaign.splits)
            if isinstance(request, Request) and request.diagnose and trained:
                asked = [dict(job.settings) for job in cast("list[Job]", jobs)]
                priors = [str(values.get("prior", "")) for values in asked]
                notes = _diagnose(request, finished, model, watcher, name, priors=priors)
                done.notes.extend(_as_typed(note, model, name) for note in notes)
    (done.notes if done.folders else done.faults).extend(lacking)
    return done


def _as_typed(told: object, model: ForceField, name: str) -> str:
    """Return what is said of a model, which calls itself otherwise, as it was typed."""
    return str(told).replace(repr(model.name), repr(name))


def carry_out(
    work: Work[Any], folder: RunFolder, request: AnyRequest, progress: Progress
) -> bool:
    """Compute what is missing of a job and write its folder.

    Killed at any moment, the same call goes on where it was and ends with the same
    results, byte for byte.

    Args:
        work: The job.
        folder: Where its results belong.
        request: Says where it computes, and whether other results are replaced.
        progress: Told of everything that is finished.

    Returns:
        Whether all of it was there already.

    Raises:
        CapabilityError: The model lacks what the job needs.
        StoreError: The folder cannot be written, or holds another run.
        BenchError: The data cannot be read, or the computation fails.
    """
    work = work.prepared(progress)
    with folder.locked():
        manifest = manifest_of(work.decides(), work.about(), device=request.device)
        if is_finished(folder, manifest, overwrite=request.overwrite):
            return True
        inputs = work.read()
        if isinstance(work, SharedWork) and can_be_joined(request):
            write_request(folder, request, work.job)  # a worker needs both: the old goes
        begin(folder, manifest)
        finish(folder, manifest, work.compute(inputs, folder, progress))
    return False


def _diagnose(
    request: Request,
    folders: Sequence[RunFolder],
    model: ForceField,
    progress: Progress,
    name: str,
    *,
    priors: Sequence[str],
) -> list[str]:
    """Diagnose the finished runs of one model; return what could not be computed."""
    from mlffbench.run.diagnose.diagnosis_job import diagnose_runs

    progress.begin(f"{name} diagnostics", len(folders))
    return diagnose_runs(
        folders,
        model,
        device=request.device,
        dtype=request.dtype,
        advance=progress.advance,
        priors=priors,
    )


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread: two only spin on batches of small molecules."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
