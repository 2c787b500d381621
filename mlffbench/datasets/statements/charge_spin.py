"""What a file says of charge and spin: one reading for every layout.

Charge is the total charge in e, spin the multiplicity 2S + 1. Files call them by many
names, as whole numbers, floats or text, for the structure or atom by atom. Every
statement of a structure is collected and all must agree. A name that looks like charge or
spin and is not known is an error: to pass over it would make the structure a neutral
singlet without a word.
"""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlffbench.core.errors import DataError

CHARGE_NAMES = frozenset(
    "charge totalcharge netcharge molcharge molecularcharge moleculecharge formalcharge "
    "totalformalcharge netformalcharge systemcharge syscharge ioncharge ioniccharge "
    "overallcharge globalcharge totalcharges netcharges chargetotal totcharge chg "
    "totalchg chargestate sumcharge sumofcharges q qtot qtotal totalq totq netq qnet "
    "qmol molq".split()
)
"""Names of the total charge, lower case, without separators and ``REF_``."""
MULTIPLICITY_NAMES = frozenset(
    "multiplicity multiplicities mult spinmultiplicity spinmultiplicities spinmult "
    "totalspin spin totalmultiplicity molmultiplicity molecularmultiplicity "
    "multiplicityspin 2s+1 2splus1 smult".split()
)
"""Names of the multiplicity 2S + 1."""
UNPAIRED_NAMES = frozenset(
    "uhf unpaired nunpaired unpairedelectrons numunpairedelectrons numunpaired "
    "numberofunpairedelectrons nunpairedelectrons unpairedspins 2s twos nupdown".split()
)
"""Names of the number of unpaired electrons 2S."""
MOMENT_NAMES = frozenset(
    "magmom totalmagmom magneticmoment totalmagneticmoment totmagmom magnetization "
    "totalmagnetization netmagnetization".split()
)
"""Names of the magnetic moment in Bohr magnetons: 2S; 0 says that none was computed."""
_ATOM_CHARGES = frozenset(
    "charge charges initialcharge initialcharges formalcharge formalcharges q qs".split()
)
_ATOM_MOMENTS = frozenset("magmom magmoms magneticmoments atommagmoms".split())
_FIRST_MOMENTS = frozenset(
    "initialmagmom initialmagmoms initialmagneticmoments initialspins".split()
)
_KNOWN = (
    CHARGE_NAMES | MULTIPLICITY_NAMES | UNPAIRED_NAMES | MOMENT_NAMES
    | _ATOM_CHARGES | _ATOM_MOMENTS | _FIRST_MOMENTS
)  # fmt: skip
_LOOKS_LIKE = re.compile(
    r"charge|spin|multiplic|unpaired|magmom|magneti[cz]|(^|_)(chg|mult|uhf|nelec)(_|$)"
)
_IS_NOT = re.compile(  # settings, units, and other quantities with such a word in them
    r"model|method|scheme|type|source|unit|transfer|density|flux|penetration|energy|force"
    r"|dipole|quadrupole|basis|polari|orbit|channel|nuclear|core|contaminat|correl|coupl"
    r"|(^|_)[in]spin|collinear|component|s2|s\^2|exchange|screen|radius|cutoff|tag|name"
)
_PREFIX = re.compile(r"^(ref|dft|qm|xtb|target|label)(?=.)")
_WORDS = {
    "neutral": 0,
    "singlet": 1,
    "doublet": 2,
    "triplet": 3,
    "quartet": 4,
    "quintet": 5,
}
_LARGEST = 1000  # of any charge or multiplicity that is not a mistake
_WHOLE = 1e-4
_WHOLE_SUM = 0.05  # e: atom charges are printed with few digits
_WHOLE_POPULATION = 0.02


class ChargeSpin(NamedTuple):
    """Charge and spin of a structure.

    Attributes:
        charge: Total charge in e; 0 where nothing is said.
        multiplicity: 2S + 1; the lowest possible where nothing is said.
        is_guess: Nothing is said of either, and the number of electrons is odd.
    """

    charge: int
    multiplicity: int
    is_guess: bool


class _Statement(NamedTuple):
    """One statement of a file, the value as understood."""

    name: str
    value: int


