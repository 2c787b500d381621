"""Every catalogue there is: names, facts, and whether a download is here."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from mlffbench.core.errors import BenchError, DataError, UnknownNameError
from mlffbench.core.plugins.install import install_line
from mlffbench.core.registry import Entry

if TYPE_CHECKING:
    import pandas as pd


class Kind(StrEnum):
    """What can be listed."""

    datasets = "datasets"
    downloads = "downloads"
    models = "models"
    priors = "priors"
    modes = "modes"
    metrics = "metrics"
    diagnostics = "diagnostics"
    suites = "suites"


def all_rows() -> dict[Kind, dict[str, Entry]]:
    """Return every catalogue."""
    from mlffbench.datasets.catalog import DATASETS
    from mlffbench.datasets.download.table import download_rows
    from mlffbench.diagnostics.catalog import DIAGNOSTICS
    from mlffbench.metrics.catalog import METRICS
    from mlffbench.models.catalog import MODELS, prior_rows
    from mlffbench.refine.catalog import REFINERS
    from mlffbench.run.catalog import suite_rows

    return {
        Kind.suites: suite_rows(),
        Kind.datasets: DATASETS.rows(),
        Kind.downloads: download_rows(),
        Kind.models: MODELS.rows(),
        Kind.priors: prior_rows(),
        Kind.modes: REFINERS.rows(),
        Kind.metrics: METRICS.rows(),
        Kind.diagnostics: DIAGNOSTICS.rows(),
    }


def download_state(key: str) -> str:
    """Return whether a download is here; a damaged note is told, not fatal."""
    from mlffbench.datasets.download.local import state_of

    try:
        return state_of(key)
    except DataError:
        return "damaged"


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one entry.

    Attributes:
        kind: Its catalogue.
        name: Its name.
        pairs: Fact and value, in the order in which people want them.
    """

    kind: Kind
    name: str
    pairs: tuple[tuple[str, str], ...]


def list_names(kind: str) -> list[str]:
    """Return every name of a kind, in the order of its catalogue.

    Args:
        kind: ``"models"``, ``"priors"``, ``"modes"``, ``"suites"``, ``"datasets"``,
            ``"downloads"``, ``"metrics"`` or ``"diagnostics"``; its singular will do.

    Raises:
        BenchError: There is no such kind (`UnknownNameError`).

    Examples:
        >>> list_names("modes")[0]
        'baseline'
    """
    return list(all_rows()[kind_named(kind)])


def kind_named(word: str) -> Kind:
    """Return the kind that a word means: ``"model"`` and ``"models"`` are one.

    Raises:
        UnknownNameError: There is no such kind.
    """
    for kind in Kind:
        if word.lower() in {kind.value, kind.value.removesuffix("s")}:
            return kind
    if word.lower().startswith("refine"):
        msg = f"unknown kind {word!r}: refinements are called modes; type 'modes'"
        raise BenchError(msg)
    raise UnknownNameError("kind", word, [one.value for one in Kind])


def info(name: str) -> "pd.DataFrame":
    """Return everything known of a name: licence, citation, elements, units, splits.

    Args:
        name: Any name that `list_names` returns for any kind.

    Returns:
        One row per fact with the columns ``kind``, ``fact`` and ``value``, all text.

    Raises:
        BenchError: Nothing has that name.

    Examples:
        >>> info("forces_mae").set_index("fact").loc["unit", "value"]
        'eV/Å'
    """
    import pandas as pd

    rows = [
        (facts.kind.value, fact, value)
        for facts in facts_of(name)
        for fact, value in facts.pairs
    ]
    return pd.DataFrame(rows, columns=["kind", "fact", "value"])


def facts_of(name: str) -> list[Facts]:
    """Return everything known of a name, once for each catalogue that has it.

    It imports no torch unless it opens data.

    Raises:
        BenchError: No catalogue has it.
    """
    catalogues = all_rows()
    found = [(kind, rows[name]) for kind, rows in catalogues.items() if name in rows]
    key, slash, _ = name.partition("/")
    if slash and key in catalogues[Kind.downloads]:
        found = [(Kind.downloads, catalogues[Kind.downloads][key])]
    if not found:
        raise _unknown(name, catalogues)
    return [Facts(kind, name, tuple(_pairs(name, kind, entry))) for kind, entry in found]


