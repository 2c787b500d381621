"""What radius refinement chose in a run, and what the oracle says of it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from mlffbench.core.errors import StoreError
from mlffbench.core.record import RadiusSummary
from mlffbench.metrics.catalog import METRICS
from mlffbench.metrics.intervals.share import share
from mlffbench.metrics.molecules import Molecules
from mlffbench.run.evaluate.open_run import OpenRun
from mlffbench.run.evaluate.stored import StoredSplit
from mlffbench.run.folder import read_arrays, write_arrays

Floats = NDArray[np.float64]
FILE = "oracle.npz"
"""Beside the modes of a model."""
_CLOSE = 1e-4
"""Radii in Å that differ by less are the same."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Oracle:
    """The error of every structure at every cutoff.

    Attributes:
        cutoffs: Shape (n_candidates,), in Å; the first is the trained one.
        envelopes: Shape (n_candidates,): ``trained``, ``truncate`` or ``rescale``.
        ids: Shape (n,): what `names_of` calls the structures.
        errors: Shape (n_candidates, n), in eV/Å; NaN where there is none.
        model: Whose they are, as `identity_of` tells.
    """

    cutoffs: Floats
    envelopes: NDArray[np.str_]
    ids: NDArray[np.str_]
    errors: Floats
    model: str

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Return the oracle of a model's folder; None when nobody asked it.

        Raises:
            StoreError: The file is broken.
        """
        path = folder / FILE
        if not path.exists():
            return None
        arrays = read_arrays(path)
        try:
            return cls(
                cutoffs=arrays["cutoffs"],
                envelopes=arrays["envelopes"],
                ids=arrays["ids"],
                errors=arrays["errors"],
                model=str(arrays["model"]),
            )
        except KeyError as error:
            msg = f"{path} is no oracle's file: {error} is missing; delete it"
            raise StoreError(msg) from error

    def write(self, folder: Path) -> None:
        """Write the file, atomically."""
        write_arrays(
            folder / FILE,
            {
                "cutoffs": self.cutoffs,
                "envelopes": self.envelopes,
                "ids": self.ids,
                "errors": self.errors,
                "model": np.asarray(self.model),
            },
        )

    @cached_property
    def _place(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.ids.tolist())}

    def best(self, names: list[str], radii: list[float], envelope: str) -> Floats:
        """Return the least error of structures over what a refinement could choose.

        Args:
            names: As in ``ids``.
            radii: Its radii, in Å.
            envelope: Its policy: ``truncate``, ``rescale`` or ``either``.

        Returns:
            Shape (len(names),), in eV/Å; NaN where the oracle does not know all of them.
        """
        tried = np.array([np.abs(self.cutoffs - radius) < _CLOSE for radius in radii])
        allowed = np.isin(self.envelopes, ["trained", envelope]) | (envelope == "either")
        tried &= allowed
        if not tried.any(axis=1).all():
            return np.full(len(names), np.nan)
        least = self.errors[tried.any(axis=0)].min(axis=0)
        known = [self._place.get(name, -1) for name in names]
        return np.where(np.array(known) >= 0, least[known], np.nan)


def names_of(split: StoredSplit) -> list[str]:
    """Return what the oracle calls the structures of a split: source, split and id."""
    manifest = split.manifest
    source = f"{manifest['source_sha256'][:16]}/{manifest['name']}/{manifest['role']}"
    return [f"{source}/{one}" for one in split.table["id"]]


def identity_of(model: Mapping[str, Any]) -> str:
    """Return a checksum of what ``run.json`` says of a model: weights, files, card."""
    text = json.dumps(dict(model), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(slots=True, eq=False)
class RadiusTally:
    """What was chosen in a split, counted a piece at a time.

    Attributes:
        settings: Of the mode.
        oracle: What the best choice would have been; None where nobody knows.
    """

    settings: Mapping[str, Any]
    oracle: Oracle | None
    _radii: list[tuple[float, float]] = field(default_factory=list)
    _counts: list[tuple[int, int, int]] = field(default_factory=list)
    _judged: list[tuple[Floats, Floats, Floats, Floats]] = field(default_factory=list)

    @classmethod
    def begin(cls, run: OpenRun, baseline: OpenRun | None) -> Self:
        """Return the tally of a run before the first piece.

        Args:
            run: The run of a mode.
            baseline: The same model under the baseline, where there is such a run.

        Raises:
            StoreError: The oracle's file is broken.
        """
        settings = run.manifest["mode"]["settings"] or {}
        if "radii" not in settings:
            return cls(settings, None)
        oracle = Oracle.read(run.folder.path.parent)
        known = oracle is not None and oracle.model == identity_of(run.manifest["model"])
        # with steps, the oracle knows the untouched model only
        if not known or baseline is None or "steps" in settings:
            return cls(settings, None)
        return cls(settings, oracle)

    def see(self, split: StoredSplit, baseline: StoredSplit | None) -> None:
        """Count the next piece.

        Args:
            split: The piece.
            baseline: The same piece under the baseline, where there is such a run.
        """
        if self.oracle is not None and baseline is not None:
            radii = [float(text) for text in str(self.settings["radii"]).split(",")]
            best = self.oracle.best(
                names_of(split), radii, str(self.settings["envelope"])
            )
            self._judged.append((best, *_errors(baseline), _errors(split)[0]))
        table = split.table
        if "radius" not in table or not table["radius"].notna().any():
            return
        chosen = table[table["radius"].notna()]
        found = chosen["radius"].to_numpy(dtype=np.float64)
        self._radii.append((float(found.min()), float(found.max())))
        changed = int(chosen["graph_changed"].astype(bool).sum())
        refined = int((chosen["envelope"] != "trained").sum())
        self._counts.append((len(chosen), changed, refined))

    def summary(self, molecules: Molecules) -> RadiusSummary | None:
        """Return what was chosen in the split; None where no radius was.

        Args:
            molecules: Of the split.
        """
        if not self._radii:
            return None
        smallest, largest = zip(*self._radii, strict=True)
        n, n_changed, n_refined = (sum(one) for one in zip(*self._counts, strict=True))
        found = RadiusSummary(
            smallest=min(smallest),
            largest=max(largest),
            n=n,
            n_changed=n_changed,
            n_refined=n_refined,
        )
        return found.model_copy(update=self._judge(molecules)) if self._judged else found

    def _judge(self, molecules: Molecules) -> dict[str, Any]:
        best, before, weight, after = (
            np.concatenate(column) for column in zip(*self._judged, strict=True)
        )
        there = np.isfinite(before) & np.isfinite(after) & np.isfinite(best)
        base = np.where(there, before * weight, np.nan)
        gain, most = base - after * weight, base - best * weight
        return {
            "headroom": share(most, base, molecules, bounds=(0.0, 1.0)),
            "captured": share(gain, most, molecules, bounds=(-np.inf, 1.0)),
        }


def _errors(split: StoredSplit) -> tuple[Floats, Floats]:
    """Return the force MAE of each structure and its weight in the pooled one."""
    samples = METRICS.load("forces_mae")(
        split.prediction, split.reference, split.structures
    )[""]
    return samples.value, samples.weight
