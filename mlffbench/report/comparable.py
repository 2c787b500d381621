"""Separation: which runs may stand in one table, and a sentence for those not."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from mlffbench.report.run_inventory import ReadRun

_SHIFT_TOLERANCE = 1e-9
"""eV; energy shifts of one fit are equal to the last bit, JSON keeps them so."""


@dataclass(frozen=True, slots=True)
class Group:
    """Runs that may be compared.

    Attributes:
        runs: Model by model, baseline first.
        aside: What sets them apart from the other groups of the suite; empty for one
            that stands alone.
    """

    runs: tuple[ReadRun, ...]
    aside: str = ""

    @property
    def name(self) -> str:
        """Suite, version, half, and what sets it apart."""
        first = self.runs[0].records[0]
        plain = f"{first.suite} v{first.suite_version}"
        half = self.runs[0].half
        return plain + ("" if half == "test" else f", {half} half") + self.aside


@dataclass(frozen=True, slots=True)
class Separated:
    """Groups, and a sentence for each comparison that was refused."""

    groups: tuple[Group, ...]
    sentences: tuple[str, ...]


def separate(runs: Sequence[ReadRun]) -> Separated:
    """Return runs apart where they may not stand in one table.

    One table needs one suite, version and half, the same structures, and modes that see
    equally much at once. The largest group of runs without ``--limit`` comes first.
    """
    families: dict[tuple[str, int, str], list[ReadRun]] = {}
    for run in runs:
        first = run.records[0]
        key = (first.suite, first.suite_version, run.half)
        families.setdefault(key, []).append(run)
    groups: list[Group] = []
    sentences: list[str] = [*_versions(list(families))]
    for family in families.values():
        by_structures: dict[object, list[ReadRun]] = {}
        for run in family:
            saw = run.signature, run.limit  # a trial that saw all is a trial
            by_structures.setdefault(saw, []).append(run)
        parts = sorted(by_structures.values(), key=_rank)
        sentences += [_other_structures(parts[0], part) for part in parts[1:]]
        for part, aside in zip(parts, _asides(parts), strict=True):
            split, told = _by_unit(part, aside)
            groups += split
            sentences += told
    groups.sort(key=lambda group: _rank(group.runs))
    for group in groups:
        sentences += _other_fits(group)
    return Separated(tuple(groups), tuple(dict.fromkeys(sentences)))


def _rank(runs: Sequence[ReadRun]) -> tuple[bool, int, int]:
    """Return what sorts runs: whole ones before trials, then many, then large ones."""
    return runs[0].limit is not None, -len(runs), -runs[0].n_tested


def _asides(parts: Sequence[Sequence[ReadRun]]) -> list[str]:
    """Return what sets apart runs that saw other structures."""
    limits = [part[0].limit for part in parts]
    seen: Counter[int | None] = Counter()
    asides = []
    for limit in limits:
        seen[limit] += 1
        aside = "" if limit is None else f", {limit} per split"
        alike = limits.count(limit)
        asides.append(
            aside + (f", structures {seen[limit]} of {alike}" if alike > 1 else "")
        )
    return asides


def same_fit(run: ReadRun, baseline: ReadRun) -> bool:
    """Return whether the aligned energies of two runs rest on the same shifts."""
    a, b = run.shifts, baseline.shifts
    if a is None or b is None:
        return a is b
    near = (abs(a[name] - b[name]) <= _SHIFT_TOLERANCE for name in a if name in b)
    return a.keys() == b.keys() and all(near)


def same_weights(run: ReadRun, baseline: ReadRun) -> bool:
    """Return whether two runs are of the same weights."""
    ours, theirs = (
        str((one.manifest.get("model") or {}).get("weights_sha256", ""))
        for one in (run, baseline)
    )
    return ours == theirs


def baseline_of(run: ReadRun, runs: Sequence[ReadRun]) -> ReadRun | None:
    """Return the run that scoring compared a run with: its sibling in mode baseline."""
    beside = run.folder.path.parent / "baseline"
    found = [one for one in runs if one.folder.path == beside and one is not run]
    return found[0] if found else None


def _versions(keys: Sequence[tuple[str, int, str]]) -> list[str]:
    """Return a sentence per suite that occurs in several versions."""
    versions: dict[str, list[int]] = {}
    for suite, version, _ in keys:
        if version not in versions.setdefault(suite, []):
            versions[suite].append(version)
    return [
        f"Versions {_and(sorted(map(str, them)))} of suite {suite} are kept apart: a new "
        "version holds other structures or rules."
        for suite, them in versions.items()
        if len(them) > 1
    ]


def _other_structures(largest: Sequence[ReadRun], part: Sequence[ReadRun]) -> str:
    """Say in words why some runs have a table apart from the largest of their suite."""
    limits = [runs[0].limit for runs in (part, largest)]
    if limits[0] != limits[1]:
        used = "no --limit" if limits[0] is None else f"--limit {limits[0]}"
        rest = "saw every structure" if limits[1] is None else f"used --limit {limits[1]}"
        these = "run that" if len(largest) == 1 else f"{len(largest)} runs that"
        return f"{_titles(part)} used {used}: not compared with the {these} {rest}."
    ours, theirs = (
        {(split, role): sha for split, role, sha in runs[0].signature}
        for runs in (largest, part)
    )
    start = f"{_titles(largest)} and {_titles(part)} are not compared: "
    missing = sorted({*ours} ^ {*theirs})
    if missing:
        return start + f"only one side saw the split {missing[0][0]!r}."
    split, role = next(key for key in sorted(ours) if ours[key] != theirs[key])
    why = _why_others(largest[0], part[0], split, role)
    return f"{start}split {split!r} holds other structures on each side, {why}."


def _why_others(one: ReadRun, other: ReadRun, split: str, role: str) -> str:
    """Return what made a split hold other structures, as far as it is stored."""
    ours, theirs = one.split(split, role), other.split(split, role)
    if ours.get("source_sha256") != theirs.get("source_sha256"):
        return "from another version of the data"
    if ours.get("rule") != theirs.get("rule"):
        return "chosen by another rule"
    seeds = [run.manifest["job"].get("seed") for run in (one, other)]
    if seeds[0] != seeds[1]:
        return f"drawn with the seeds {seeds[0]} and {seeds[1]}"
    counts = [each.get("n_chosen", each.get("n_structures")) for each in (ours, theirs)]
    if None not in counts and counts[0] != counts[1]:
        return f"{counts[0]} and {counts[1]} of them"
    return "though data, rule and seed read the same"


def _by_unit(runs: Sequence[ReadRun], aside: str) -> tuple[list[Group], list[str]]:
    """Return runs apart where one mode adapts to units of different size."""
    units: dict[str, Counter[str]] = {}
    for run in runs:
        units.setdefault(run.mode, Counter())[run.unit] += 1
    usual = {mode: found.most_common(1)[0][0] for mode, found in units.items()}
    kept = [run for run in runs if run.unit == usual[run.mode]]
    groups, sentences = [Group(_by_model(kept), aside)], []
    odd: dict[tuple[str, str], list[ReadRun]] = {}
    for run in runs:
        if run not in kept:
            odd.setdefault((run.mode, run.unit), []).append(run)
    for (mode, unit), them in odd.items():
        models = {run.model for run in them}
        beside = [run for run in kept if run.mode == "baseline" and run.model in models]
        both = _by_model([*beside, *them])
        groups.append(Group(both, f"{aside}, {mode} per {unit}"))
        sentences.append(
            f"{mode} of {_and([run.model for run in them])} adapts per {unit}, elsewhere "
            f"per {usual[mode]}: shown in tables of their own, because a refinement that "
            "sees more test structures at once answers another question."
        )
    return groups, sentences


def _by_model(runs: Sequence[ReadRun]) -> tuple[ReadRun, ...]:
    """Return runs model by model as they were started, each model's baseline first."""
    models = list(dict.fromkeys(run.model for run in runs))
    return tuple(
        sorted(runs, key=lambda run: (models.index(run.model), run.mode != "baseline"))
    )


def _other_fits(group: Group) -> list[str]:
    """Return a sentence per run that may not be compared with its own baseline."""
    sentences = []
    for run in group.runs:
        baseline = baseline_of(run, group.runs)
        if baseline is None:
            continue
        if not same_weights(run, baseline):
            sentences.append(
                f"{_title(run)} is not compared with its baseline: they are of other "
                "weights; repeat both with --overwrite."
            )
        if not same_fit(run, baseline):
            sentences.append(
                f"Aligned energies of {_title(run)} are left out: they rest on another "
                "E0 fit than those of its baseline."
            )
    return sentences


def _title(run: ReadRun) -> str:
    return f"{run.model} {run.mode}"


def _titles(runs: Sequence[ReadRun]) -> str:
    return _and([_title(run) for run in runs])


def _and(names: Sequence[str]) -> str:
    """Return names as prose: each once, the first few of many."""
    unique = list(dict.fromkeys(names))
    most = 4
    if len(unique) > most:
        unique = [*unique[:most], f"{len(unique) - most} more"]
    if len(unique) == 1:
        return unique[0]
    return f"{', '.join(unique[:-1])} and {unique[-1]}"
