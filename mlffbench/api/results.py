"""Results: what stored runs say, as pandas frames and as a report."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import pandas as pd

from mlffbench.api.frames import (
    baseline_frame,
    comparison_frame,
    comparison_rows,
    count_frame,
    gap_frame,
    metric_frame,
    structure_frame,
)
from mlffbench.api.notebook import html_of
from mlffbench.api.plots import Backend, plot_metric
from mlffbench.core.errors import BenchError, StoreError
from mlffbench.report.document import Form, write_report
from mlffbench.report.run_inventory import Inventory, take_inventory
from mlffbench.report.tables.display_units import UnitSystem
from mlffbench.run.evaluate.evaluation_score import compare_runs
from mlffbench.run.folder import RunFolder

FORMS: dict[str, Form] = {".html": "html", ".md": "md", ".csv": "csv", ".json": "json"}
"""Suffix of a report -> its format."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Results:
    """Finished and scored runs; nothing is computed again.

    Energies are in eV, per atom where the unit says so, forces in eV/Å. Intervals are
    95 %, over molecules. A missing number is NaN, never 0. Shown in a notebook,
    it is the table that ``mlffbench score --wide`` prints.

    Attributes:
        inventory: The run folders with their manifests and records.
        faults: A sentence for everything that should be here and is not.
        notes: A sentence for every mode left out because a model is not made for it.
    """

    inventory: Inventory
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def folders(self) -> tuple[Path, ...]:
        """Folders of the runs, in the order in which they were started."""
        return tuple(run.folder.path for run in self.inventory.runs)

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """One row per run, split and metric.

        ``value`` with its interval ``low`` to ``high`` and ``standard_error``, in
        ``unit``, from ``n`` structures of ``n_molecules`` molecules.
        """
        return metric_frame(self.inventory.runs)

    @cached_property
    def counts(self) -> pd.DataFrame:
        """One row per run and split: the denominators.

        Structures in ``total``, ``evaluated``, ``skipped`` and ``failed``, the
        ``reasons``, and ``wall_s_per_structure`` in seconds.
        """
        return count_frame(self.inventory.runs)

    @cached_property
    def structures(self) -> pd.DataFrame:
        """One row per run and tested structure.

        ``energy`` and ``energy_reference`` in eV, ``forces_mae`` in eV/Å, ``status`` with
        its ``reason``, and what the mode chose for the structure, e.g. a radius in Å.

        Raises:
            StoreError: A file of a run is missing or broken.
        """
        return structure_frame(self.inventory.runs)

    @cached_property
    def comparisons(self) -> pd.DataFrame:
        """One row per run, split and metric: the mode against baseline.

        Paired on the structures both evaluated: ``difference`` (this minus baseline, in
        ``unit``) and ``ratio``, each with its interval, and the ``verdict``.
        """
        return baseline_frame(self.inventory.runs)

    @cached_property
    def gaps(self) -> pd.DataFrame:
        """One row per run, OOD split and metric: the split against its ID control.

        The columns are those of `comparisons`; ``against`` names the control.
        """
        return gap_frame(self.inventory.runs)

    def plot(self, metric: str = "forces_mae", *, backend: Backend = "matplotlib") -> Any:
        """Return a figure of one metric: a point and its interval per run and split.

        Args:
            metric: A metric of `metrics`, drawn in its own unit.
            backend: ``"matplotlib"``, or ``"plotly"`` to be explored.

        Returns:
            A ``matplotlib.figure.Figure`` or a ``plotly.graph_objects.Figure``, which a
            notebook shows.

        Raises:
            BenchError: No run has a value of the metric, or the backend is none of these.
        """
        return plot_metric(self.metrics, metric, backend)

    def report(self, path: str | Path, *, units: Literal["meV", "kcal"] = "meV") -> Path:
        """Write the runs as one file and return its path.

        Args:
            path: The suffix decides: ``.html`` or ``.md`` for people, ``.csv`` or
                ``.json`` for programs.
            units: Of the Markdown tables; the others have units of their own.

        Raises:
            BenchError: The suffix or the units are none of these.
            StoreError: The file cannot be written.
        """
        if units not in get_args(UnitSystem):
            msg = f"units={units!r}: expected 'meV' or 'kcal'; CSV and JSON hold eV"
            raise BenchError(msg)
        target = Path(path)
        form = FORMS.get(target.suffix.lower())
        if form is None:
            msg = (
                f"{target} has the suffix {target.suffix!r}; expected {', '.join(FORMS)}"
            )
            raise BenchError(msg)
        write_report(list(self.folders), target, form, units)
        return target

    def __repr__(self) -> str:
        runs = ", ".join(f"{run.model} {run.mode}" for run in self.inventory.runs)
        return f"Results({runs or 'no run'}; {len(self.faults)} faults)"

    def _repr_html_(self) -> str:
        return html_of([run.folder for run in self.inventory.runs], self.faults)


def read_results(folder: str | Path | Sequence[str | Path] = "runs") -> Results:
    """Return every finished run under a folder, or under several.

    Args:
        folder: A run, or any folder above runs.

    Returns:
        The runs that can be read. The others are in ``Results.faults`` with the reason.

    Raises:
        BenchError: There is no run there, or none that can be read (`StoreError`).
    """
    several = [folder] if isinstance(folder, str | Path) else list(folder)
    if not several:
        msg = "read_results got no folder; give one that holds runs, e.g. 'runs'"
        raise StoreError(msg)
    inventory = take_inventory([Path(one) for one in several])
    faults = tuple(f"{run.path} {run.reason}" for run in inventory.left_out)
    if not inventory.runs:
        raise StoreError("; ".join(faults))
    return Results(inventory=inventory, faults=faults)


def compare(run: str | Path, against: str | Path) -> pd.DataFrame:
    """Return one run against another, paired on the structures both evaluated.

    Any two runs may be compared that saw the same structures: two models, two modes, two
    settings. Aligned energies use each run's own fit on the training split.

    Args:
        run: Folder of a run, e.g. ``"runs/mini-ood/mini-mace/ttt"``.
        against: Folder of the other.

    Returns:
        One row per split and metric, columns as in `Results.comparisons`: ``difference``
        is ``run`` minus ``against``.

    Raises:
        BenchError: A folder holds no finished run (`StoreError`), or the two saw no split
            of the same structures (`DataError`).
    """
    ours, other = RunFolder(Path(run)), RunFolder(Path(against))
    for one in (ours, other):
        if not one.manifest_path.exists():
            msg = f"{one.path} holds no run; give one of Results.folders, such as "
            raise StoreError(msg + "runs/mini-ood/mini-mace/ttt")
    manifest = ours.read_manifest()
    job = manifest["job"]
    rows = []
    for split, compared in compare_runs(ours, other):
        where = (split["name"], split["role"], split["shift"])
        who = (job["model"], manifest["mode"]["name"], job["seed"])
        key = (job["suite"], job["suite_version"], *where, *who)
        rows += comparison_rows(key, str(against), compared, str(run))
    return comparison_frame(rows)
