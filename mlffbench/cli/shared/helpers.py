"""Helpers: the workers that a command asked for, from the engine it named."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mlffbench.cli.shared.asked import Helped
from mlffbench.cli.shared.options import EngineKind
from mlffbench.core.errors import ModelError, StoreError, SuiteError
from mlffbench.core.guards.plain import without_credentials

if TYPE_CHECKING:
    from mlffbench.run.evaluate.evaluation_job import Job
    from mlffbench.run.request import Campaign


def check_helped(helped: Helped) -> None:
    """Check that nothing is said of an engine that is not used.

    Raises:
        SuiteError: It is.
    """
    if helped.engine is EngineKind.slurm:
        return
    for name, value in (("--slurm", helped.slurm), ("--profile", helped.profile)):
        if value:
            msg = f"{name} is for --engine slurm, not {helped.engine.value}; leave one "
            raise SuiteError(msg + "of them out")


def slurm_script(helped: Helped, campaign: "Campaign[Job]") -> str:
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


def submit_campaign(helped: Helped, campaign: "Campaign[Job]") -> list[str]:
    """Leave every job of a campaign to SLURM; return what to tell.

    Raises:
        BenchError: A folder cannot be written, or SLURM refuses the script.
    """
    from mlffbench.core.files import make_folder
    from mlffbench.engines.slurm_array import submit
    from mlffbench.run.elsewhere.request_file import write_request
    from mlffbench.run.request import Request

    script = slurm_script(helped, campaign)
    request = campaign.request
    assert isinstance(request, Request)
    for job in campaign.jobs:
        _check_free(campaign, job)
    for job in campaign.jobs:
        folder = campaign.folder(job)
        make_folder(folder.path)
        write_request(folder, request, job)
    told = submit(script, suite_path(campaign))
    return [told, "when its tasks are done, this prints the tables: " + _plainly()]


def _plainly() -> str:
    """Return the command as typed, without what is said of an engine."""
    import shlex

    words, kept = ["mlffbench", *sys.argv[1:]], []
    skip = False
    for word in words:
        name, equals, _ = word.partition("=")
        ours = name in {"--engine", "--slurm", "--profile", "--workers"}
        if not skip and not ours:
            kept.append(word)
        skip = ours and not equals
    return without_credentials(shlex.join(kept))


def _check_free(campaign: "Campaign[Job]", job: "Job") -> None:
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
        msg += f"submit it from there: mlffbench env run {own.name} run "
        raise ModelError(msg + "--engine slurm, with the other options")
    folder = campaign.folder(job)
    if not folder.manifest_path.exists():
        return
    stored, asked = folder.read_manifest(), job.as_dict()
    if stored.get("job") != asked:
        told = difference({"job": stored.get("job")}, {"job": asked})
        msg = f"{folder.path} holds a run with other settings ({told}); delete it, or "
        raise StoreError(msg + "choose another --out")


@contextmanager
def helped_by(helped: Helped, campaign: "Campaign[Job]") -> Iterator[list[str]]:
    """Run the workers of a command for the length of a block.

    Yields:
        A list that holds, after the block, why workers could not help, if any.
    """
    from mlffbench.engines.local_processes import local_workers
    from mlffbench.run.elsewhere.request_file import forget_request

    folders, trust = folders_of(campaign), campaign.request.trust
    for job in campaign.jobs:
        forget_request(campaign.folder(job))
    with local_workers(folders, helped.workers - 1, trust=trust) as told:
        yield told


def folders_of(campaign: "Campaign[Job]") -> list[Path]:
    """Return the folder of every job."""
    return [campaign.folder(job).path for job in campaign.jobs]


def suite_path(campaign: "Campaign[Job]") -> Path:
    """Return the folder of all runs of the suite."""
    return campaign.folder(campaign.jobs[0]).path.parent.parent
