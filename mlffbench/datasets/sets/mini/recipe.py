"""The recipe of the mini OOD set: build it again, or check its stored labels.

``python -m mlffbench.datasets.sets.mini.recipe --out FILE`` builds the set, one part file
per molecule; killed at any moment, the same command goes on where it stopped.
``python -m mlffbench.datasets.sets.mini.recipe --check 5`` computes labels again.
Needs the extra ``qc``. Labels are reproduced; geometries are new draws of the same
protocols, the same for the same seed.
"""

import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from importlib.resources import as_file, files
from importlib.util import find_spec
from multiprocessing.connection import wait
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final, NamedTuple

import h5py
import typer
from filelock import FileLock, Timeout
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Column, Table

from mlffbench.core.errors import BenchError, DataError, StoreError
from mlffbench.core.guards.children import FreshPool
from mlffbench.datasets.sets.mini.frame_tasks import Task, plan, plan_prior_only
from mlffbench.datasets.sets.mini.geometries import require
from mlffbench.datasets.sets.mini.labelling import (
    UNITS,
    choose_labels,
    isolated_atom_energy,
    level_of_theory,
    make_labelled_part,
    make_prior_only_part,
    prior_description,
    recompute,
)

ENERGY_TOLERANCE: Final = 1e-4
"""Largest deviation of a recomputed energy that passes, in eV."""
FORCE_TOLERANCE: Final = 1e-3
"""Largest deviation of a recomputed force component that passes, in eV/Å."""
ONE_THREAD: Final[Mapping[str, str]] = MappingProxyType(
    dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
)


@contextmanager
def worker_pool(n_workers: int) -> Iterator[ProcessPoolExecutor]:
    """Yield a pool of fresh processes with one thread each.

    Args:
        n_workers: Number of processes.

    Raises:
        StoreError: A worker was killed.
    """
    before = {key: os.environ.get(key) for key in ONE_THREAD}
    os.environ.update(
        ONE_THREAD
    )  # read when a worker loads OpenMP, before `start_worker`
    pool = FreshPool(n_workers, initializer=start_worker)
    try:
        yield pool
    except BrokenProcessPool as error:
        msg = (
            "a worker process was killed (often: out of memory); run the same command "
            "again with fewer --workers, finished molecules are kept"
        )
        raise StoreError(msg) from error
    finally:
        pool.shutdown(cancel_futures=True)
        for key, value in before.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value


def start_worker() -> None:
    """Set up a worker: one thread; dies with Ctrl-C and with its parent."""
    os.environ.update(ONE_THREAD)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    if find_spec("pyscf") is not None:
        from pyscf import lib

        lib.num_threads(1)


def _leave_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)  # killed with -9, the parent cannot say goodbye


def build_labelled(
    out: Path, tasks: Sequence[Task], *, n_workers: int, console: Console
) -> None:
    """Build the set with both labels; parts that are finished already are kept.

    Args:
        out: The file to write.
        tasks: The molecules, from `plan`.
        n_workers: Number of processes.
        console: Where the progress is shown.

    Raises:
        StoreError: The file or its folder cannot be used, or a worker was killed.
        DataError: No conformer at all got its labels.
    """
    with _made_parts(out, tasks, make_labelled_part, n_workers, console) as made:
        elements = sorted(set().union(*map(_elements, made.parts)))
        energies = made.pool.map(isolated_atom_energy, elements)
        atoms = dict(zip(elements, energies, strict=True))
        attributes = {
            "atomic_energies_hartree": json.dumps({str(z): e for z, e in atoms.items()}),
            "level_of_theory": level_of_theory(),
            "prior": prior_description(),
        }
        assemble(out, made.parts, attributes, atoms)
    report_dropped(out, made.parts, console)


def build_prior_only(
    out: Path, tasks: Sequence[Task], *, n_workers: int, console: Console
) -> None:
    """Build the further geometries with prior labels only, as `build_labelled` does.

    The tasks are those of `plan_prior_only`.
    """
    with _made_parts(out, tasks, make_prior_only_part, n_workers, console) as made:
        assemble(out, made.parts, {"prior": prior_description()}, {})
    report_dropped(out, made.parts, console)


class _Made(NamedTuple):
    """The pool that is still open, and the parts it made."""

    pool: ProcessPoolExecutor
    parts: list[Path]


