"""What a shell completes: names of the catalogues, and files. It imports no torch."""

from pathlib import Path

from mlffbench.api.catalogues import Kind, all_rows
from mlffbench.core.errors import BenchError

Item = tuple[str, str]
"""A word, and what it is."""


def complete_suite(incomplete: str) -> list[Item]:
    """Return suites, and the YAML files and folders of the current folder."""
    return [*_of(incomplete, Kind.suites), *_paths(incomplete, (".yaml", ".yml"))]


def complete_model(incomplete: str) -> list[Item]:
    """Return models, the last of several that are separated by commas, and files."""
    return _listed(incomplete, Kind.models)


def complete_mode(incomplete: str) -> list[Item]:
    """Return modes, the last of several that are separated by commas, and files."""
    return _listed(incomplete, Kind.modes)


def complete_dataset(incomplete: str) -> list[Item]:
    """Return datasets, suites, and files with structures."""
    forms = (".xyz", ".extxyz", ".yaml", ".yml", ".db", ".npz", ".h5", ".hdf5")
    named = _of(incomplete, Kind.datasets, Kind.suites)
    return [*named, *_paths(incomplete, forms)]


def complete_download(incomplete: str) -> list[Item]:
    """Return what `mlffbench download` takes: downloads, datasets and suites."""
    return _of(incomplete, Kind.downloads, Kind.datasets, Kind.suites)


def complete_prior(incomplete: str) -> list[Item]:
    """Return priors, and models taken for one."""
    return _of(incomplete, Kind.priors, Kind.models)


def complete_kind(incomplete: str) -> list[str]:
    """Return the kinds of names."""
    return [kind.value for kind in Kind if kind.value.startswith(incomplete)]


def complete_name(incomplete: str) -> list[Item]:
    """Return every name of every catalogue."""
    return _of(incomplete, *Kind)


def _of(incomplete: str, *kinds: Kind) -> list[Item]:
    """Return the names of some kinds that begin so, each once."""
    try:
        catalogues = all_rows()
    except BenchError:  # a broken package of somebody else; the command itself says so
        return []
    found = {
        name: entry.summary
        for kind in kinds
        for name, entry in catalogues[kind].items()
        if name.startswith(incomplete)
    }
    return list(found.items())


def _listed(incomplete: str, kind: Kind) -> list[Item]:
    before, comma, last = incomplete.rpartition(",")
    named = [(f"{before}{comma}{name}", told) for name, told in _of(last, kind)]
    return [*named, *_paths(incomplete, (".py",))]


def _paths(incomplete: str, suffixes: tuple[str, ...]) -> list[Item]:
    """Return files of some suffixes, and folders, that begin so."""
    typed = Path(incomplete)
    folder = typed if incomplete.endswith("/") else typed.parent
    try:
        there = sorted(folder.iterdir())
    except OSError:
        return []
    texts = [
        f"{path}/" if path.is_dir() else str(path)
        for path in there
        if path.suffix in suffixes or (path.is_dir() and not path.name.startswith("."))
    ]
    return [(text, "") for text in texts if text.startswith(incomplete)]
