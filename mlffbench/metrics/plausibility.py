"""Plausibility: whether labels can be what they are taken for, eV, eV/Å and Å.

A cheap physical model (GFN2-xTB) knows the sign and the size of forces to some ten
percent, and isolated atoms those of total energies to one: enough to recognise a wrong
unit, since units differ by factors of 1.9 to 1,000, a gradient, and another zero.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from ase.data import covalent_radii
from numpy.typing import NDArray

from mlffbench.core.labels import Labels
from mlffbench.core.structures import Structures
from mlffbench.core.units import BOHR, HARTREE, KCAL_PER_MOL, KJ_PER_MOL

Floats = NDArray[np.float64]

ATOMS = {
    1: -0.5, 2: -2.9037, 3: -7.4781, 4: -14.6674, 5: -24.6539, 6: -37.8450, 7: -54.5892,
    8: -75.0673, 9: -99.7339, 10: -128.9376, 11: -162.2546, 12: -200.053, 13: -242.346,
    14: -289.359, 15: -341.259, 16: -398.110, 17: -460.148, 18: -527.540, 35: -2572.441,
}  # fmt: skip
"""Non-relativistic isolated atoms in hartree, all electrons; methods differ by 0.3 %.

Z ≤ 18: Chakravorty et al., Phys. Rev. A 47, 3649 (1993); Br: Hartree–Fock limit.
"""
ENERGIES = {
    "eV": 1.0,
    "kcal/mol": 1 / KCAL_PER_MOL,
    "kJ/mol": 1 / KJ_PER_MOL,
    "hartree": 1 / HARTREE,
    "meV": 1e3,
}
"""Unit -> how many there are in one eV."""
CONVERTED = {
    "eV that were converted as if they were kcal/mol": KCAL_PER_MOL,
    "eV that were converted as if they were kJ/mol": KJ_PER_MOL,
    "eV that were converted as if they were hartree": HARTREE,
    "eV that were converted as if they were meV": 1e-3,
}
FORCES = {
    **{f"{unit}/Å": value for unit, value in ENERGIES.items()},
    **{f"{unit}/bohr": value * BOHR for unit, value in ENERGIES.items()},
    **{name.replace("eV that", "eV/Å that") + "/Å": v for name, v in CONVERTED.items()},
    "eV/Å that were converted as if they were hartree/bohr": HARTREE / BOHR,
    "eV/Å that were converted as if they were eV/bohr": 1 / BOHR,
}
LENGTHS = {"bohr": 1 / BOHR, "Å that were converted as if they were bohr": BOHR}
NEAR = 0.25
"""Natural logarithm of the factor between a slope and the units it may speak of.

GFN2-xTB's forces are 3 to 22 % smaller than those of DFT on the sets we ship or tried.
"""
NEAR_LENGTH = 0.16
"""The same for bond lengths."""
LEAST_CORRELATION = 0.7
"""Below it a slope against a cheap model means nothing."""
LEAST_OF_LENGTHS = 0.85
"""Below it a slope between a half and two may be the cheap model's own error."""
_LOW, _HIGH = 0.5, 2.0
LEAST_OF_PREDICTIONS = 0.9
"""The same for a model's predictions, which may be poor for honest reasons."""
UNRELATED = 0.2
"""Below it forces and geometries do not belong together."""
UNBALANCED = 0.05
"""Share of the mean force that the net force of a molecule may have; so the torque."""
TINY = 0.05
"""Forces in eV/Å that are too small to say anything."""
TOTAL, VALENCE = 0.025, 0.015
"""How far energies may be from isolated atoms, and from GFN2-xTB, as a share."""
BOUND = 10.0
"""eV per atom: what binds an atom is less, what an atom holds is more."""


class Slope(NamedTuple):
    """A straight line through the origin.

    Attributes:
        value: Ratio of root mean squares, with the sign of the correlation.
        correlation: Between −1 and 1, about the origin.
    """

    value: float
    correlation: float


def slope_of(values: Floats, against: Floats) -> Slope:
    """Return the line through the origin that treats both sides alike."""
    own, other = float((values**2).sum()), float((against**2).sum())
    if not own or not other:
        return Slope(float("nan"), float("nan"))
    correlation = float((values * against).sum()) / np.sqrt(own * other)
    return Slope(float(np.sign(correlation) * np.sqrt(own / other)), float(correlation))