def _unknown(name: str, catalogues: Mapping[Kind, Mapping[str, Entry]]) -> BenchError:
    """Return a message with the names that look alike, and of which kind they are."""
    kinds: dict[str, list[str]] = {}
    for kind, rows in catalogues.items():
        for key in rows:
            kinds.setdefault(key, []).append(kind.value.removesuffix("s"))
    close = difflib.get_close_matches(name, kinds, n=3, cutoff=0.5)
    said = [f"{one!r} ({', '.join(kinds[one])})" for one in close]
    hint = f"did you mean {' or '.join(said)}? " if said else ""
    return BenchError(
        f"nothing is called {name!r}; {hint}mlffbench list prints every name"
    )


def _pairs(name: str, kind: Kind, entry: Entry) -> list[tuple[str, str]]:
    pairs = [("what it is", entry.summary)]
    if entry.package:
        pairs.append(("added by", f"the package {entry.package}"))
    if entry.fault:
        pairs.append(("use", "none before the package is mended"))
    if entry.extra:
        state = "not installed" if entry.missing() else "installed"
        theirs = f"pip install '{entry.package.partition(' ')[0]}[{entry.extra}]'"
        line = theirs if entry.package else install_line(entry.extra)
        pairs.append(("needs", f"{line} ({state})"))
    pairs += entry.card.rows() if entry.card else []
    if kind in {Kind.suites, Kind.datasets} and not entry.fault:
        pairs += _split_rows(name, kind)
    if kind is Kind.modes and not entry.fault and not entry.missing():
        pairs += _setting_rows(name)
    if kind is Kind.downloads:
        part = name.partition("/")[2]
        pairs = [*(_rows_of_part(pairs, part) if part else pairs), *_disk_rows(name)]
    return pairs


def _setting_rows(name: str) -> list[tuple[str, str]]:
    """Return the settings of a mode: default, what else is possible, what it does."""
    from mlffbench.run.settings import parameters_of

    known = parameters_of(name)
    if known is None:
        return [("settings", "whatever it is given")]
    if not known:
        return [("settings", "none")]
    rows = [("settings", f"--set {name}.NAME=VALUE; NAME = default (what it may be)")]
    for key, one in known.items():
        may_be = f" ({one.in_words})" if one.in_words else ""
        about = f": {one.about}" if one.about else ""
        rows.append((f"  {key}", f"{one.default or 'must be given'}{may_be}{about}"))
    return rows


def _rows_of_part(pairs: Sequence[tuple[str, str]], part: str) -> list[tuple[str, str]]:
    """Return the facts of a download without the files that are not of a part."""
    return [
        (fact, value)
        for fact, value in pairs
        if not fact.startswith("file ") or fact == f"file {part}"
    ]


def _disk_rows(name: str) -> list[tuple[str, str]]:
    """Return where the files of a download are and what they were verified by."""
    from mlffbench.datasets.download.local import data_files, data_folder, noted_files
    from mlffbench.datasets.download.lockfile import read_lock
    from mlffbench.datasets.download.table import target_of

    target = target_of(name)
    folder = data_folder() / target.key
    lock = read_lock(folder)
    if download_state(name) == "no":
        return [("on disk", f"no; type: mlffbench download {name}")]
    rows = [("on disk", f"{folder} ({download_state(name)})")]
    for file in target.files or noted_files(folder):
        paths = data_files(file, target, folder, lock)
        if paths is not None:
            noted = lock.files[file.name]
            said = f"{noted.trusted}, from {noted.origin}, {noted.date}"
            rows += [(f"  {path.name}", f"{path}: {said}") for path in paths]
    return rows


def _split_rows(name: str, kind: Kind) -> list[tuple[str, str]]:
    """Return the splits of a suite or dataset with their sizes and rules."""
    from mlffbench.core.split import Split
    from mlffbench.datasets.registered import registered_splits
    from mlffbench.run.suite import load_suite, needs
    from mlffbench.run.suite_splits import load_splits

    lacking = [need for need in needs(name) if download_state(need) != "yes"]
    if lacking:
        return [("splits", f"not downloaded; type: mlffbench download {name}")]
    splits: tuple[Split, ...]
    splits = (
        load_splits(*load_suite(name)) if kind is Kind.suites else registered_splits(name)
    )
    return [
        (
            f"{split.name} ({split.role})",
            f"{len(split.rows)} structures of {len(set(split.groups))} molecules: "
            f"{split.rule}"
            + (f"; shift: {split.shift.rule}" if split.shift else "")
            + f" (sha256 {split.sha256[:12]})",
        )
        for split in splits
    ]
