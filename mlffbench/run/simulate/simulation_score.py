"""Score of simulations: stored trajectories -> records and curves; needs no model."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlffbench.core.errors import StoreError
from mlffbench.core.record import Comparison, Counts, MetricValue, Record
from mlffbench.dynamics.survival import Survival, kaplan_meier
from mlffbench.metrics.intervals.estimates import estimate, paired, worst_group
from mlffbench.metrics.intervals.interval import TAIL
from mlffbench.metrics.metric_card import MetricCard
from mlffbench.metrics.molecules import Molecules
from mlffbench.metrics.samples import Samples
from mlffbench.run.folder import RunFolder, limit_of
from mlffbench.run.simulate.reference_distances import distance_errors

TRAJECTORIES = "trajectories.parquet"
RAN = ("stable", "unstable")
"""Status of the trajectories that were simulated."""
PAIRED = ("stable_time", "survival", "energy_drift")
"""Metrics that a mode is compared with baseline by."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Read:
    """A metric of the table: its values per trajectory and how they are averaged."""

    card: MetricCard
    values: NDArray[np.float64]


def read_trajectories(folder: RunFolder) -> pd.DataFrame:
    """Return ``trajectories.parquet`` of a finished simulation.

    Raises:
        StoreError: It has not finished, or the file is missing or broken.
    """
    folder.read_finished("simulation")
    return folder.read_table(TRAJECTORIES, "simulation")


def score_simulation(folder: RunFolder) -> list[Record]:
    """Return the records of a finished simulation, one per split.

    Intervals are over molecules; a mode is compared with the baseline simulation beside
    it where that has the same starts, protocol and seed.

    Raises:
        StoreError: It has not finished, or a file is missing or broken.
    """
    manifest, table = folder.read_manifest(), read_trajectories(folder)
    baseline = _baseline(folder, manifest)
    against = distance_errors(folder, manifest, table)
    if against.errors is not None:
        table = table.assign(distance_error=against.errors)
    return [
        _record(manifest, split, rows, _rows_of(baseline, split, rows), against.note)
        for split, rows in table.groupby("split", sort=False)
    ]


def survival_of(rows: pd.DataFrame) -> Survival | None:
    """Return the survival curve of some trajectories; None when none was simulated."""
    ran = rows[rows["status"].isin(RAN)]
    if ran.empty:
        return None
    return kaplan_meier(
        ran["stable_time_ps"].to_numpy(dtype=np.float64),
        (ran["status"] == "unstable").to_numpy(dtype=bool),
    )


def write_scores(folder: RunFolder) -> list[Record]:
    """Score a simulation, write ``records.jsonl`` and ``survival.csv``; return records.

    Raises:
        StoreError: It has not finished, or a file is missing or broken.
    """
    records = score_simulation(folder)
    folder.write_records(records)
    table = read_trajectories(folder)
    lines = ["split,time_ps,share,low,high,at_risk"]
    for split, rows in table.groupby("split", sort=False):
        curve = survival_of(rows)
        if curve is None:
            continue
        columns = (curve.time, curve.share, curve.low, curve.high, curve.at_risk)
        for time, share, low, high, n in zip(*columns, strict=True):
            ends = ("" if np.isnan(end) else f"{end:.6g}" for end in (low, high))
            lines.append(f"{split},{time:.6g},{share:.6g},{','.join(ends)},{n}")
    text = "\n".join(lines) + "\n"
    folder.write_scores({"survival.csv": text.encode()})
    return records


def baseline_beside(folder: RunFolder, manifest: Mapping[str, Any]) -> RunFolder | None:
    """Return where the baseline of a simulation lies, there or not.

    Args:
        folder: A simulation.
        manifest: Its manifest.

    Returns:
        None for a baseline itself.
    """
    if manifest["job"]["mode"] == "baseline":
        return None
    path = folder.path.parents[2] / "baseline" / "dynamics" / folder.path.name
    return RunFolder(path, folder.manifest_name)


