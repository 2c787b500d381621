"""``doctor``: what works on this machine, and the exact command for what does not."""

import importlib.util
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from rich.table import Table

from mlffbench.cli.machines.env import environments_in_words
from mlffbench.cli.shared.console import make_console
from mlffbench.core.errors import BenchError
from mlffbench.core.guards.children import fault_of_import
from mlffbench.core.plugins.install import again_line, extras, install_line
from mlffbench.core.registry import Entry

PATIENCE_S = 120.0
"""How long the packages of one extra may take to import."""
_BUNDLES = frozenset({"demo", "dev", "docs"})
"""Extras made of others, or of a developer's tools; those are not imported one by one."""


class Cache(NamedTuple):
    """One folder of things that can be fetched or computed again.

    Attributes:
        name: What it holds.
        folder: Where it is, or will be.
        size: How large it is, in words.
    """

    name: str
    folder: Path
    size: str


def doctor() -> None:
    """Tell what works here, and the exact command for what does not."""
    import shutil

    import torch

    from mlffbench.api.catalogues import all_rows
    from mlffbench.run.provenance import versions

    console = make_console()
    table = Table(box=None, show_header=False, pad_edge=False)
    for package, version in versions().items():
        table.add_row(package, version, "")
    if torch.cuda.is_available():
        table.add_row("CUDA", torch.version.cuda or "", torch.cuda.get_device_name())
    else:
        table.add_row("CUDA", "no device", card_in_words(torch.version.cuda))
    table.add_row("mini set", *mini_set_in_words())
    for name, folder, size in caches():
        table.add_row(name, size, str(folder))
    free_gb = shutil.disk_usage(Path.cwd()).free / 1e9
    table.add_row("disk", f"{free_gb:.0f} GB free", str(Path.cwd()))
    console.print(table)
    rows = [entry for table in all_rows().values() for entry in table.values()]
    for sentence in (*extras_in_words(rows, extras()), *environments_in_words()):
        console.print(sentence, markup=False)


def card_in_words(cuda: str | None, root: Path = Path("/")) -> str:
    """Return what follows from torch seeing no card, on this machine.

    Args:
        cuda: The CUDA version that torch was built with; None for the CPU alone.
        root: Where the files of the machine lie.
    """
    driver = root / "proc" / "driver" / "nvidia" / "version"
    nodes = ("dev/nvidia0", "dev/dxg")  # of Linux, of its Windows subsystem
    if not (driver.exists() or any((root / node).exists() for node in nodes)):
        return "everything runs on the CPU"
    if cuda is None:
        return (
            "this machine has a card, but torch is built for the CPU alone; run: "
            "pip install --force-reinstall torch"
        )
    return (
        f"this machine has a card, but torch, built with CUDA {cuda}, cannot use it: its "
        "driver may be older, or CUDA_VISIBLE_DEVICES hides it; see: nvidia-smi"
    )


def extras_in_words(
    entries: Iterable[Entry], extras: Mapping[str, Sequence[str]]
) -> Iterator[str]:
    """Yield a sentence per extra, after importing its packages in a fresh Python.

    Args:
        entries: Catalogue rows; those without an extra are passed over.
        extras: Every extra, with the distributions it needs.
    """
    needs: dict[str, set[str]] = {}
    adapters: dict[str, set[str]] = {}
    for entry in entries:
        if entry.extra:
            needs.setdefault(entry.extra, set()).update(entry.requires)
            module, _, _ = entry.target.partition(":")
            adapters.setdefault(entry.extra, set()).add(module)
    imports = _imports_of_distributions()
    for extra, distributions in sorted(extras.items()):
        required = needs.get(extra) or {
            name for one in distributions for name in imports.get(_plain(one), ())
        }
        absent = _absent(distributions, needs.get(extra, ()))
        if absent:
            yield (
                f"extra {extra!r} is not installed ({absent} is missing); "
                f"run: {install_line(extra)}"
            )
            continue
        names = ", ".join(sorted(required))
        if extra in _BUNDLES:
            yield f"extra {extra!r} is installed ({len(distributions)} packages)"
            continue
        # Some packages import little at first; our own modules import what they use.
        fault = import_fault(", ".join([names, *sorted(adapters.get(extra, ()))]))
        if fault:
            run = again_line(extra)
            yield f"extra {extra!r} is installed but broken ({fault}); run: {run}"
        else:
            yield f"extra {extra!r} works ({names})"


def _imports_of_distributions() -> dict[str, list[str]]:
    """Return distribution -> the names it is imported by."""
    found: dict[str, list[str]] = {}
    for name, distributions in metadata.packages_distributions().items():
        for one in distributions:
            if name.isidentifier() and not name.startswith("_"):
                found.setdefault(_plain(one), []).append(name)
    return found


def _absent(distributions: Sequence[str], required: Iterable[str]) -> str:
    """Return the first package that is not installed, empty when all are."""
    names = sorted(required)
    for name in names:
        if importlib.util.find_spec(name) is None:
            return name
    there = {_plain(one.metadata["Name"]) for one in metadata.distributions()}
    missing = (one for one in distributions if _plain(one) not in there)
    return "" if names else next(missing, "")


def _plain(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def import_fault(names: str) -> str:
    """Return why packages cannot be imported, on one line; empty if they can.

    Args:
        names: Import names, separated by commas.
    """
    return fault_of_import(names, patience_s=PATIENCE_S)


def mini_set_in_words() -> tuple[str, str]:
    """Return whether the embedded mini set opens, and its path or what is wrong."""
    from mlffbench.datasets.sets.mini.splits import reference_source

    try:
        source = reference_source()
        return f"{source.index.n_structures} structures", str(source.path)
    except BenchError as error:
        return "broken", f"{error}; run: {again_line()}"


def caches() -> list[Cache]:
    """Return the folders of downloaded weights and of prior labels."""
    from mlffbench.models import weights
    from mlffbench.priors import prior_labels as labels

    label_folder = labels.cache_folder()
    weight_folder = weights.cache_folder()
    stored = _files(label_folder)
    return [
        Cache("weights", weight_folder, _size(_files(weight_folder) - stored)),
        Cache("prior labels", label_folder, _size(stored)),
    ]


def _files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


def _size(files: Iterable[Path]) -> str:
    sizes = [path.stat().st_size for path in files]
    return f"{len(sizes)} files, {sum(sizes) / 1e6:.1f} MB" if sizes else "empty"
