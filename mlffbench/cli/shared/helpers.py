"""Helpers: the workers that a command asked for, from the engine it named."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlffbench.cli.shared.asked import Helped
from mlffbench.cli.shared.options import EngineKind
from mlffbench.core.errors import ModelError, StoreError, SuiteError
from mlffbench.core.guards.plain import without_credentials

if TYPE_CHECKING:
    from mlffbench.engines.ray_actors import EnvironmentRuns
    from mlffbench.run.request import Campaign
    from mlffbench.run.work import AnyJob


def check_helped(helped: Helped) -> None:
    """Check that nothing is said of an engine that is not used.

    Raises:
        SuiteError: It is.
    """
    of_engine = {
        "--slurm": (EngineKind.slurm, helped.slurm),
        "--profile": (EngineKind.slurm, helped.profile),
        "--address": (EngineKind.ray, helped.address),
        "--num-gpus": (EngineKind.ray, helped.num_gpus),
    }
    for name, (engine, value) in of_engine.items():
        if value is not None and value != [] and helped.engine is not engine:
            msg = f"{name} is for --engine {engine.value}, not {helped.engine.value}; "
            raise SuiteError(msg + "leave one of them out")


def slurm_script(helped: Helped, campaign: "Campaign[Any]") -> str:
    """Return the array script of a campaign.

    Raises:
        BenchError: The profile is not legal, or does not go with the other options.
    """
    from mlffbench.engines.slurm_array import read_profile, script_of

    if campaign.request.overwrite:
        msg = "--overwrite deletes nothing on a cluster; delete the folders of old runs, "
        raise SuiteError(msg + "or choose another --out")
    return script_of(
        read_profile(helped.profile, helped.slurm or ()),
        folders_of(campaign),
        name=f"mlffbench-{campaign.suite.name}",
        n_tasks=helped.workers,
        cwd=Path.cwd(),
        logs=suite_path(campaign),
        trust=campaign.request.trust,
    )


def submit_campaign(helped: Helped, campaign: "Campaign[Any]") -> list[str]:
    """Leave every job of a campaign to SLURM; return what to tell.

    Raises:
        BenchError: A folder cannot be written, or SLURM refuses the script.
    """
    from mlffbench.core.files import make_folder
    from mlffbench.engines.slurm_array import submit
    from mlffbench.run.elsewhere.request_file import command_of, write_request

    script = slurm_script(helped, campaign)
    for job in campaign.jobs:
        _check_free(campaign, job)
    for job in campaign.jobs:
        folder = campaign.folder(job)
        make_folder(folder.path)
        write_request(folder, campaign.request, job)
    command = command_of(campaign.request)
    told = submit(script, suite_path(campaign), command, folders_of(campaign))
    return [told, "when its tasks are done, this prints the tables: " + _plainly()]


def _plainly() -> str:
    """Return the command as typed, without what is said of an engine."""
    import shlex

    words, kept = iter(["mlffbench", *sys.argv[1:]]), []
    for word in words:
        name, equals, value = word.partition("=")
        if name not in {"--engine", "--slurm", "--profile", "--workers"}:
            kept.append(word)
            continue
        value = value if equals else next(words, "")
        if name == "--engine" and value not in set(EngineKind):  # who moves molecules
            kept += [name, value]
    return without_credentials(shlex.join(kept))


def _check_free(campaign: "Campaign[Any]", job: "AnyJob") -> None:
    """Check that the tasks of an array can compute a job.

    Raises:
        ModelError: Its model runs in an environment of its own.
        StoreError: Its folder holds another run, or a broken one.
    """
    from mlffbench.run.elsewhere.handover import elsewhere
    from mlffbench.run.manifest import difference

    own = elsewhere(job.model)
    if own is not None:
        msg = f"{job.model!r} runs in the environment {own.name!r}, and a task in this; "
        msg += f"submit it from there: mlffbench env run {own.name} COMMAND "
        raise ModelError(msg + "--engine slurm, with the other options")
    folder = campaign.folder(job)
    if not folder.manifest_path.exists():
        return
    stored, asked = folder.read_manifest(), dict(job.as_dict())
    if stored.get("job") != asked:
        told = difference({"job": stored.get("job")}, {"job": asked})
        msg = f"{folder.path} holds a run with other settings ({told}); delete it, or "
        raise StoreError(msg + "choose another --out")


@contextmanager
def helped_by(
    helped: Helped, campaign: "Campaign[Any]"
) -> "Iterator[tuple[Campaign[Any], list[str]]]":
    """Run the workers of a command for the length of a block.

    Yields:
        The campaign as this process carries it out, and a list that holds, after the
        block, why workers could not help, if any.

    Raises:
        BenchError: The engine is not there.
    """
    from mlffbench.engines.local_processes import local_workers
    from mlffbench.run.elsewhere.request_file import forget_request

    trust, left = campaign.request.trust, _unfinished(campaign)
    for job in campaign.jobs:
        forget_request(campaign.folder(job))
    if helped.engine is not EngineKind.ray:
        first = left[0].model if left else ""
        expects = f"{campaign.request.device} {campaign.request.dtype or ''} {first}"
        folders, n_workers = [campaign.folder(job).path for job in left], helped.workers
        with local_workers(folders, n_workers - 1, trust=trust, expects=expects) as told:
            yield campaign, told
        return
    from mlffbench.engines.ray_actors import RaySettings, ray_actors

    gpus = helped.num_gpus
    if gpus is None:
        gpus = float(campaign.request.device == "cuda")
    settings = RaySettings(n_actors=helped.workers, gpus=gpus, address=helped.address)
    with ray_actors(_by_environment(campaign), settings, trust=trust) as actors:
        kind = replace(campaign.kind, others=actors.are_there)  # type: ignore[type-var]  # every kind has them
        yield replace(campaign, kind=kind), actors.told


def _unfinished(campaign: "Campaign[Any]") -> "list[AnyJob]":
    """Return the jobs with which workers can help: all but those that are complete."""
    if campaign.request.overwrite:
        return list(campaign.jobs)
    left = []
    for job in campaign.jobs:
        try:
            status = campaign.folder(job).read_manifest().get("status")
        except StoreError:
            status = None  # there is none, or who leads says what is wrong with it
        if status != "complete":
            left.append(job)
    return left


def _by_environment(campaign: "Campaign[Any]") -> "list[EnvironmentRuns]":
    """Return the runs of a campaign by the environment in which they compute."""
    from mlffbench.engines.ray_actors import EnvironmentRuns
    from mlffbench.run.elsewhere.handover import elsewhere

    found: list[EnvironmentRuns] = []
    for job in campaign.jobs:
        own, folder = elsewhere(job.model), campaign.folder(job).path
        name = own.name if own else None
        if found and found[-1].environment == name:
            found[-1] = EnvironmentRuns((*found[-1].folders, folder), name)
        else:
            found.append(EnvironmentRuns((folder,), name))
    return found


def folders_of(campaign: "Campaign[Any]") -> list[Path]:
    """Return the folder of every job."""
    return [campaign.folder(job).path for job in campaign.jobs]


def suite_path(campaign: "Campaign[Any]") -> Path:
    """Return the folder of all runs of the suite; simulations lie deeper than runs."""
    path = campaign.folder(campaign.jobs[0]).path
    return next(one for one in path.parents if one.parent == campaign.request.out)
