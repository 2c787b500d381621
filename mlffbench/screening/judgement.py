"""Judgement: a verdict in words, and the reason that weighs most."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

import numpy as np
from numpy.typing import NDArray

from mlffbench.core.card import SYMBOLS, format_elements
from mlffbench.core.structures import Structures
from mlffbench.screening.calibration import Calibration
from mlffbench.screening.measured import CALIBRATED, PRIOR_FORCE, SPREAD, Alarmed

Floats = NDArray[np.float64]

USUAL = 0.95
"""Share of familiar structures that have no larger error or alarm than is usual."""
FAR = 3.0
"""Without an interval: times the usual alarm from which on nothing is to be trusted."""


class Verdict(StrEnum):
    """What to make of a model's forces on a structure."""

    known = "as in training"
    caution = "caution"
    no = "do not trust"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Familiar:
    """What is usual on structures like those of training, and what training holds.

    Attributes:
        error: Force MAE in eV/Å that 95 % of familiar structures stay below; NaN where
            no labels tell.
        alarms: Alarm -> the value that 95 % of them stay below.
        atom_distance: Atomic number -> the same for its atoms' distances.
        elements: Atomic numbers of training.
        charges: Total charges of training, in e.
        multiplicities: 2S + 1 of training.
        most_atoms: Of a training structure.
    """

    error: float
    alarms: Mapping[str, float]
    atom_distance: Mapping[int, float]
    elements: frozenset[int]
    charges: frozenset[int]
    multiplicities: frozenset[int]
    most_atoms: int

    @classmethod
    def of(
        cls, train: Structures, known: Sequence[Alarmed], errors: Sequence[Floats]
    ) -> Self:
        """Return what is usual.

        Args:
            train: The training structures.
            known: Held-out structures like those of training.
            errors: Force MAE of each of them, in eV/Å.
        """
        names = {name for one in known for name in one.alarms}
        alarms = {
            name: _most(np.concatenate([one.alarms[name] for one in known]))
            for name in names
        }
        numbers = [one.sample.structures.numbers.numpy() for one in known]
        atoms = np.concatenate([np.zeros(0, dtype=np.int64), *numbers])
        distances = np.concatenate([np.zeros(0), *(one.atom_distance for one in known)])
        return cls(
            error=_most(np.concatenate([np.zeros(0), *errors])),
            alarms=alarms,
            atom_distance={
                number: _most(distances[atoms == number])
                for number in set(atoms.tolist())
            },
            elements=frozenset(train.numbers.tolist()),
            charges=frozenset(train.charge.tolist()),
            multiplicities=frozenset(train.multiplicity.tolist()),
            most_atoms=int(train.sizes.max()),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One structure judged.

    Attributes:
        verdict: In words.
        reason: What weighs most; empty where nothing does.
        rank: How far it is from what is usual: the largest alarm over the usual one.
        atom: The atom that is furthest from training, by number; −1 where not known.
    """

    verdict: Verdict
    reason: str
    rank: float
    atom: int


def judge(
    mine: Alarmed, familiar: Familiar, calibration: Calibration | None, prior: str
) -> list[Judged]:
    """Return a verdict for every structure.

    Args:
        mine: The structures.
        familiar: What is usual.
        calibration: Expected errors; None where there were too few labels.
        prior: Name of the prior.
    """
    structures = mine.sample.structures
    expected = calibration.expect(mine.alarms) if calibration else None
    judged = []
    for place in range(structures.n_systems):
        furthest = _furthest(mine, familiar, place)
        atom = furthest[0]
        told = _told(mine, familiar, place, prior, furthest)
        rank = max((weight for weight, _ in told.unusual), default=0.0)
        if told.impossible:
            judged.append(_judged(Verdict.no, told.impossible, np.inf, atom))
            continue
        verdict = _by_rank(rank)
        if expected is not None:
            middle, low = expected.middle[place], expected.low[place]
            verdict = _by_error(float(middle), float(low), familiar.error, rank)
        unseen = _unseen(mine, calibration, place, told)
        if (told.new or unseen) and verdict is Verdict.known:
            verdict = Verdict.caution
        weighty = max(told.unusual, default=(0.0, ""))
        reasons = [*told.new, *unseen]
        if weighty[0] > 1 or (verdict is not Verdict.known and not reasons):
            reasons.append(weighty[1])
        judged.append(_judged(verdict, "; ".join(filter(None, reasons)), rank, atom))
    return judged


def _judged(verdict: Verdict, reason: str, rank: float, atom: int) -> Judged:
    return Judged(verdict=verdict, reason=reason, rank=rank, atom=atom)


def _by_error(middle: float, low: float, usual: float, rank: float) -> Verdict:
    """Return a verdict by the expected error; by rank where there is none."""
    if np.isnan(middle) or np.isnan(usual):
        return _by_rank(rank)
    if (middle if np.isnan(low) else low) > usual:
        return Verdict.no
    return Verdict.caution if middle > usual else Verdict.known


def _by_rank(rank: float) -> Verdict:
    if rank > FAR:
        return Verdict.no
    return Verdict.caution if rank > 1 else Verdict.known


@dataclass(frozen=True, slots=True)
class _Told:
    """What there is to say of a structure.

    Attributes:
        impossible: Why the model has no forces of it; empty where it has.
        new: What training lacks altogether.
        unusual: Alarm over the usual one, and what it means.
    """

    impossible: str
    new: tuple[str, ...]
    unusual: tuple[tuple[float, str], ...]


def _told(
    mine: Alarmed,
    familiar: Familiar,
    place: int,
    prior: str,
    furthest: tuple[int, float],
) -> _Told:
    structures = mine.sample.structures
    atom, atom_ratio = furthest
    numbers = structures.numbers[structures.system == place]
    impossible = why_impossible(mine, place)
    new = []
    strange = frozenset(numbers.tolist()) - familiar.elements
    if strange:
        several = "s" * (len(strange) > 1)
        new.append(f"new element{several} {format_elements(strange)}")
    charge = int(structures.charge[place])
    if charge not in familiar.charges:
        new.append(f"the charge {charge:+d} is not in training")
    spin = int(structures.multiplicity[place])
    if spin not in familiar.multiplicities:
        new.append(f"unpaired electrons (2S+1 = {spin}), which training lacks")
    said: dict[str, str] = {
        "prior_gap": f"{_times(mine, 'prior_gap', place)} from {prior}, familiar "
        f"structures up to {_usual(familiar, 'prior_gap')}",
        SPREAD: f"the models are {_times(mine, SPREAD, place)} apart, on familiar "
        f"structures up to {_usual(familiar, SPREAD)}",
        PRIOR_FORCE: f"hot geometry: {prior}'s mean force is "
        f"{_value(mine, PRIOR_FORCE, place):.1f} eV/Å, on familiar structures up to "
        f"{familiar.alarms.get(PRIOR_FORCE, np.nan):.1f}",
    }
    unusual = [
        (ratio, text)
        for name, text in said.items()
        if not np.isnan(
            ratio := _over(_value(mine, name, place), familiar.alarms.get(name))
        )
    ]
    if atom >= 0:
        symbol = SYMBOLS[int(numbers[atom])]
        what = f"new environment around atom {atom} ({symbol}): {atom_ratio:.1f} times "
        whole = _value(mine, "embedding_knn", place)
        ratio = _over(whole, familiar.alarms.get("embedding_knn"))
        unusual.append((ratio, what + "as far from training as on familiar structures"))
    if len(numbers) > familiar.most_atoms:
        n = len(numbers)
        text = f"{n} atoms, training up to {familiar.most_atoms}"
        unusual.append((min(n / familiar.most_atoms, FAR), text))
    return _Told(impossible, tuple(new), tuple(unusual))


def _unseen(
    mine: Alarmed, calibration: Calibration | None, place: int, told: _Told
) -> list[str]:
    """Say which alarm could not be measured, so that silence is not taken for trust."""
    if calibration is None:
        return [] if told.unusual else ["no alarm could be measured"]
    missing = [n for n in calibration.names if np.isnan(_value(mine, n, place))]
    return [
        f"{name} could not be measured" + (f" ({why})" if why else "")
        for name in missing
        for why in [mine.reasons.get(name, {}).get(place, "")]
    ]


def why_impossible(mine: Alarmed, place: int) -> str:
    """Return why the model has no forces of a structure; empty where it has."""
    labels = mine.sample.prediction
    if labels is None:
        return mine.sample.why_absent("prediction")
    return labels.failures.get(place, "")


def _furthest(mine: Alarmed, familiar: Familiar, place: int) -> tuple[int, float]:
    """Return which atom is furthest from training, and how many times the usual."""
    ratios = times_usual(mine, familiar, place)
    if not np.isfinite(ratios).any():
        return -1, np.nan
    atom = int(np.nanargmax(ratios))
    return atom, float(ratios[atom])


def times_usual(mine: Alarmed, familiar: Familiar, place: int) -> Floats:
    """Return how far each atom of a structure is from training.

    Returns:
        Shape (its n_atoms,), in times what is usual for its element; NaN where not known.
    """
    here = mine.sample.structures.system.numpy() == place
    numbers = mine.sample.structures.numbers.numpy()[here]
    everything = max(familiar.atom_distance.values(), default=np.nan)
    usual = np.array([familiar.atom_distance.get(int(z), everything) for z in numbers])
    ratios: Floats = mine.atom_distance[here] / np.where(usual > 0, usual, np.nan)
    return ratios


def _over(value: float, usual: float | None) -> float:
    """Return a value in times the usual one; NaN where that is none, or 0."""
    return value / usual if usual else float("nan")


def _value(mine: Alarmed, name: str, place: int) -> float:
    return float(mine.alarms[name][place]) if name in mine.alarms else np.nan


def _times(mine: Alarmed, name: str, place: int) -> str:
    return f"{1000 * _value(mine, name, place):.0f} meV/Å"


def _usual(familiar: Familiar, name: str) -> str:
    return f"{1000 * familiar.alarms.get(name, np.nan):.0f}"


def _most(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(np.quantile(known, USUAL)) if len(known) else float("nan")


def calibrated_alarms(known: Sequence[Alarmed]) -> dict[str, Floats]:
    """Return the alarms that an expected error can be a regression on, all samples."""
    names = [n for n in CALIBRATED if all(n in one.alarms for one in known)]
    return {n: np.concatenate([one.alarms[n] for one in known]) for n in names}


def atom_scores(mine: Alarmed) -> dict[str, Floats]:
    """Return what is told atom by atom, where it could be measured."""
    found = {"atom_distance": mine.atom_distance, "atom_prior_gap": mine.atom_gap}
    return {name: one for name, one in found.items() if np.isfinite(one).any()}
