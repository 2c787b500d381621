"""Which keys hold the labels of a frame: one family per file, never a mixture.

``REF_energy`` beside another method's ``forces`` are labels of two methods: a mean error
of such a file means nothing, and nothing in the numbers shows it.
"""

from collections.abc import Iterable
from typing import NamedTuple

from mlffbench.core.errors import DataError


class Family(NamedTuple):
    """Names of energy and forces that belong together."""

    energy: str
    forces: str


REFERENCE = Family("REF_energy", "REF_forces")
PLAIN = Family("energy", "forces")
FAMILIES = (REFERENCE, PLAIN)
_SHOWN = 8


def family_of(energies: Iterable[str], forces: Iterable[str], where: str) -> Family:
    """Return the family of a frame's labels: the complete one, else what there is.

    Args:
        energies: Names under which the frame may have energies.
        forces: Names under which it may have forces.
        where: What to call the frame in messages.

    Raises:
        DataError: The energy is of one family and the forces are of the other.
    """
    names, columns = set(energies), set(forces)
    parts = [(family.energy in names, family.forces in columns) for family in FAMILIES]
    for family, there in zip(FAMILIES, parts, strict=True):
        if all(there) and (family is REFERENCE or parts[0] == (False, False)):
            return family
    if parts[0] != (False, False) and parts[1] != (False, False):
        kinds = [
            family[not part[0]] for family, part in zip(FAMILIES, parts, strict=True)
        ]
        msg = f"{where} has labels of two families, {kinds[0]} and {kinds[1]}; expected "
        msg += "REF_energy with REF_forces, or energy with forces, of one method: rename "
        raise DataError(msg + "or remove one")
    return REFERENCE if any(parts[0]) else PLAIN


def check_one_family(first: Family | None, other: Family, where: str) -> Family:
    """Return the family of a file so far.

    Raises:
        DataError: A frame has labels of another family.
    """
    if first is not None and first is not other:
        msg = f"{where} has {other.energy}, but frames before it have {first.energy}; "
        raise DataError(msg + "expected labels of one method in a file: split the file")
    return other


def require_labels(
    *, energy: bool, forces: bool, names: Iterable[str], where: str
) -> None:
    """Check that a frame has both labels.

    Args:
        energy: Whether it has an energy.
        forces: Whether it has forces, or needs none.
        names: Everything the frame has, to show what may be meant.
        where: What to call the frame in messages.

    Raises:
        DataError: It has not; the message says how they are to be called.
    """
    if energy and forces:
        return
    what, place = ("energy", 0) if forces else ("forces", 1)
    keys = [family[place] for family in FAMILIES]
    words = ("energ",) if what == "energy" else ("force", "grad")
    alike = [name for name in names if any(word in name.lower() for word in words)]
    shown = f" (it has {', '.join(sorted(alike)[:_SHOWN])})" if alike else ""
    msg = f"{where} has no {what}; expected {keys[0]!r} or {keys[1]!r}{shown}: label it "
    raise DataError(msg + f"({keys[0]}) or remove it")
