"""Run shape: what the files of a run from elsewhere must be before anybody reads them."""

import json
from collections.abc import Sequence
from typing import Any, Never

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
