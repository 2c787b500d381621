"""Units that a file states: obeyed, and refused where two statements disagree."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

from mlffbench.core.errors import DataError
from mlffbench.core.units import (
    energy_factor,
    force_factor,
    length_factor,
    parts_of_force,
)

Kind = Literal["energy", "length", "forces"]
FACTORS: dict[Kind, Callable[[str], float]] = {
    "energy": energy_factor,
    "length": length_factor,
    "forces": force_factor,
}
_OF_KIND: dict[Kind, frozenset[str]] = {
    "energy": frozenset("energy energies e en potentialenergy totalenergy pe".split()),
    "length": frozenset(
        "length lengths position positions pos coord coords coordinate coordinates r xyz "
        "distance distances geometry cell lattice box".split()
    ),
    "forces": frozenset(
        "force forces f gradient gradients grad energygradient forceset".split()
    ),
}
_SYSTEM = frozenset({"", "system", "style", "systems", "lammps", "md"})
_ELSEWHERE = re.compile(
    r"stress|virial|dipole|charge|time|mass|pressure|polar|quadrupole|hessian|frequen|temp"
    r"|veloc|moment|spin|cell_?size|id|cell_?count|volume"
)
_SYSTEMS = {
    "metal": {"energy": "eV", "length": "angstrom"},
    "ase": {"energy": "eV", "length": "angstrom"},
    "real": {"energy": "kcal/mol", "length": "angstrom"},
    "atomic": {"energy": "hartree", "length": "bohr"},
    "atomic units": {"energy": "hartree", "length": "bohr"},
    "au": {"energy": "hartree", "length": "bohr"},
    "a.u.": {"energy": "hartree", "length": "bohr"},
    "electron": {"energy": "hartree", "length": "bohr"},
}


class FrameUnits(NamedTuple):
    """Units of a frame; forces are energy over length unless their unit is given."""

    energy: str
    length: str
    forces: str | None = None

    @property
    def factors(self) -> tuple[float, float, float]:
        """What takes positions, energies and forces into Å, eV and eV/Å."""
        length, energy = length_factor(self.length), energy_factor(self.energy)
        forces = force_factor(self.forces) if self.forces else energy / length
        return length, energy, forces


DEFAULT_UNITS = FrameUnits("eV", "angstrom")
"""What ASE writes, and what files that say nothing are taken to be in."""


class GivenUnits(NamedTuple):
    """Units as the user of a file gives them; None where the file is to say."""

    energy: str | None = None
    length: str | None = None
    forces: str | None = None

    def check(self) -> "GivenUnits":
        """Return the units, all known.

        Raises:
            DataError: One is not a known unit.
        """
        for kind, unit in self._asdict().items():
            if unit:
                FACTORS[kind](unit)  # type: ignore[index]  # the fields are the kinds
        return self


class Stated(NamedTuple):
    """One statement: the unit, and where it stands."""

    kind: Kind
    unit: str
    name: str


def stated_units(facts: Mapping[str, Any]) -> Iterator[Stated]:
    """Yield what facts say of units: ``energy_unit``, ``r_unit``, ``units`` and so on.

    Raises:
        DataError: A name or a value is about units and not understood.
    """
    for name, value in facts.items():
        if "unit" not in name.lower():
            continue
        word = re.sub(r"[^a-z]", "", re.sub(r"units?", "", name.lower(), count=1))
        word = (
            re.sub(r"^(ref|dft|of)(?=.)", "", word).removesuffix("in").removeprefix("of")
        )
        kinds = [kind for kind, words in _OF_KIND.items() if word in words]
        if kinds:
            yield Stated(kinds[0], text_of(value), name)
        elif word in _SYSTEM:
            yield from _combined(value, name)
        elif not _ELSEWHERE.search(name.lower()):
            msg = f"{name} = {str(value)[:60]!r} is about units and not understood; "
            msg += "expected energy_unit, length_unit or forces_unit: rename it"
            raise DataError(msg)


def settle(
    stated: Iterator[Stated], given: GivenUnits, where: str, known: GivenUnits
) -> FrameUnits:
    """Return the units that all statements agree on.

    Args:
        stated: What the file says.
        given: What its user says.
        where: What to call the file or frame in messages.
        known: Units of a layout that is published in one unit; missing ones are Å and eV.

    Raises:
        DataError: A unit is not known, or two statements disagree.
    """
    found: dict[Kind, Stated] = {}
    try:
        statements = list(stated)
        for kind, unit in given._asdict().items():
            if unit:
                statements.append(Stated(kind, unit, "what was given"))  # type: ignore[arg-type]  # a kind
        for one in statements:
            first = found.setdefault(one.kind, one)
            if FACTORS[one.kind](first.unit) != FACTORS[one.kind](one.unit):
                msg = f"its {one.kind} is in {first.unit!r} by {first.name}, not in "
                msg += (
                    f"{one.unit!r} as {one.name} says; leave one out or correct the file"
                )
                raise DataError(msg)
    except DataError as error:
        msg = f"{where}: {error}"
        raise DataError(msg) from error
    chosen = {kind: one.unit for kind, one in found.items()}
    if "forces" in chosen and "energy" not in chosen and known.energy is None:
        energy, _ = parts_of_force(chosen["forces"])
        if energy_factor(energy) != energy_factor(DEFAULT_UNITS.energy):
            msg = f"{where} has forces in {chosen['forces']!r} and no unit of energy; "
            raise DataError(msg + "expected both: state energy_unit too")
    return FrameUnits(
        chosen.get("energy") or known.energy or DEFAULT_UNITS.energy,
        chosen.get("length") or known.length or DEFAULT_UNITS.length,
        chosen.get("forces") or (None if "energy" in chosen else known.forces),
    )


def text_of(value: Any) -> str:
    """Return a text, whether it is bytes, an array of one or a word that ASE parsed."""
    if hasattr(value, "reshape"):
        value = value.reshape(-1)[0] if value.size else ""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _combined(value: Any, name: str) -> Iterator[Stated]:
    """Yield the units of ``units="Hartree, Angstrom"``, ``metal`` or a mapping."""
    if isinstance(value, str) and value.strip().startswith("{"):
        try:
            value = json.loads(value.replace("'", '"'))
        except ValueError:
            value = value.strip("{} ")
    if isinstance(value, Mapping):
        yield from stated_units({f"{key}_unit": unit for key, unit in value.items()})
        return
    if isinstance(value, list | tuple):
        value = ", ".join(str(part) for part in value)
    text = text_of(value).strip()
    if text.lower() in _SYSTEMS:
        for kind, unit in _SYSTEMS[text.lower()].items():
            yield Stated(kind, unit, name)  # type: ignore[arg-type]  # a kind
        return
    whole = _of_any_kind(text, name)
    parts = [whole] if whole else [p for p in re.split(r"[,;]", text) if p.strip()]
    if not whole and len(parts) == 1:
        parts = text.split()
    for part in parts:
        one = part if isinstance(part, Stated) else _named(part, name)
        yield one
        if one.kind == "forces" and len(parts) == 1:  # eV/Å says both of its parts
            energy, length = parts_of_force(one.unit)
            yield Stated("energy", energy, name)
            yield Stated("length", length, name)


def _named(part: str, name: str) -> Stated:
    """Return the unit of ``"hartree"``, or of ``"energy: hartree"``."""
    label, colon, unit = part.replace("=", ":").partition(":")
    if colon:
        return next(stated_units({f"{label.strip()}_unit": unit.strip()}))
    found = _of_any_kind(part, name)
    if found is None:
        msg = (
            f"{name} names the unit {part.strip()!r}, which is not known; expected e.g. "
        )
        raise DataError(msg + "'eV, angstrom': correct the file")
    return found


def _of_any_kind(text: str, name: str) -> Stated | None:
    for kind, factor in FACTORS.items():
        if kind == "forces" and not re.search(r"/|-1|⁻", text):
            continue  # "hartree bohr" are two units
        try:
            factor(text)
        except DataError:
            continue
        return Stated(kind, text.strip(), name)
    return None
