"""README: what an export says of itself to who finds it."""

from mlffbench.core.guards.plain import markdown_cell
from mlffbench.publish.export_folder import ExportedRun, ExportManifest
from mlffbench.publish.licences import NOT_STATED


def readme_of(manifest: ExportManifest) -> str:
    """Return the text of ``README.md``."""
    rows = [
        f"| {markdown_cell(_suite_of(run))} | {markdown_cell(run.model)} "
        f"| {markdown_cell(_mode_of(run))} | {'yes' if run.predictions else 'no'} "
        f"| {size_in_words(run.bytes)} |"
        for run in manifest.runs
    ]
    # as earlier versions wrote it where there are runs alone
    alone = all(run.kind == "run" for run in manifest.runs)
    again = "predictions" if alone else "numbers can be computed again"
    lines = [
        "# Results of mlffbench",
        "",
        f"Written by mlffbench {manifest.mlffbench} at {manifest.written}.",
        "",
        f"| suite | model | mode | {again} | size |",
        "|---|---|---|---|---|",
        *rows,
        "",
        "The tables are in `report.md`. To check every number, and to put them beside "
        "those of others:",
        "",
        "    mlffbench score --verify .",
        "    mlffbench report . ../another-export --out leaderboard.html",
        "",
        "## Licences",
        "",
        *licence_lines(manifest),
        "",
    ]
    return "\n".join(lines)


def _suite_of(run: ExportedRun) -> str:
    """Return the suite of a run; a trial and the half that tunes are told as such."""
    trial = "" if run.limit is None else f", trial of {run.limit} per split"
    half = "" if run.half == "test" else f", {run.half} half"
    return f"{run.suite} v{run.suite_version}{half}{trial}"


def _mode_of(run: ExportedRun) -> str:
    """Return the mode of a run; what is no run is told as such."""
    if run.kind == "simulation":
        return f"{run.mode}, simulation {run.folder.rpartition('/')[2]}"
    return "fine-tuning curve" if run.kind == "curve" else run.mode


def licence_lines(manifest: ExportManifest) -> list[str]:
    """Return the licence of the results, of the data and of each model, a line each."""
    data: dict[str, str] = {}
    models: dict[str, str] = {}
    for run in manifest.runs:
        data |= run.data_licences
        models[run.model] = run.model_licence
    pairs = [
        ("results", manifest.licence),
        *((f"data {name}", licence) for name, licence in data.items()),
        *((f"model {name}", licence) for name, licence in models.items()),
    ]
    return [f"- {markdown_cell(who)}: {markdown_cell(what)}" for who, what in pairs]


def without_licence(manifest: ExportManifest) -> list[str]:
    """Return the data whose structures are in an export though no licence allows it."""
    found = {
        name
        for run in manifest.runs
        if run.predictions and run.kind == "run"
        for name, licence in run.data_licences.items()
        if licence.startswith(NOT_STATED)
    }
    return sorted(found)


def size_in_words(n_bytes: int) -> str:
    """Return bytes in kB or MB.

    Example:
        >>> size_in_words(12_345), size_in_words(12_345_678)
        ('12 kB', '12.3 MB')
    """
    return f"{n_bytes / 1e3:.0f} kB" if n_bytes < 1e6 else f"{n_bytes / 1e6:.1f} MB"  # noqa: PLR2004
