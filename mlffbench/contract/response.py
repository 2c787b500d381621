"""Response: whether the energy of a model depends on the charge and spin it is given."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from mlffbench.contract.trial import Finding, Trial, in_words, wide
from mlffbench.core.labels import Labels

OTHER_CHARGES = ((2, 1), (-2, 1), (1, 2), (-1, 2))
"""Charge in e and multiplicity tried, those that keep the spin first."""
OTHER_SPINS = ((0, 3),)
"""The same for spin: a triplet."""


def charge(trial: Trial) -> Finding:
    """Another charge, another energy; a model that sees no charge breaks nothing."""
    return _response(trial, OTHER_CHARGES, "charge")


def spin(trial: Trial) -> Finding:
    """Another multiplicity, another energy."""
    return _response(trial, OTHER_SPINS, "spin")


def differ(one: Labels, other: Labels, tolerance: float) -> bool:
    """Return whether two labels of the same structures differ in any energy.

    Args:
        one: Some labels.
        other: Labels of the same structures in another state.
        tolerance: In eV, beside 16 roundings of float32 of the energy itself.

    Returns:
        Also true where one of them is a failure and the other is not.
    """
    first, second = wide(one.energy), wide(other.energy)
    if not torch.equal(torch.isfinite(first), torch.isfinite(second)):
        return True
    finite = torch.isfinite(first)
    allowed = tolerance + 16 * 2.0**-23 * first[finite].abs()
    return bool(((first - second)[finite].abs() > allowed).any())


def _response(trial: Trial, states: Sequence[tuple[int, int]], what: str) -> Finding:
    """Return whether energies move from a neutral singlet to one of some states."""
    systems, before = trial.systems, wide(trial.labels.energy)
    refused, blind = "", ""
    for charge_of, multiplicity in states:
        state = f"charge {charge_of:+d}" if what == "charge" else "a triplet"
        other = replace(
            systems,
            charge=torch.full_like(systems.charge, charge_of),
            multiplicity=torch.full_like(systems.multiplicity, multiplicity),
        )
        try:
            labels = trial.call(other)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - it may refuse by raising
            refused = refused or in_words(error)
            continue
        moves = (wide(labels.energy) - before).abs()
        moves = moves[torch.isfinite(moves)]
        if not len(moves):
            refused = refused or "; ".join(sorted(set(labels.failures.values())))
            continue
        if float(moves.max()) > trial.tolerance.energy:
            return Finding(
                "kept", f"{state} moves energies by up to {moves.max():.3g} eV"
            )
        blind = blind or f"energies of {state} are those of neutral singlets: the model "
    if blind:
        return Finding("not applicable", f"{blind}does not see {what}")
    return Finding("not applicable", f"computes no other {what}: {refused}")
