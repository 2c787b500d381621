"""The one conversion table into Å, eV and e (CODATA 2018).

Inside mlffbench every length is in Å, every energy in eV, every force in eV/Å. Files
name their units in words (``"hartree/bohr"``); `factor` turns the words into the number
that takes a value into the inside units.
"""

from mlffbench.core.errors import DataError

HARTREE = 27.211386245988
"""One hartree in eV."""
BOHR = 0.529177210903
"""One bohr in Å."""
KCAL_PER_MOL = 4184.0 / 96485.33212
"""One kcal/mol (thermochemical) in eV."""
KJ_PER_MOL = 1000.0 / 96485.33212
"""One kJ/mol in eV."""

_SPELLINGS = {
    "kcal/mol": "kcal_per_mol",
    "kj/mol": "kj_per_mol",
    "kilocalorie_per_mole": "kcal_per_mol",
    "kilojoule_per_mole": "kj_per_mol",
    "ang": "angstrom",
    "nanometer": "nm",
}
_IN_EV = {
    "ev": 1.0,
    "mev": 1e-3,
    "hartree": HARTREE,
    "ha": HARTREE,
    "rydberg": HARTREE / 2,
    "kcal_per_mol": KCAL_PER_MOL,
    "kj_per_mol": KJ_PER_MOL,
}
_IN_ANGSTROM = {
    "angstrom": 1.0,
    "å": 1.0,
    "a": 1.0,
    "bohr": BOHR,
    "nm": 10.0,
}


def length_factor(unit: str) -> float:
    """Return how many Å one ``unit`` of length is.

    Args:
        unit: e.g. ``"bohr"``, ``"angstrom"``, ``"nm"``; case does not matter.

    Raises:
        DataError: The unit is not a known length.
    """
    return _look_up(unit, _IN_ANGSTROM, "length")


def energy_factor(unit: str) -> float:
    """Return how many eV one ``unit`` of energy is.

    Args:
        unit: e.g. ``"hartree"``, ``"kcal/mol"``, ``"kJ/mol"``; case does not matter.

    Raises:
        DataError: The unit is not a known energy.
    """
    return _look_up(unit, _IN_EV, "energy")


def force_factor(unit: str) -> float:
    """Return how many eV/Å one ``unit`` of force or energy gradient is.

    Args:
        unit: an energy over a length, e.g. ``"hartree/bohr"``, ``"kcal/mol/angstrom"``.

    Raises:
        DataError: The unit is not a known energy over a known length.

    Example:
        >>> round(force_factor("hartree/bohr"), 4)
        51.4221
    """
    energy, slash, length = unit.strip().rpartition("/")
    if not slash:
        msg = (
            f"unknown unit of force {unit!r}: expected energy/length, like 'eV/angstrom'"
        )
        raise DataError(msg)
    return energy_factor(energy) / length_factor(length)


def _look_up(unit: str, table: dict[str, float], kind: str) -> float:
    word = "".join(unit.split()).lower()
    word = _SPELLINGS.get(word, word)
    if word not in table:
        names = ", ".join(sorted({name.replace("_per_", "/") for name in table}))
        msg = f"unknown unit of {kind} {unit!r}; known: {names}"
        raise DataError(msg)
    return table[word]