def _baseline(folder: RunFolder, manifest: Mapping[str, Any]) -> pd.DataFrame | None:
    """Return the table of the baseline simulation beside this one, if it is alike."""
    beside = baseline_beside(folder, manifest)
    if beside is None:
        return None
    try:
        known, table = beside.read_manifest(), read_trajectories(beside)
    except StoreError:
        return None
    mine = {k: v for k, v in manifest["job"].items() if k not in {"mode", "settings"}}
    theirs = {k: v for k, v in known["job"].items() if k not in {"mode", "settings"}}
    alike = mine == theirs and manifest["starts_sha256"] == known["starts_sha256"]
    return table if alike else None


def _rows_of(
    baseline: pd.DataFrame | None, split: object, rows: pd.DataFrame
) -> pd.DataFrame | None:
    if baseline is None:
        return None
    theirs = baseline[baseline["split"] == split]
    same = theirs["name"].tolist() == rows["name"].tolist()
    return theirs if same else None


def _record(
    manifest: Mapping[str, Any],
    split: object,
    rows: pd.DataFrame,
    baseline: pd.DataFrame | None,
    note: str,
) -> Record:
    job = manifest["job"]
    molecules = Molecules.of(rows["molecule"].tolist())
    metrics: dict[str, MetricValue] = {}
    compared: dict[str, Comparison] = {}
    known = {} if baseline is None else _reads(baseline, job)
    for name, read in _reads(rows, job).items():
        samples = _samples(read.values)
        value = estimate(samples, molecules, card=read.card)
        if value is not None:
            metrics[name] = _honest(name, value, read.card)
        if name in PAIRED and name in known:
            comparison = paired(
                samples,
                _samples(known[name].values),
                molecules,
                card=read.card,
            )
            if comparison is not None and not _bounded(name, read, known[name]):
                compared[name] = comparison
    stable = _reads(rows, job)["stable_time"]
    worst = worst_group(_samples(stable.values), molecules, card=stable.card)
    counts = _counts(rows)
    status: Literal["ok", "skipped", "failed"] = "ok" if metrics else "failed"
    if not metrics and counts.skipped == counts.total:
        status = "skipped"
    roles = rows["role"].tolist()
    shift = rows["shift"].iloc[0]
    return Record(
        suite=job["suite"],
        suite_version=job["suite_version"],
        split=str(split),
        role=min(roles),  # ood_test before ood_val
        shift=None if pd.isna(shift) else str(shift),
        control="",
        model=job["model"],
        mode=job["mode"],
        seed=job["seed"],
        split_sha256=manifest["starts_sha256"],
        status=status,
        counts=counts,
        metrics=metrics,
        gap={},
        paired=compared,
        worst_group=None if worst is None else (worst.group, worst.value),
        wall_s_per_structure=None,
        provenance=_provenance(manifest),
        notes=(*_notes(manifest, rows), *((note,) if note else ())),
    )


def _reads(rows: pd.DataFrame, job: Mapping[str, Any]) -> dict[str, _Read]:
    """Return every metric with one value per trajectory, NaN where there is none."""
    ran = rows["status"].isin(RAN).to_numpy()
    unstable = (rows["status"] == "unstable").to_numpy()
    stable_time = rows["stable_time_ps"].to_numpy(dtype=np.float64)
    horizon = float(rows["horizon_ps"].iloc[0])

    def column(name: str) -> NDArray[np.float64]:
        return rows[name].to_numpy(dtype=np.float64)

    found = {
        "stable_time": (
            MetricCard(unit="ps", better="higher", bounds=(0, horizon)),
            stable_time,
        ),
        "survival": (
            MetricCard(unit="1", better="higher", bounds=(0, 1)),
            np.where(ran, 1.0 - unstable, np.nan),
        ),
        "time_to_failure": (
            MetricCard(unit="ps", better="higher", bounds=(0, horizon)),
            np.where(unstable, stable_time, np.nan),
        ),
        "temperature": (MetricCard(unit="K"), column("temperature_K")),
        "distance_distribution_error": (
            MetricCard(unit="1", bounds=(0, 2)),
            column("distance_error"),
        ),
    }
    if not job["thermostat"]:
        found |= {
            "energy_drift": (
                MetricCard(unit="eV/atom/ps"),
                np.abs(column("drift_eV_per_atom_ps")),
            ),
            "energy_drift_ratio": (MetricCard(unit="1"), column("drift_ratio")),
            "energy_ripple": (MetricCard(unit="eV/atom"), column("ripple_eV_per_atom")),
        }
    return {
        name: _Read(card=card, values=np.asarray(values, dtype=np.float64))
        for name, (card, values) in found.items()
    }