def read_charge_spin(
    facts: Mapping[str, Any],
    per_atom: Mapping[str, Any],
    *,
    numbers: NDArray[np.int64],
    smiles_charge: int | None,
    periodic: bool,
    where: str,
) -> ChargeSpin:
    """Return charge and spin of a structure from everything a file says of it.

    Args:
        facts: What the file says of the structure by name.
        per_atom: What it says atom by atom: name -> shape (n_atoms,).
        numbers: Shape (n_atoms,), atomic numbers.
        smiles_charge: Formal charge of the SMILES, None where there is none.
        periodic: Whether any direction is periodic: moments of solids say no spin.
        where: What to call the structure in messages.

    Raises:
        DataError: A value is none, two statements disagree, a name looks like charge or
            spin and is not known, or electrons and multiplicity do not fit.
    """
    structure, atoms = _sorted_by_place(facts, per_atom, len(numbers))
    charges = [*_charges(structure, where), *_sums_of_charges(atoms, where)]
    if smiles_charge is not None:
        charges.append(_Statement("the SMILES", smiles_charge))
    spins = list(_multiplicities(structure, where))
    spins += [] if periodic else list(_sums_of_moments(atoms, where))
    _require_known({**structure, **atoms}, where)
    charge, spin = _agreed(charges, "charge", where), _agreed(spins, "spin", where)
    total = charge.value if charge else 0
    lowest = lowest_multiplicity(numbers, total)
    if spin is None:
        guess = charge is None and not periodic and lowest > 1 and len(numbers) > 1
        multiplicity = lowest if periodic else _first_guess(atoms, lowest)
        return ChargeSpin(total, multiplicity, guess)
    _require_possible(spin, charge, numbers, periodic=periodic, where=where)
    return ChargeSpin(total, spin.value, is_guess=False)


def _require_possible(
    spin: _Statement,
    charge: _Statement | None,
    numbers: NDArray[np.int64],
    *,
    periodic: bool,
    where: str,
) -> None:
    """Refuse a multiplicity that the number of electrons does not allow."""
    if spin.value < 1:
        msg = (
            f"{where} has {spin.name} {spin.value}; expected the multiplicity 2S + 1 ≥ 1"
        )
        raise DataError(msg)
    total = charge.value if charge else 0
    if spin.value > int(numbers.sum()) - total + 1:
        msg = f"{where} has {spin.name} {spin.value}, more than its electrons allow; "
        raise DataError(msg + "expected the multiplicity 2S + 1: correct the file")
    if not periodic and (spin.value - lowest_multiplicity(numbers, total)) % 2:
        electrons = int(numbers.sum()) - total
        ion = "" if charge else " and, for an ion, total_charge"
        msg = f"{where} has {spin.name} {spin.value}, impossible for {electrons} "
        msg += f"electrons; expected the multiplicity 2S + 1{ion}: correct the file"
        raise DataError(msg)


def lowest_multiplicity(numbers: NDArray[np.int64], charge: int) -> int:
    """Return 1 for an even number of electrons and 2 for an odd one.

    Example:
        >>> lowest_multiplicity(np.array([8, 1]), charge=0)  # the OH radical
        2
    """
    return 1 + int(numbers.sum() - charge) % 2


@lru_cache(maxsize=10_000)
def says_charge_or_spin(name: str) -> bool:
    """Return whether a name is one of charge or spin, or looks like one."""
    word = _plain(name)
    return word in _KNOWN or bool(_LOOKS_LIKE.search(name.lower()))


