"""``plan``: every job and every resolved value; nothing runs."""

from typing import TYPE_CHECKING

from mlffbench.cli.shared.asked import Asked, Kept, Share, checked_values, spread
from mlffbench.cli.shared.console import make_console, print_table, print_warnings
from mlffbench.cli.shared.options import TrustOption
from mlffbench.core.guards.collector import uncollected

if TYPE_CHECKING:
    from rich.console import Console

    from mlffbench.report.tables.record_tables import TextTable
    from mlffbench.run.evaluate.evaluation_job import Job
    from mlffbench.run.request import Campaign, Request
    from mlffbench.run.suite import Setting


@spread
def plan(*, asked: Asked, share: Share, trust: TrustOption = False) -> None:
    """Print every job and every resolved value, as run --dry-run does; nothing runs."""
    request = request_of(asked, share, Kept(trust=trust), diagnose=False)
    from mlffbench.run.request import resolve

    campaign = resolve(request)
    print_plan(make_console(), campaign)
    print_warnings(campaign.warnings)


def request_of(asked: Asked, share: Share, kept: Kept, *, diagnose: bool) -> "Request":
    """Return what was typed as a request; names and settings are checked.

    Raises:
        BenchError: One of them is unknown.
    """
    with uncollected():
        values = checked_values(asked, kept)  # before torch is imported
        from mlffbench.run.request import Request

    return Request(
        **values,
        half=share.half.value,
        limit=share.limit,
        batch_atoms=share.batch_atoms,
        diagnose=diagnose,
    )


def tell_trial(console: "Console", campaign: "Campaign[Job]") -> None:
    """Print what a trial cuts down, if it is one."""
    told = trial_in_words(campaign)
    if told:
        console.print(told, style="dim", markup=False)


def trial_in_words(campaign: "Campaign[Job]") -> str:
    """Return what ``--limit`` cuts down and where its runs go; empty for a whole run."""
    from mlffbench.run.evaluate.evaluation_job import rows_of_job

    job = campaign.jobs[0]
    if job.limit is None:
        return ""
    counts = [
        (len(rows_of_job(split, job)), len(split.rows))
        for split in campaign.splits
        if split.role == "train"
    ]
    used, there = (sum(pair[place] for pair in counts) for place in (0, 1))
    cut = f" ({used} of {there} of train, which energies are aligned on)"
    where = campaign.folder(job).path.parent.parent
    n = "1 structure" if job.limit == 1 else f"{job.limit} structures"
    return (
        f"a trial of {n} per split{cut if used < there else ''}: its "
        f"runs go to {where}, apart from whole ones"
    )


def print_plan(console: "Console", campaign: "Campaign[Job]") -> None:
    """Print the splits, the jobs, every resolved setting and the folders."""
    suite, first = campaign.suite, campaign.jobs[0]
    tell_trial(console, campaign)
    console.print(f"suite {suite.name} v{suite.version}: {suite.summary}", markup=False)
    console.print()
    print_table(console, _split_table(campaign))
    print_table(console, _job_table(campaign))
    for mode in dict.fromkeys(job.mode for job in campaign.jobs):
        settings = next(job.settings for job in campaign.jobs if job.mode == mode)
        told = ", ".join(f"{k}={v}" for k, v in _resolved(mode, dict(settings)).items())
        console.print(f"settings of {mode}: {told or 'none'}", markup=False)
    size = "all structures" if first.limit is None else f"{first.limit} per split"
    console.print(
        f"{first.half} half, {size}, on {first.device}, seed {first.seed}, "
        f"{first.batch_atoms} atoms per batch",
        markup=False,
    )
    console.print()
    for job in campaign.jobs:
        console.print(f"{campaign.folder(job).path}", markup=False, soft_wrap=True)


def _split_table(campaign: "Campaign[Job]") -> "TextTable":
    from mlffbench.report.tables.record_tables import TextTable
    from mlffbench.run.evaluate.evaluation_job import rows_of_job

    rows, rules = [], []
    for split in campaign.splits:
        chosen = rows_of_job(split, campaign.jobs[0])
        groups = {split.source.index.groups[split.source.index.record[r]] for r in chosen}
        kind = split.shift.kind.replace("_", " ") if split.shift else "–"
        rows.append((split.name, split.role, kind, str(len(chosen)), str(len(groups))))
        rules.append(f"{split.name}: {split.rule}")
    columns = ("split", "role", "shift", "structures", "molecules")
    return TextTable("splits", columns, tuple(rows), frozenset(), tuple(rules))


def _job_table(campaign: "Campaign[Job]") -> "TextTable":
    from mlffbench.report.tables.record_tables import TextTable

    rows = tuple(
        (job.model, job.mode, job.dtype or _dtype_of(job.model)) for job in campaign.jobs
    )
    return TextTable("jobs", ("model", "mode", "dtype"), rows, frozenset(), ())


def _dtype_of(model: str) -> str:
    """Return the floating-point type that a model computes in by itself."""
    from mlffbench.core.card import ModelCard
    from mlffbench.models.catalog import MODELS
    from mlffbench.models.model_spec import parse_spec

    parts = parse_spec(model)
    card = None if parts.is_file else MODELS.entry(parts.name).card
    return card.dtype if isinstance(card, ModelCard) else "its own"


def _resolved(mode: str, chosen: dict[str, "Setting"]) -> dict[str, object]:
    """Return the settings of a mode: what was chosen, else its default."""
    from ast import literal_eval

    from mlffbench.run.settings import parameters_of

    known = parameters_of(mode) or {}
    defaults: dict[str, object] = {}
    for name, one in known.items():
        if one.default:
            try:
                defaults[name] = literal_eval(one.default)
            except (ValueError, SyntaxError):
                defaults[name] = (
                    one.default
                )  # of a class of the user's: as Python shows it
    return {**defaults, **chosen}
