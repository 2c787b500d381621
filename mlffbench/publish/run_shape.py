"""Run shape: what files from elsewhere must be before anybody reads them."""

import json
from collections.abc import Sequence
from typing import Any, Literal, Never

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, NonNegativeInt


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class _Job(_Part):
    suite: str
    suite_version: int
    model: str
    mode: str
    half: str
    seed: int
    limit: NonNegativeInt | None = None


class _Mode(_Part):
    name: str
    sees: str
    settings: dict[str, Any]


class _Split(_Part):
    name: str
    role: str
    control: str
    shift: str | None
    sha256: str
    source_sha256: str
    level_of_theory: str
    n_chosen: NonNegativeInt
    n_structures: NonNegativeInt


class _Model(_Part):
    name: str
    weights_sha256: str
    card: dict[str, Any]


class _Hardware(_Part):
    device: str


class RunShape(_Part):
    """What of ``run.json`` scores and reports are made of; more may stand there."""

    job: _Job
    mode: _Mode
    splits: list[_Split] = Field(min_length=1)
    model: _Model
    hardware: _Hardware
    versions: dict[str, str]
    git: dict[str, str | bool] | None = None
    suite: dict[str, Any]
    wall_s: dict[str, FiniteFloat]
    dtype: str
    started: str


class FurtherShape(_Part):
    """What simulations and curves have in common."""

    versions: dict[str, str]
    hardware: _Hardware
    started: str

    @property
    def n_rows(self) -> int:
        """Rows of its tables; it has none."""
        return 0


class _Dynamics(_Part):
    relax: str
    reference: str | bool | None = None


class _Suite(_Part):
    dynamics: _Dynamics


class _SimulationJob(_Part):
    suite: str
    suite_version: int
    model: str
    mode: str
    seed: int
    preset: str
    engine: str
    device: str
    thermostat: bool
    temperature: FiniteFloat
    time_step: FiniteFloat
    duration: FiniteFloat
    friction: FiniteFloat
    record_every: int
    criterion: str
    seeds: NonNegativeInt
    hydrogen_mass: FiniteFloat | None
    repartition: bool
    limit: NonNegativeInt | None = None


class _Subject(_Part):
    name: str
    molecule: str
    role: str
    shift: str | None


class SimulationShape(FurtherShape):
    """What of ``dynamics.json`` scores and reports are made of."""

    job: _SimulationJob
    mode: _Mode
    splits: list[_Subject] = Field(min_length=1)
    starts_sha256: str
    model: _Model
    suite: _Suite
    dtype: str

    @property
    def n_rows(self) -> int:
        """Trajectories that it has."""
        return len(self.splits) * self.job.seeds


class _CurveJob(_Part):
    suite: str
    suite_version: int
    model: str
    seed: int
    n_seeds: NonNegativeInt
    tuning: dict[str, int | FiniteFloat]
    adapts_to: Literal["pool", "tests", "both"]
    device: str


class _Tested(_Part):
    name: str
    role: str
    sha256: str


class _Tuned(_Part):
    name: str
    weights_sha256: str


class _Curve(_Part):
    name: Literal["finetune-curve"]


class CurveShape(FurtherShape):
    """What of ``curve.json`` scores and reports are made of."""

    job: _CurveJob
    mode: _Curve
    splits: list[_Tested] = Field(min_length=1)
    model: _Tuned


def read_strictly(text: str) -> Any:
    """Return JSON content whose numbers are finite and whose keys stand there once.

    Raises:
        ValueError: It is other than that; what a number or key is, in words.
    """
    return json.loads(
        text, object_pairs_hook=once, parse_constant=_refuse, parse_float=_finite
    )


def once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Return a mapping of which no key is there twice: readers take the one or the other.

    Raises:
        ValueError: One is.
    """
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = max(keys, key=keys.count)
        msg = f"the key {twice!r:.60} stands there twice"
        raise ValueError(msg)
    return found


def _refuse(word: str) -> Never:
    msg = f"a number is {word}, which is not finite"
    raise ValueError(msg)


def _finite(word: str) -> float:
    found = float(word)
    if found in {float("inf"), float("-inf")}:
        msg = f"a number is {word:.20}, which is not finite"
        raise ValueError(msg)
    return found
