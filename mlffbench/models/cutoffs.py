"""Cutoffs: a model at other radii, with its envelope or without."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np

from mlffbench.core.errors import BenchError, CapabilityError, ModelError
from mlffbench.core.forcefield import CutoffScope, ForceField, HasCutoff, HasEnvelope

Envelope = Literal["truncate", "rescale", "either"]
SCOPES: dict[Envelope, tuple[CutoffScope, ...]] = {
    "truncate": ("graph",),
    "rescale": ("graph+envelope",),
    "either": ("graph", "graph+envelope"),
}
POLICIES: dict[CutoffScope, Envelope] = {
    "graph": "truncate",
    "graph+envelope": "rescale",
}


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A model at one of the cutoffs.

    Attributes:
        model: The model there; at the trained cutoff the model itself.
        cutoff: In Å.
        envelope: ``truncate`` or ``rescale``; ``trained`` at the trained cutoff.
    """

    model: ForceField
    cutoff: float
    envelope: str


def require_cutoff(model: ForceField, what: str) -> HasCutoff:
    """Return the model as one whose cutoff can be changed.

    Args:
        model: Any model.
        what: Who needs it, for the message.

    Raises:
        CapabilityError: It has no such cutoff.
    """
    if not isinstance(model, HasCutoff):
        msg = (
            f"model {model.name!r} has no graph cutoff that can be changed, which "
            f"{what} needs: a model offers one by the attributes cutoff and cutoff_scope "
            "and the method with_cutoff (CONTRIBUTING.md)"
        )
        raise CapabilityError(msg)
    return cast("HasCutoff", model)


def check_within(cutoff: float, trained: float, name: str, why: str) -> None:
    """Check a radius that a pretrained model is asked to take.

    Args:
        cutoff: In Å.
        trained: The cutoff it was trained with, in Å.
        name: The model as typed.
        why: What is beyond the trained cutoff.

    Raises:
        ModelError: The radius is not positive, or above the trained one.
    """
    if not 0 < cutoff <= trained:
        msg = f"{name!r} cannot use a cutoff of {cutoff:g} Å: it must be above 0, "
        raise ModelError(msg + f"and beyond the trained {trained:g} Å {why}")


def radii_of(
    trained: float,
    *,
    smallest: float,
    n_radii: int,
    given: str | float | Sequence[float],
) -> list[float]:
    """Return the radii to choose among, descending, the trained one first.

    Args:
        trained: The cutoff the model was trained with, in Å.
        smallest: Least radius of the grid, in Å; one above the trained leaves only that.
        n_radii: Size of the grid, both ends included.
        given: Radii instead of the grid, as numbers or in text, ``"3.0,3.5"``; the grid
            where it is empty.

    Raises:
        ModelError: The trained cutoff is no radius.
        BenchError: A radius is no positive number, or above the trained one.
    """
    if not (math.isfinite(trained) and trained > 0):
        msg = f"the trained cutoff of {trained} Å is no radius; the model must state a "
        raise ModelError(msg + "positive, finite one as its cutoff")
    if given in ("", [], ()):
        smallest = min(smallest, trained)
        grid = np.linspace(trained, smallest, n_radii)
        return sorted({trained, *map(float, grid[1:])}, reverse=True)
    parts = given.split(",") if isinstance(given, str) else given
    try:
        radii = [
            float(one) for one in (parts if isinstance(parts, Sequence) else [parts])
        ]
    except (TypeError, ValueError) as error:
        msg = f"rr: radii {given!r} must be numbers in Å with commas between them"
        raise BenchError(msg) from error
    for radius in radii:
        if not 0 < radius <= trained:
            reason = (
                "beyond it the radial functions vanish, so a larger graph is inert"
                if radius > 0
                else "a radius is positive"
            )
            msg = (
                f"rr: a radius of {radius:g} Å cannot be tried, give one above 0 and up "
                f"to the trained {trained:g} Å; {reason}"
            )
            raise BenchError(msg)
    return sorted({trained, *radii}, reverse=True)


def policy_of(model: ForceField) -> Envelope:
    """Return what happens to the envelope when nobody chooses.

    Raises:
        ModelError: The model states a scope that does not exist.
    """
    return POLICIES[_known(model, cast("HasCutoff", model).cutoff_scope)]


def candidates_of(
    model: ForceField, radii: Sequence[float], envelope: Envelope
) -> list[Candidate]:
    """Return the model at every radius, the best liked first among equals.

    Larger radii come first, and truncation, which alters less, before rescaling.

    Args:
        model: With a cutoff.
        radii: Descending; the first is the trained one.
        envelope: What may happen to the radial envelope.

    Raises:
        CapabilityError: The model cannot treat its envelope so.
        ModelError: The model cannot use a radius.
    """
    scopes = _scopes(model, envelope)
    found = [Candidate(model, radii[0], "trained")]
    for radius in radii[1:]:
        for scope in scopes:
            if isinstance(model, HasEnvelope):
                changed: object = model.with_cutoff(radius, scope)
            else:
                changed = cast("HasCutoff", model).with_cutoff(radius)
            one = cast("ForceField", changed)
            found.append(Candidate(one, radius, POLICIES[scope]))
    return found


def scopes_of(model: ForceField) -> tuple[CutoffScope, ...]:
    """Return what may happen to the envelope of a model with a cutoff.

    Raises:
        ModelError: The model states a scope that does not exist.
    """
    if isinstance(model, HasEnvelope):
        return tuple(_known(model, scope) for scope in model.cutoff_scopes)
    return (_known(model, cast("HasCutoff", model).cutoff_scope),)


def _known(model: ForceField, scope: CutoffScope) -> CutoffScope:
    """Return a scope that a model states, which may be the user's own."""
    if scope not in POLICIES:
        msg = f"model {model.name!r} has the cutoff_scope {scope!r}, expected one of "
        raise ModelError(msg + ", ".join(POLICIES))
    return scope


def _scopes(model: ForceField, envelope: Envelope) -> tuple[CutoffScope, ...]:
    possible = scopes_of(model)
    wanted = SCOPES[envelope]
    if set(wanted) <= set(possible):
        return wanted
    names = " or ".join(POLICIES[scope] for scope in possible)
    msg = (
        f"model {model.name!r} cannot change its cutoff with the envelope policy "
        f"{envelope!r}, only with {names}"
    )
    raise CapabilityError(msg)