def _honest(name: str, value: MetricValue, card: MetricCard) -> MetricValue:
    """Return a number with an interval that does not collapse where all are alike.

    Where every trajectory lives, or none does, molecules are all alike, and an interval
    from their spread has no width. The share then gets the interval of Clopper
    and Pearson over molecules, and a stable time that is the whole horizon gets none: it
    is a lower bound.
    """
    n, least = value.n_molecules, TAIL ** (1 / max(value.n_molecules, 1))
    if name == "survival" and n > 1 and value.value in {0.0, 1.0}:
        low, high = (least, 1.0) if value.value else (0.0, 1 - least)
        ends = {"low": low, "high": high, "standard_error": None}
        return value.model_copy(update={**ends, "lowest": None, "highest": None})
    # a mean of equal values may differ from them in its last digit
    if name == "stable_time" and value.value >= card.bounds[1] * (1 - 1e-12):
        return value.model_copy(
            update={"low": None, "high": None, "standard_error": None}
        )
    return value


def _bounded(name: str, mine: _Read, other: _Read) -> bool:
    """Return whether both sides are all at the same end of what a metric can show.

    Where all live, two lower bounds have no difference, and an interval of [0, 0] would
    claim one that is known.
    """
    if name == "energy_drift":
        return False
    least, most = mine.card.bounds
    both = np.concatenate([mine.values, other.values])
    both = both[np.isfinite(both)]
    return bool((both >= most).all() or (both <= least).all())


def _samples(values: NDArray[np.float64]) -> Samples:
    there = np.isfinite(values)
    return Samples.of(values, weight=np.ones(len(values)), evaluated=there)


def _counts(rows: pd.DataFrame) -> Counts:
    status = rows["status"]
    bad = rows[~status.isin(RAN)]
    pairs = zip(bad["status"], bad["reason"], strict=True)
    reasons = Counter(f"{kind}: {reason}" for kind, reason in pairs)
    return Counts(
        total=len(rows),
        evaluated=int(status.isin(RAN).sum()),
        skipped=int((status == "skipped").sum()),
        failed=int((status == "failed").sum()),
        reasons=dict(reasons),
    )


def _provenance(manifest: Mapping[str, Any]) -> dict[str, str]:
    job = manifest["job"]
    told = {
        name: str(job[name])
        for name in (
            *("preset", "engine", "device", "thermostat", "temperature", "time_step"),
            *("duration", "friction", "record_every", "criterion", "seeds"),
            *("hydrogen_mass", "repartition"),
        )
    }
    return {
        **told,
        **limit_of(manifest),
        "dtype": str(manifest["dtype"]),
        "weights_sha256": str(manifest["model"]["weights_sha256"]),
        "sees": str(manifest["mode"]["sees"]),
        **{f"version {name}": str(v) for name, v in manifest["versions"].items()},
    }


def _notes(manifest: Mapping[str, Any], rows: pd.DataFrame) -> tuple[str, ...]:
    job, notes = manifest["job"], []
    relax = manifest["suite"]["dynamics"]["relax"]
    start = "first conformers" if relax == "none" else f"{relax} minima"
    notes.append(f"starts: {start}; nothing of a trajectory is seen by a refinement")
    if job["mode"] != "baseline":
        notes.append(
            "refined once, before the simulation, on the suite's conformers of each "
            f"molecule and its start; {manifest['mode']['sees']}"
        )
        kept = rows["refinement"].str.contains('"adapted": false', regex=False)
        if kept.any():
            notes.append(f"{int(kept.sum())} trajectories ran with the unadapted model")
    tuned = sorted(
        {
            m
            for m, r in zip(rows["molecule"], rows["role"], strict=True)
            if r.endswith("val")
        }
    )
    if tuned:
        notes.append(f"of the val half, where settings may be tuned: {', '.join(tuned)}")
    lost = rows[rows["status"] == "unstable"]
    for molecule, reasons in lost.groupby("molecule", sort=False)["reason"]:
        notes.append(f"{len(reasons)} of {molecule}, e.g. {reasons.iloc[0]}")
    return tuple(notes)
