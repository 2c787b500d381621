"""Score of a curve: stored errors -> error against labels, labels saved, forgetting."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlffbench.core.errors import StoreError
from mlffbench.core.record import Counts, MetricValue, Record
from mlffbench.metrics.intervals.estimates import estimate, paired
from mlffbench.metrics.intervals.interval import find_interval
from mlffbench.metrics.intervals.resampling import draw_counts, resample
from mlffbench.metrics.metric_card import MetricCard
from mlffbench.metrics.molecules import Molecules
from mlffbench.metrics.samples import Samples
from mlffbench.run.folder import Arrays, RunFolder, read_arrays

Floats = NDArray[np.float64]
MAE = MetricCard(unit="eV/Å")
ERRORS = "errors.npz"
_OF_POINTS = {"mode": "U", "size": "i", "seed": "i"}
_OF_STRUCTURES = {"split": "U", "role": "U", "molecule": "U", "n_atoms": "i"}
ERRORS_MEMBERS = ("error", *_OF_POINTS, *_OF_STRUCTURES)
"""Arrays of ``errors.npz``: error, shape (n_points, n_structures), and what both are."""
LABELS = "labels"
"""Unit of the labels saved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """How many labels one start saves over baseline at equal error.

    Attributes:
        split: Which test split; ``all OOD`` for all together.
        mode: The start.
        size: Labels that the baseline was given.
        value: Labels saved, with interval over molecules.
        note: What is beyond the ends of the curve.
    """

    split: str
    mode: str
    size: int
    value: MetricValue
    note: str


def read_curve(folder: RunFolder) -> Arrays:
    """Return ``errors.npz`` of a finished curve.

    Raises:
        StoreError: It has not finished, or the file is missing or broken.
    """
    manifest = folder.read_finished("curve")
    arrays = read_arrays(folder.path / ERRORS)
    tested = {(entry["name"], entry["role"]) for entry in manifest["splits"]}
    fault = _fault_of(arrays, tested)
    if fault:
        msg = f"{folder.path / ERRORS} is not of a curve ({fault}); repeat its command "
        raise StoreError(msg + "with --overwrite")
    return arrays


def _fault_of(arrays: Arrays, tested: set[tuple[str, str]]) -> str:
    """Return what no curve has, empty where all is as it should be."""
    there_are = {name for name, one in arrays.items() if isinstance(one, np.ndarray)}
    if there_are != set(ERRORS_MEMBERS) or arrays["error"].dtype != np.float64:
        return "other arrays"
    n_points, n_structures = (*arrays["error"].shape, -1, -1)[:2]
    for names, n in ((_OF_POINTS, n_points), (_OF_STRUCTURES, n_structures)):
        for name, kind in names.items():
            if arrays[name].shape != (n,) or arrays[name].dtype.kind != kind:
                return f"{name} of shape {arrays[name].shape}"
    there = set(zip(arrays["split"].tolist(), arrays["role"].tolist(), strict=True))
    if not n_points or not n_structures or not there <= tested:
        return "other splits"
    tried = set(zip(arrays["mode"].tolist(), arrays["size"].tolist(), strict=True))
    if len(tried) != len(set(arrays["mode"])) * len(set(arrays["size"])):
        return "starts with other numbers of labels"
    return "" if (arrays["n_atoms"] > 0).all() else "structures without atoms"