def length_unit(structures: Structures) -> str:
    """Return what positions look like that are not in Å, else an empty word.

    The nearest neighbour of an atom in a molecule is a covalent bond away.
    """
    ratios = []
    for start, stop in _spans(structures):
        if stop - start > 1:
            places = structures.positions[start:stop].double()
            radii = torch.tensor(covalent_radii)[structures.numbers[start:stop]]
            reach = torch.cdist(places, places) / (radii[:, None] + radii)
            reach.fill_diagonal_(torch.inf)
            ratios += reach.min(1).values.tolist()
    if not ratios:
        return ""
    median = float(np.median(ratios))
    return next(
        (n for n, f in LENGTHS.items() if abs(np.log(median / f)) < NEAR_LENGTH), ""
    )


def judge_data(structures: Structures, reference: Labels, cheap: Labels) -> list[str]:
    """Return what looks wrong with reference labels, one sentence each.

    Args:
        structures: A sample of molecules, in Å.
        reference: Their labels.
        cheap: Labels of the same by GFN2-xTB, NaN where it has none.
    """
    mine, theirs = _array(reference.forces), _array(cheap.forces)
    known = np.isfinite(mine).all(1)
    both = known & np.isfinite(theirs).all(1)
    slope = slope_of(mine[both], theirs[both])
    strength = float(np.sqrt((theirs[both] ** 2).mean())) if both.any() else 0.0
    if strength < TINY:
        slope = Slope(float("nan"), float("nan"))
    units = _units_near(slope)
    told, unit = _judge_energies(structures, reference, cheap, units)
    if known.any() and not mine[known].any():
        return [*told, "all forces are exactly zero"]
    told += _judge_balance(structures, mine)
    sentence = _name_slope(slope, strength, units, unit)
    return told + [sentence] * bool(sentence)


def judge_predictions(
    prediction: Labels, reference: Labels, *, trusted: str = ""
) -> list[str]:
    """Return what looks wrong between predicted and reference forces.

    Args:
        prediction: What a model says.
        reference: What it is compared with.
        trusted: Whose forces the reference is, where they cannot be wrong themselves.
    """
    mine, theirs = _array(prediction.forces), _array(reference.forces)
    both = np.isfinite(mine).all(1) & np.isfinite(theirs).all(1)
    slope = slope_of(mine[both], theirs[both])
    if not abs(slope.correlation) >= LEAST_OF_PREDICTIONS:
        return []
    near = _units_near(slope)
    whose = f"those of {trusted}" if trusted else "the reference forces"
    told = f"predicted forces are {slope.value:.4g} times {whose} "
    told += f"(correlation {slope.correlation:+.2f})"
    if slope.correlation < 0 and trusted:
        return [f"{told}: they look like gradients, not forces"]
    if slope.correlation < 0:
        return [f"{told}: the predictions or the labels look like gradients, not forces"]
    # half or twice the forces is what a poor model predicts
    if near and "eV/Å" not in near and not _LOW < slope.value < _HIGH:
        msg = f"{told}: the predictions look like {' or '.join(near[:2])}"
        return [msg if trusted else f"{msg}, or the labels are not eV/Å"]
    return []


def _units_near(slope: Slope) -> list[str]:
    """Return the units of force that a slope may speak of, the nearest first."""
    if not abs(slope.correlation) >= LEAST_CORRELATION:
        return []
    off = {unit: abs(np.log(abs(slope.value) / f)) for unit, f in FORCES.items()}
    return sorted((unit for unit in off if off[unit] < NEAR), key=lambda unit: off[unit])


def _name_slope(slope: Slope, strength: float, units: list[str], energy_unit: str) -> str:
    """Return what a slope of forces against GFN2-xTB says, if anything.

    Args:
        slope: The slope.
        strength: Root mean square of GFN2-xTB's forces, in eV/Å.
        units: Units of force that it may speak of, the nearest first.
        energy_unit: What the energies are in; its units of force go before.
    """
    seen = f"{slope.value:.4g} times GFN2-xTB's, correlation {slope.correlation:+.2f}"
    if not abs(slope.correlation) >= LEAST_CORRELATION:
        if abs(slope.correlation) < UNRELATED and strength > 10 * TINY:
            return f"forces do not belong to these geometries ({seen})"
        return ""
    akin = [unit for unit in units if energy_unit and _energy_of(unit) == energy_unit]
    named = (akin or units)[:2] if energy_unit != "eV" else units[:2]
    if "eV/Å" in named:
        turned = f"forces look like gradients: their sign is turned ({seen})"
        return turned if slope.value < 0 else ""
    unsure = abs(slope.correlation) < LEAST_OF_LENGTHS
    if slope.value > 0 and _LOW < slope.value < _HIGH and (unsure or not named):
        return ""  # the cheap model may be to blame
    signs = "gradients" if slope.value < 0 else "forces"
    words = " or ".join(named[:1] if akin else named) or "a unit we do not know"
    return f"forces look like {signs} in {words}, not forces in eV/Å ({seen})"