@contextmanager
def _made_parts(
    out: Path,
    tasks: Sequence[Task],
    make: Callable[[Task, Path], None],
    n_workers: int,
    console: Console,
) -> Iterator[_Made]:
    with parts_folder(out) as folder, worker_pool(n_workers) as pool:
        make_parts(pool, tasks, make, folder=folder, console=console)
        yield _Made(pool, [task.part(folder) for task in tasks])


@contextmanager
def parts_folder(out: Path) -> Iterator[Path]:
    """Yield the folder of a file's parts, held by this process alone.

    Args:
        out: The file that the parts are for.

    Raises:
        StoreError: The file is not ours to write, or another process builds it now.
    """
    if out.is_dir():
        msg = f"cannot write {out}: it is a folder; give --out the path of a file"
        raise StoreError(msg)
    folder = out.with_name(f"{out.name}.parts")
    if not out.parent.is_dir():
        msg = f"cannot write {out}: the folder {out.parent} does not exist; create it"
        raise StoreError(msg)
    if out.exists() and not folder.is_dir():
        msg = f"{out} is there already, without {folder.name}; choose another --out"
        raise StoreError(msg)
    folder.mkdir(exist_ok=True)
    try:
        with FileLock(folder / "lock", timeout=0):
            for unfinished in folder.glob("*.tmp"):
                unfinished.unlink()
            yield folder
    except Timeout as error:
        msg = f"another process is building {out}; wait for it or choose another --out"
        raise StoreError(msg) from error