def score_curve(folder: RunFolder) -> tuple[list[Record], list[Saved]]:
    """Return the records of a curve, one per split, start and number of labels.

    Errors are averaged over the draws, then judged over molecules. A start is compared
    with baseline at the same number of labels; on an ID control, where the
    question is forgetting, with the untouched model.

    Raises:
        StoreError: It has not finished, or a file is missing or broken.
    """
    manifest, arrays = folder.read_manifest(), read_curve(folder)
    records: list[Record] = []
    saved: list[Saved] = []
    names = list(dict.fromkeys(zip(arrays["split"], arrays["role"], strict=True)))
    for split, role in names:
        there = (arrays["split"] == split) & (arrays["role"] == role)
        curve = _Curve.of(arrays, there)
        records += [
            _record(manifest, (str(split), str(role)), curve, mode, size)
            for mode in curve.modes
            for size in curve.sizes
        ]
        if str(role).startswith("ood"):
            saved += labels_saved(curve, str(split), manifest["job"]["seed"])
    return records, saved


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Curve:
    """The errors on one split: (mode, size) -> per structure, averaged over draws."""

    modes: tuple[str, ...]
    sizes: tuple[int, ...]
    errors: Mapping[tuple[str, int], Floats]
    spread: Mapping[tuple[str, int], float]
    weight: Floats
    molecules: Molecules

    @classmethod
    def of(cls, arrays: Arrays, there: NDArray[np.bool_]) -> "_Curve":
        weight = 3.0 * arrays["n_atoms"][there]
        errors: dict[tuple[str, int], Floats] = {}
        spread: dict[tuple[str, int], float] = {}
        keys = dict.fromkeys(
            zip(arrays["mode"].tolist(), arrays["size"].tolist(), strict=True)
        )
        for mode, size in keys:
            rows = (arrays["mode"] == mode) & (arrays["size"] == size)
            mine = arrays["error"][rows][:, there]
            errors[mode, size] = mine.mean(axis=0)
            pooled = (mine * weight).sum(axis=1) / weight.sum()
            spread[mode, size] = float(pooled.std(ddof=1)) if len(pooled) > 1 else np.nan
        return cls(
            modes=tuple(dict.fromkeys(mode for mode, _ in keys)),
            sizes=tuple(sorted({size for _, size in keys})),
            errors=errors,
            spread=spread,
            weight=weight,
            molecules=Molecules.of(arrays["molecule"][there].tolist()),
        )

    def samples(self, mode: str, size: int) -> Samples:
        """Return the errors with one start and number of labels."""
        values = self.errors[mode, size]
        return Samples.of(values, weight=self.weight, evaluated=np.isfinite(values))

    def resampled(self, mode: str, seed: int) -> tuple[Floats, Floats]:
        """Return pooled errors by size: shape (n_sizes,) and (n_resamples, n_sizes)."""
        n = len(self.molecules.keys)
        counts = draw_counts(n, seed=seed)
        whole, drawn = [], []
        for size in self.sizes:
            values = self.errors[mode, size]
            fine = np.isfinite(values)
            sums = np.zeros((n, 2))
            np.add.at(
                sums[:, 0], self.molecules.index[fine], (values * self.weight)[fine]
            )
            np.add.at(sums[:, 1], self.molecules.index[fine], self.weight[fine])
            whole.append(sums[:, 0].sum() / sums[:, 1].sum())
            both = resample(counts, sums)
            drawn.append(both[:, 0] / both[:, 1])
        return np.asarray(whole), np.stack(drawn, axis=1)