def _energy_of(unit: str) -> str:
    """Return the unit of energy in a unit of force, without the unit of length."""
    plain = unit.replace("eV/Å that", "eV that")
    return plain.partition("/Å")[0].partition("/bohr")[0]


def _judge_balance(structures: Structures, forces: Floats) -> list[str]:
    """Say where molecules are pushed or turned as a whole, which nothing does to them."""
    pushed, turned, judged = 0, 0, 0
    for start, stop in _spans(structures):
        own = forces[start:stop]
        size = np.linalg.norm(own, axis=1)
        if stop - start < 3 or not np.isfinite(own).all():  # noqa: PLR2004 - a torque needs three
            continue
        if not size.sum():
            continue
        judged += 1
        # compared within the structure, so that the unit does not matter
        pushed += np.linalg.norm(own.sum(0)) > UNBALANCED * size.sum()
        places = structures.positions[start:stop].double().numpy()
        arms = places - places.mean(0)
        torque = np.linalg.norm(np.cross(arms, own - own.mean(0)).sum(0))
        turned += torque > UNBALANCED * (np.linalg.norm(arms, axis=1) * size).sum()
    what = [
        f"{name} of {count} of {judged} molecules does not vanish"
        for name, count in (("the net force", pushed), ("the torque", turned))
        if judged and count > judged / 2
    ]
    if not what:
        return []
    return [f"{' and '.join(what)}: forces are incomplete, or of other geometries"]


def _judge_energies(
    structures: Structures, reference: Labels, cheap: Labels, force_units: list[str]
) -> tuple[list[str], str]:
    """Return what is wrong with energies, and the unit they are in, empty if unknown."""
    energy = _array(reference.energy)
    known = np.isfinite(energy)
    if not known.any():
        return [], ""
    if not energy[known].any():
        return ["all energies are exactly zero"], ""
    sizes = structures.sizes.numpy().astype(np.float64)
    scales = (
        ("total energies", _atomic_sums(structures), TOTAL),
        ("total energies of the valence electrons", _array(cheap.energy), VALENCE),
    )
    fits = [
        fit
        for name, scale, allowed in scales
        for fit in (
            _fit(name, energy / scale, allowed),
            _fit(f"{name} per atom", energy * sizes / scale, allowed),
        )
        if fit is not None
    ]
    median = float(np.median(energy[known] / sizes[known]))
    if not fits:
        unit = _energy_of(force_units[0]) if force_units else "eV"
        factor = ENERGIES.get(unit, 1.0)
        if abs(median) < BOUND * factor:
            msg = f"energies look like atomisation or formation energies ({median:.4g} "
            return [f"{msg}{unit} per atom), not total energies"], ""
        return [], ""
    best = min(fits)
    if best.what in {name for name, *_ in scales} and best.unit == "eV":
        return [], "eV"
    msg = f"energies look like {best.what} in {best.unit}, not total energies in eV "
    return [f"{msg}({median:.4g} per atom in the middle)"], best.unit


class _Fit(NamedTuple):
    """How badly, as what and in which unit energies follow a scale."""

    badness: float
    what: str
    unit: str


def _fit(what: str, ratios: Floats, allowed: float) -> _Fit | None:
    ratios = ratios[np.isfinite(ratios)]
    if not len(ratios) or not (centre := float(np.median(ratios))):
        return None
    spread = float(np.quantile(np.abs(ratios / centre - 1), 0.8))
    units = {**ENERGIES, **CONVERTED}
    unit = min(units, key=lambda name: abs(np.log(abs(centre) / units[name])))
    off = abs(float(np.log(abs(centre) / units[unit])))
    if max(off, spread) > allowed:
        return None
    what = f"{what} with the sign turned" if centre < 0 else what
    return _Fit(max(off, spread) / allowed, what, unit)


def _atomic_sums(structures: Structures) -> Floats:
    """Return the energy of the isolated atoms of each structure in eV, NaN if unknown."""
    atoms = [HARTREE * ATOMS.get(z, np.nan) for z in structures.numbers.tolist()]
    sums = torch.zeros(structures.n_systems, dtype=torch.float64)
    sums.index_add_(0, structures.system, torch.tensor(atoms, dtype=torch.float64))
    return np.asarray(sums.numpy(), dtype=np.float64)


def _spans(structures: Structures) -> Sequence[tuple[int, int]]:
    stops = torch.cumsum(structures.sizes, 0).tolist()
    return list(zip([0, *stops], stops, strict=False))


def _array(tensor: torch.Tensor) -> Floats:
    return np.asarray(tensor.detach().cpu().double().numpy(), dtype=np.float64)
