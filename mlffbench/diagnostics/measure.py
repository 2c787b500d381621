"""Measure: every diagnostic of the catalogue on a training sample and on others."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlffbench.core.errors import BenchError, DataError
from mlffbench.core.plugins.user_file import in_words
from mlffbench.diagnostics.catalog import DIAGNOSTICS
from mlffbench.diagnostics.diagnostic import Fit, Measured, Sample, only
from mlffbench.diagnostics.diagnostic_card import DiagnosticCard

MIN_TRAIN = 2
"""Structures below which a training sample has no spread."""


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """One diagnostic of all samples.

    Attributes:
        name: Its name in the catalogue.
        card: How to read it.
        train: Its values for the training sample.
        tests: Its values for each other sample, in their order.
    """

    name: str
    card: DiagnosticCard
    train: Measured
    tests: tuple[Measured, ...]


@dataclass(frozen=True, slots=True)
class Unavailable:
    """A diagnostic without a single number, and why."""

    name: str
    card: DiagnosticCard
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Measurements:
    """Every diagnostic of the catalogue, in its order: a column, or why there is none."""

    columns: tuple[Column, ...]
    unavailable: tuple[Unavailable, ...]


def measure_all(train: Sample, tests: Sequence[Sample]) -> Measurements:
    """Return what every diagnostic says of a training sample and of others.

    A diagnostic that cannot be computed is listed with its reason; it never stops the
    others.

    Raises:
        DataError: The training sample has fewer than `MIN_TRAIN` structures, or a sample
            has none.
    """
    if train.structures.n_systems < MIN_TRAIN:
        held = "one structure" if train.structures.n_systems else "no structure"
        msg = f"{train.name} holds {held}; a training set needs at least {MIN_TRAIN} to "
        raise DataError(msg + "have a spread")
    for sample in tests:
        if not sample.structures.n_systems:
            msg = f"{sample.name} holds no structure, so there is nothing to compare"
            raise DataError(msg)
    found = [_measure(name, train, tests) for name in DIAGNOSTICS.names()]
    return Measurements(
        tuple(one for one in found if isinstance(one, Column)),
        tuple(one for one in found if isinstance(one, Unavailable)),
    )


def _measure(name: str, train: Sample, tests: Sequence[Sample]) -> Column | Unavailable:
    known = DIAGNOSTICS.entry(name).card
    card = known if isinstance(known, DiagnosticCard) else DiagnosticCard(label=name)
    try:
        fit: Fit = DIAGNOSTICS.load(name)
        fitted = fit(only(train, card.needs))
        measured = tuple(fitted.measure(only(one, card.needs)) for one in tests)
    except BenchError as error:
        return Unavailable(name, card, str(error))
    except Exception as error:  # noqa: BLE001 - it must not take the others along
        return Unavailable(name, card, in_words(error))
    if all(np.isnan(one.values).all() for one in measured):
        reasons = Counter(why for one in measured for why in one.reasons.values())
        why = reasons.most_common(1)[0][0] if reasons else "it has no value"
        return Unavailable(name, card, why)
    return Column(name, card, fitted.train, measured)