def labels_saved(curve: _Curve, split: str, seed: int) -> list[Saved]:
    """Return the labels each start saves: N minus where its curve meets baseline's error.

    The curve of a start is interpolated linearly between its sizes. An error that it has
    already without labels counts as met at 0, one that it never reaches as met at the
    last size: savings are clipped to what the sizes can show, and say so.

    Args:
        curve: Errors on one split.
        split: Its name.
        seed: Of the resampling.
    """
    if "baseline" not in curve.modes or len(curve.sizes) < 2:  # noqa: PLR2004 - a line
        return []
    sizes = np.asarray(curve.sizes, dtype=np.float64)
    base, base_drawn = curve.resampled("baseline", seed)
    found = []
    for mode in curve.modes:
        if mode == "baseline":
            continue
        mine, mine_drawn = curve.resampled(mode, seed)
        for place, size in enumerate(curve.sizes):
            if size == 0:
                continue
            value = size - labels_needed(sizes, mine, base[place])
            drawn = np.asarray(
                [
                    size - labels_needed(sizes, errors, wanted)
                    for errors, wanted in zip(
                        mine_drawn, base_drawn[:, place], strict=True
                    )
                ]
            )
            n = len(curve.molecules.keys)
            bounds = (size - float(sizes[-1]), float(size))
            ends = (
                find_interval(value, drawn, n, bounds=bounds)._asdict() if n > 1 else {}
            )
            note = ""
            if mine[0] <= base[place]:
                fewest = curve.sizes[0]
                how = f"with the fewest labels, {fewest}" if fewest else "without a label"
                note = f"at least: met {how}"
            elif mine.min() > base[place]:
                note = "at most: not met with the most labels"
            found.append(
                Saved(
                    split=split,
                    mode=mode,
                    size=size,
                    value=MetricValue(
                        value=value,
                        unit=LABELS,
                        n=len(curve.weight),
                        n_molecules=n,
                        **ends,
                    ),
                    note=note,
                )
            )
    return found


def labels_needed(sizes: Floats, errors: Floats, wanted: float) -> float:
    """Return the number of labels at which a curve of straight pieces meets a value.

    Args:
        sizes: Shape (n_sizes,), ascending.
        errors: Shape (n_sizes,).
        wanted: The error.

    Returns:
        The first size where the curve starts below it, the last where it never does.

    Example:
        >>> labels_needed(np.array([0.0, 10, 20]), np.array([5.0, 3, 2]), 2.5)
        15.0
    """
    if errors[0] <= wanted:
        return float(sizes[0])
    for place in range(1, len(sizes)):
        if errors[place] <= wanted:
            share = (errors[place - 1] - wanted) / (errors[place - 1] - errors[place])
            return float(sizes[place - 1] + share * (sizes[place] - sizes[place - 1]))
    return float(sizes[-1])


def _record(
    manifest: Mapping[str, Any],
    where: tuple[str, str],
    curve: _Curve,
    mode: str,
    size: int,
) -> Record:
    split, role = where
    job, samples = manifest["job"], curve.samples(mode, size)
    metrics, compared = {}, {}
    value = estimate(samples, curve.molecules, card=MAE)
    if value is not None:
        metrics["forces_mae"] = value
    against = ("baseline", 0) if role.startswith("id") else ("baseline", size)
    if against in curve.errors and (mode, size) != against:
        other = curve.samples(*against)
        found = paired(samples, other, curve.molecules, card=MAE)
        if found is not None:
            compared["forces_mae"] = found
    n, fine = len(curve.weight), int(samples.evaluated.sum())
    reasons = {"no finite forces": n - fine} if fine < n else {}
    spread = curve.spread[mode, size]
    entry = next(e for e in manifest["splits"] if (e["name"], e["role"]) == (split, role))
    return Record(
        suite=job["suite"],
        suite_version=job["suite_version"],
        split=split,
        role=role,
        shift=None,
        control="",
        model=job["model"],
        mode=f"{mode}, {size} labels",
        seed=job["seed"],
        split_sha256=entry["sha256"],
        status="ok" if metrics else "failed",
        counts=Counts(
            total=n, evaluated=fine, skipped=0, failed=n - fine, reasons=reasons
        ),
        metrics=metrics,
        gap={},
        paired=compared,
        worst_group=None,
        wall_s_per_structure=None,
        provenance={
            "start": mode,
            "ttt saw": str(job["adapts_to"]),
            "n_labels": str(size),
            "draws": str(job["n_seeds"] if size else 1),
            "spread_over_draws": "" if np.isnan(spread) else f"{spread:.6g} eV/Å",
            **{f"fine-tuning {k}": str(v) for k, v in job["tuning"].items()},
            "device": job["device"],
            "weights_sha256": manifest["model"]["weights_sha256"],
        },
    )