def _sorted_by_place(
    facts: Mapping[str, Any], per_atom: Mapping[str, Any], n_atoms: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the statements of the structure, and those atom by atom."""
    structure: dict[str, Any] = {}
    atoms = {name: value for name, value in per_atom.items() if says_charge_or_spin(name)}
    for name, value in facts.items():
        if value is None or not says_charge_or_spin(name):
            continue
        size = np.size(value) if isinstance(value, np.ndarray | list | tuple) else 1
        if size == n_atoms > 1:
            atoms[name] = value
        else:
            structure[name] = value
    return structure, atoms


def _charges(facts: Mapping[str, Any], where: str) -> Iterator[_Statement]:
    for name, value in facts.items():
        if _plain(name) in CHARGE_NAMES | _ATOM_CHARGES:
            yield _Statement(name, _whole(value, name, where))


def _multiplicities(facts: Mapping[str, Any], where: str) -> Iterator[_Statement]:
    for name, value in facts.items():
        word = _plain(name)
        if word in MULTIPLICITY_NAMES:
            yield _Statement(name, _whole(value, name, where))
        elif word in UNPAIRED_NAMES:
            yield _Statement(f"{name} + 1 =", _whole(value, name, where) + 1)
        elif word in MOMENT_NAMES | _ATOM_MOMENTS and (
            moment := abs(_whole(value, name, where))
        ):
            yield _Statement(f"{name} + 1 =", moment + 1)


def _sums_of_charges(atoms: Mapping[str, Any], where: str) -> Iterator[_Statement]:
    """Yield total charges that atom charges add up to; all zero says nothing."""
    for name, values in atoms.items():
        word = _plain(name)
        if "charge" not in word and word not in _ATOM_CHARGES:
            continue
        table = _table(values)
        if table is None or not table.any() or _IS_NOT.search(name.lower()):
            continue
        total = float(table.sum())
        exact = word in _ATOM_CHARGES - {"charges", "qs"}
        if abs(total - round(total)) <= (_WHOLE_SUM if exact else _WHOLE_POPULATION):
            yield _Statement(f"the sum of {name}", round(total))
        elif exact:
            msg = (
                f"{where} has {name} that add up to {total:.3f}; expected a whole charge"
            )
            raise DataError(msg + ": correct them, or state total_charge and rename them")


def _sums_of_moments(atoms: Mapping[str, Any], where: str) -> Iterator[_Statement]:
    """Yield multiplicities from magnetic moments; all zero says nothing."""
    for name, values in atoms.items():
        table = _table(values)
        if _plain(name) not in _ATOM_MOMENTS or table is None or not table.any():
            continue
        total = abs(float(table.sum()))
        if abs(total - round(total)) > _WHOLE_SUM:
            msg = (
                f"{where} has {name} that add up to {total:.3f}; expected a whole number "
            )
            raise DataError(msg + "of unpaired electrons: state total_spin, rename them")
        yield _Statement(f"the sum of {name} + 1 =", round(total) + 1)


def _first_guess(atoms: Mapping[str, Any], lowest: int) -> int:
    """Return the multiplicity that initial moments mean, else the lowest possible.

    They are where a calculation starts, not what it found: they decide only where nothing
    else does and the number of electrons allows it.
    """
    for name, values in atoms.items():
        table = _table(values)
        if _plain(name) in _FIRST_MOMENTS and table is not None:
            total = abs(float(table.sum()))
            if (
                abs(total - round(total)) <= _WHOLE_SUM
                and (round(total) + 1 - lowest) % 2 == 0
            ):
                return max(round(total) + 1, lowest)
    return lowest


def _require_known(facts: Mapping[str, Any], where: str) -> None:
    """Refuse a name that looks like charge or spin and has no known meaning."""
    for name, value in facts.items():
        if _plain(name) in _KNOWN or _IS_NOT.search(name.lower()):
            continue
        if _table(value) is not None and np.size(value) > 1:
            continue  # a population analysis: its sum was looked at
        msg = (
            f"{where} has {name} = {str(value)[:40]!r}, which looks like charge or spin; "
        )
        msg += "expected total_charge (in e) or total_spin (2S + 1): rename or remove it"
        raise DataError(msg)


def _agreed(statements: list[_Statement], what: str, where: str) -> _Statement | None:
    for other in statements[1:]:
        first = statements[0]
        if other.value != first.value:
            msg = (
                f"{where} says two things of its {what}: {first.name} is {first.value}, "
            )
            msg += f"{other.name} is {other.value}; correct or remove one"
            raise DataError(msg)
    return statements[0] if statements else None


def _plain(name: str) -> str:
    """Return a name without capitals, separators and ``REF_``."""
    return _PREFIX.sub("", re.sub(r"[^a-z0-9+]", "", name.lower()))


def _table(values: Any) -> NDArray[np.float64] | None:
    """Return numbers atom by atom, None for what is no numbers."""
    try:
        table = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        return None
    return table if np.isfinite(table).all() else None


def _whole(value: Any, name: str, where: str) -> int:
    """Return a whole number, however it is written: ``-1``, ``-1.0``, ``"+1"``, ``"2-"``.

    Raises:
        DataError: It is none.
    """
    number = _number(value)
    if abs(number - round(number) if np.isfinite(number) else 1.0) > _WHOLE or (
        abs(number) > _LARGEST
    ):
        msg = f"{where} has {name} = {str(value)[:40]!r}; expected a whole number"
        raise DataError(msg)
    return round(number)


def _number(value: Any) -> float:
    if isinstance(value, np.ndarray | list | tuple):
        entries = np.asarray(value).reshape(-1)
        value = entries[0] if entries.size == 1 else None
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if isinstance(value, bool | np.bool_):
        return float("nan")
    if isinstance(value, str):
        text = value.strip().lower().replace("\N{MINUS SIGN}", "-")
        text = re.sub(r"^(\d*)([+-])$", lambda found: found[2] + (found[1] or "1"), text)
        value = _WORDS.get(text, text)
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")
