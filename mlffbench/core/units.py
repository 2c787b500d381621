"""The one conversion table into Å, eV and e (CODATA 2018).

Inside mlffbench every length is in Å, every energy in eV, every force in eV/Å. Files
name their units in words (``"hartree/bohr"``, ``"kcal mol-1 A^-1"``); `factor` turns the
words into the number that takes a value into the inside units.
"""

import re

from mlffbench.core.errors import DataError

HARTREE = 27.211386245988
"""One hartree in eV."""
BOHR = 0.529177210903
"""One bohr in Å."""
KCAL_PER_MOL = 4184.0 / 96485.33212
"""One kcal/mol (thermochemical) in eV."""
KJ_PER_MOL = 1000.0 / 96485.33212
"""One kJ/mol in eV."""


_ENERGIES = {
    "eV": (1.0, "ev electronvolt electronvolts electron_volt electron_volts"),
    "meV": (1e-3, "mev millielectronvolt"),
    "hartree": (HARTREE, "hartree hartrees ha eh e_h hartree_energy"),
    "mhartree": (HARTREE * 1e-3, "mhartree mha meh millihartree"),
    "rydberg": (HARTREE / 2, "rydberg rydbergs ry"),
}
"""Unit -> eV and its spellings, lower case."""
_MOLAR = {
    "kcal/mol": (KCAL_PER_MOL, "kcal kilocalorie kilocalories"),
    "kJ/mol": (KJ_PER_MOL, "kj kilojoule kilojoules"),
}
"""Units that are per mole, whether they say so or not: nobody means one molecule's kJ."""
_LENGTHS = {
    "angstrom": (1.0, "angstrom angstroms angstroem ang angs å ångström ångstrom a aa"),
    "bohr": (BOHR, "bohr bohrs a0 a_0 bohr_radius"),
    "nm": (10.0, "nm nanometer nanometers nanometre nanometres"),
    "pm": (0.01, "pm picometer picometers picometre picometres"),
}
"""Unit -> Å and its spellings, lower case."""
_MOLE = frozenset({"mol", "mole", "moles"})
_KNOWN = {
    "energy": "eV, meV, hartree, mhartree, rydberg, kcal/mol, kJ/mol",
    "length": "angstrom, bohr, nm, pm",
}


def length_factor(unit: str) -> float:
    """Return how many Å one ``unit`` of length is.

    Args:
        unit: e.g. ``"bohr"``, ``"Angstroms"``, ``"nm"``; case does not matter.

    Raises:
        DataError: The unit is not a known length.
    """
    words = _words(unit)
    if words == ["atomic"]:
        return BOHR
    return _known(_length_of(words), unit, "length")


def energy_factor(unit: str) -> float:
    """Return how many eV one ``unit`` of energy is.

    Args:
        unit: e.g. ``"hartree"``, ``"kcal/mol"``, ``"kJ mol-1"``; case does not matter.

    Raises:
        DataError: The unit is not a known energy.

    Example:
        >>> energy_factor("kcal mol^-1") == energy_factor("kcal/mol") == KCAL_PER_MOL
        True
    """
    return _known(_energy_of(_words(unit)), unit, "energy")


def force_factor(unit: str) -> float:
    """Return how many eV/Å one ``unit`` of force or energy gradient is.

    Args:
        unit: an energy over a length, e.g. ``"hartree/bohr"``, ``"kcal/(mol*A)"``; atomic
            units are hartree/bohr.

    Raises:
        DataError: The unit is not a known energy over a known length.

    Example:
        >>> round(force_factor("hartree/bohr"), 4)
        51.4221
        >>> force_factor("eV A^-1")
        1.0
    """
    energy, length = parts_of_force(unit)
    return energy_factor(energy) / length_factor(length)


def parts_of_force(unit: str) -> tuple[str, str]:
    """Return the unit of energy and the unit of length of a force.

    Raises:
        DataError: There are no two parts.

    Example:
        >>> parts_of_force("kcal mol-1 A-1")
        ('kcal/mol', 'a')
    """
    words = _words(unit)
    if words == ["atomic"]:
        return "hartree", "bohr"
    if len([word for word in words if word not in _MOLE]) < len(("energy", "length")):
        msg = f"unknown unit of force {unit!r}: expected energy/length, like 'eV/Å'"
        raise DataError(msg)
    energy, length = words[:-1], words[-1]
    if length in _MOLE:  # kcal/A/mol
        energy, length = [*words[:-2], length], words[-2]
    return "/".join(energy), length


def _words(unit: str) -> list[str]:
    """Return the words of a unit: its energy, ``mol``, its length, in their order."""
    text = unit.strip().lower().replace("\N{ANGSTROM SIGN}".lower(), "å")
    if re.fullmatch(r"a\.?u\.?|atomic([ _]units?)?", text):
        return ["atomic"]
    text = re.sub(r"\s*(\^|\*\*)?\s*[({]?\s*[-−⁻](1|¹)\s*[)}]?", " ", text)  # mol^-1
    text = re.sub(r"[\s_]per[\s_]", "/", text)
    return [word for word in re.split(r"[/\s*·.()\[\]{}]+", text) if word]


def _energy_of(words: list[str]) -> float | None:
    if words == ["atomic"]:
        return HARTREE
    if not words or len(words) > len(("energy", "mol")):
        return None
    molar = len(words) > 1
    if molar and words[1] not in _MOLE:
        return None
    tables = (_MOLAR,) if molar else (_ENERGIES, _MOLAR)
    return _look_up(words[0].removesuffix("/mol"), *tables)


def _length_of(words: list[str]) -> float | None:
    return _look_up(words[0], _LENGTHS) if len(words) == 1 else None


def _look_up(word: str, *tables: dict[str, tuple[float, str]]) -> float | None:
    for table in tables:
        for factor, spellings in table.values():
            if word in spellings.split():
                return factor
    return None


def _known(factor: float | None, unit: str, kind: str) -> float:
    if factor is None:
        msg = f"unknown unit of {kind} {unit!r}; known: {_KNOWN[kind]}"
        raise DataError(msg)
    return factor