def make_parts(
    pool: ProcessPoolExecutor,
    tasks: Sequence[Task],
    make_part: Callable[[Task, Path], None],
    *,
    folder: Path,
    console: Console,
) -> None:
    """Make the part files that are missing.

    Args:
        pool: From `worker_pool`.
        tasks: The molecules.
        make_part: What makes one, in a worker.
        folder: Where the part files are.
        console: Where the progress is shown; plain lines when it is not a terminal.
    """
    todo = [task for task in tasks if not task.is_finished(folder)]
    n_kept = len(tasks) - len(todo)
    console.print(f"{len(tasks)} molecules, {n_kept} of them finished already")
    with Progress(console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("labelling", total=len(tasks), completed=n_kept)
        futures: dict[Future[None], Task] = {
            pool.submit(make_part, task, folder): task for task in todo
        }
        for n_done, future in enumerate(as_completed(futures), start=n_kept + 1):
            future.result()
            progress.advance(bar)
            if not console.is_terminal:
                line = f"{n_done}/{len(tasks)} {futures[future].name}"
                console.print(line, markup=False, highlight=False)


def assemble(
    out: Path,
    parts: Sequence[Path],
    attributes: Mapping[str, str],
    atoms: Mapping[int, float],
) -> None:
    """Write the set from its parts, in one step.

    Args:
        out: The file to write.
        parts: Part files; one without conformers is left out.
        attributes: Attributes of the file.
        atoms: Energy of the isolated atoms in hartree, by atomic number; taken off the
            reference energy to give the formation energy. Empty: no reference.

    Raises:
        DataError: No part has a conformer.
    """
    unfinished = parts[0].with_name("assembled.tmp")
    with h5py.File(unfinished, "w") as target:
        target.attrs.update(attributes)
        for path in parts:
            with h5py.File(path) as part:
                for name in part:
                    if len(part[name]["conformations"]):
                        part.copy(name, target)
        if not len(target):
            msg = "no conformer got its labels; the reasons are in the part files"
            raise DataError(msg)
        for group in target.values() if atoms else ():
            total = group["dft_total_energy"][()]
            apart = sum(atoms[int(z)] for z in group["atomic_numbers"])
            dataset = group.create_dataset("formation_energy", data=total - apart)
            dataset.attrs["units"] = UNITS["formation_energy"]
    unfinished.replace(out)


def report_dropped(out: Path, parts: Sequence[Path], console: Console) -> None:
    """Print what was written and every conformer that was dropped, with its reason.

    Args:
        out: The file that was written.
        parts: Its part files.
        console: Where to print.
    """
    for path in parts:
        with h5py.File(path) as part:
            for reason in json.loads(part.attrs["dropped"]):
                line = f"dropped from {next(iter(part))}: {reason}"
                console.print(line, markup=False, highlight=False)
    with h5py.File(out) as built:
        n_conformers = sum(len(group["conformations"]) for group in built.values())
        line = f"{out}: {len(built)} molecules, {n_conformers} conformers"
    console.print(line, markup=False, highlight=False)


def check(
    path: Path, n_labels: int, seed: int, *, n_workers: int, console: Console
) -> None:
    """Recompute stored labels and print how far they are.

    Args:
        path: A file with the layout of ``mini.hdf5``.
        n_labels: How many labels.
        seed: Of their choice.
        n_workers: Number of processes.
        console: Where to print.

    Raises:
        DataError: The file cannot be read, or a label is further off than the tolerances.
        StoreError: A worker was killed.
    """
    chosen = choose_labels(path, n_labels, seed)
    with worker_pool(n_workers) as pool, console.status(f"{len(chosen)} labels"):
        deviations = list(pool.map(recompute, chosen))
    table = Table(Column("molecule", overflow="fold"), "subset", "frame", box=SIMPLE_HEAD)
    for method in ("DFT", "GFN2"):
        table.add_column(f"{method}\n|ΔE| eV", justify="right", no_wrap=True)
        table.add_column(f"{method}\n|ΔF| eV/Å", justify="right", no_wrap=True)
    for stored, off in zip(chosen, deviations, strict=True):
        numbers = (off.dft_energy, off.dft_forces, off.prior_energy, off.prior_forces)
        subset = stored.subset.removeprefix("mini ")
        row = (escape(stored.name), subset, str(stored.conformer))
        table.add_row(*row, *(f"{number:.1e}" for number in numbers))
    console.print(table)
    energy = max(max(off.dft_energy, off.prior_energy) for off in deviations)
    forces = max(max(off.dft_forces, off.prior_forces) for off in deviations)
    found = (
        f"largest deviation of {len(chosen)} labels: energy {energy:.1e} eV "
        f"(allowed {ENERGY_TOLERANCE:.0e}), forces {forces:.1e} eV/Å "
        f"(allowed {FORCE_TOLERANCE:.0e})"
    )
    if energy > ENERGY_TOLERANCE or forces > FORCE_TOLERANCE:
        msg = f"{path} does not agree with its recipe: {found}"
        raise DataError(msg)
    console.print(found, highlight=False, soft_wrap=True)


def _elements(part: Path) -> set[int]:
    with h5py.File(part) as file:
        return {int(z) for group in file.values() for z in group["atomic_numbers"]}


def _check(n_labels: int, data: Path | None, seed: int, n_workers: int) -> None:
    require("pyscf")
    with as_file(files("mlffbench.datasets.sets.mini") / "mini.hdf5") as embedded:
        check(data or embedded, n_labels, seed, n_workers=n_workers, console=Console())


def main(
    *,
    out: Annotated[
        Path | None, typer.Option(help="Build the set into this file.")
    ] = None,
    check_labels: Annotated[
        int | None,
        typer.Option("--check", min=1, help="Recompute so many stored labels instead."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="File to check.", show_default="embedded set")
    ] = None,
    subset: Annotated[
        list[str] | None, typer.Option(help="Only this subset; may be repeated.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most so many molecules per subset.")
    ] = None,
    prior_only: Annotated[
        bool,
        typer.Option("--prior-only", help="Further frames of mini train, GFN2-xTB only."),
    ] = False,
    seed: Annotated[
        int, typer.Option(min=0, help="Of geometries, or of the choice.")
    ] = 0,
    workers: Annotated[
        int, typer.Option(min=1, help="Processes of one thread each.")
    ] = 2,
) -> None:
    """Build the mini OOD set again (--out), or check its stored labels (--check)."""
    try:
        if (out is None) == (check_labels is None):
            raise BenchError("give either --out FILE, to build, or --check N, to compare")
        if check_labels is not None and (subset or limit or prior_only):
            raise BenchError(
                "--subset, --limit and --prior-only go with --out, not --check"
            )
        if check_labels is None and data is not None:
            raise BenchError("--data goes with --check, not with --out")
        if check_labels is not None:
            _check(check_labels, data, seed, workers)
        elif out is not None and prior_only:
            require("rdkit")
            tasks = plan_prior_only(subset or [], limit, seed)
            build_prior_only(out, tasks, n_workers=workers, console=Console())
        elif out is not None:
            require("rdkit", "pyscf")
            tasks = plan(subset or [], limit, seed)
            build_labelled(out, tasks, n_workers=workers, console=Console())
    except (BenchError, OSError) as error:
        Console(stderr=True).print(f"error: {error}", markup=False, soft_wrap=True)
        raise typer.Exit(1) from error


if __name__ == "__main__":
    typer.run(main)
