"""What a SMILES says of charge and atoms, by the OpenSMILES grammar of bracket atoms."""

import importlib.util
import re
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple

from mlffbench.core.card import SYMBOLS
from mlffbench.core.errors import DataError, MissingExtraError
from mlffbench.core.guards.caps import LONGEST_SMILES
from mlffbench.core.guards.sizes import shown

ATOM_MAP = re.compile(r":\d+\]")


def has_rdkit() -> bool:
    """Return whether rdkit, which canonical SMILES need, is installed."""
    return importlib.util.find_spec("rdkit") is not None


def require_rdkit(what: str) -> None:
    """Check that rdkit is installed.

    Args:
        what: What needs it, for the message.

    Raises:
        MissingExtraError: It is not.
    """
    if not has_rdkit():
        raise MissingExtraError(what, "rdkit", "rdkit")


def canonical_smiles(smiles: str) -> str:
    """Return the one spelling of a SMILES, without atom map and explicit hydrogens.

    Returns:
        Empty where rdkit cannot read the SMILES, or is not installed.

    Example:
        >>> canonical_smiles("[H:3][O:1][C:2]([H:4])([H:5])[H:6]")
        'CO'
    """
    if not smiles or len(smiles) > LONGEST_SMILES or not has_rdkit():
        return ""
    return _canonical(smiles)


@lru_cache(maxsize=100_000)
def _canonical(smiles: str) -> str:
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        # without their maps, hydrogens are taken into the heavy atoms on parsing
        molecule: Chem.Mol | None = Chem.MolFromSmiles(ATOM_MAP.sub("]", smiles))
        return "" if molecule is None else str(Chem.MolToSmiles(molecule))


def is_ion_pair(smiles: str) -> bool:
    """Return whether a SMILES has two or more parts, one of them charged.

    A zwitterion is one part, and so no ion pair.

    Example:
        >>> [is_ion_pair(each) for each in ("[Na+].[Cl-]", "[NH3+]CC(=O)[O-]", "O.O")]
        [True, False, False]
    """
    parts = smiles.split(".")
    try:
        return len(parts) > 1 and any(formal_charge(part) for part in parts)
    except DataError:
        return False


_AROMATIC = frozenset("b c n o p s as se te si".split())
_BRACKET = re.compile(
    r"\[(?:\d{1,3})?"  # isotope
    r"(?P<symbol>[A-Z][a-z]?|[a-z][a-z]?|\*)"
    r"(?:@(?:@|TH[12]|AL[12]|SP[123]|TB\d{1,2}|OH\d{1,2})?)?"  # chirality
    r"(?P<hydrogens>H\d?)?"
    r"(?P<charge>\++|-+|[+-]\d{1,2})?"
    r"(?::\d+)?\]",  # atom map
    re.ASCII,
)
_ORGANIC_ATOM = re.compile(r"[A-Za-z*]")
_OUTSIDE = re.compile(r"Cl|Br|[BCNOPSFI]|[bcnops]|\*")


class SmilesFacts(NamedTuple):
    """What a SMILES says.

    Attributes:
        charge: Sum of the formal charges, in e.
        n_atoms: Number of atoms, hydrogens included; None when an atom outside brackets
            leaves hydrogens to the reader.
    """

    charge: int
    n_atoms: int | None


def read_smiles(smiles: str) -> SmilesFacts:
    """Return the formal charge of a SMILES and, where it is explicit, its atom count.

    Only bracket atoms carry charges, and a bracket atom has no implicit hydrogens: in a
    fully mapped SMILES every atom is one, so both numbers are exact.

    Raises:
        DataError: A bracket is not closed, or is not a bracket atom.

    Example:
        >>> read_smiles("[O:1]([H:2])[H:3].[Na+:4]")
        SmilesFacts(charge=1, n_atoms=4)
        >>> read_smiles("CC(=O)[O-]")
        SmilesFacts(charge=-1, n_atoms=None)
    """
    if len(smiles) > LONGEST_SMILES:
        msg = f"SMILES {shown(smiles)!r} has {len(smiles)} characters; expected at most "
        raise DataError(msg + f"{LONGEST_SMILES}: remove it")
    if ">" in smiles:
        msg = f"SMILES {shown(smiles)!r} is a reaction; expected that of one structure"
        raise DataError(msg)
    charge = n_atoms = 0
    outside: list[str] = []
    position = 0
    while (start := smiles.find("[", position)) >= 0:
        outside.append(smiles[position:start])
        match = _BRACKET.match(smiles, start)
        if match is None or not _is_atom(match["symbol"]):
            found = smiles[start:][:12]
            msg = f"SMILES {shown(smiles)!r} has no legal bracket atom at {found!r}"
            raise DataError(msg + "; expected one like [NH4+] or [C@@H:3]")
        charge += _charge(match["charge"])
        n_atoms += 1 + _count(match["hydrogens"])
        position = match.end()
    rest = "".join([*outside, smiles[position:]])
    if "]" in rest:
        msg = (
            f"SMILES {shown(smiles)!r} closes a bracket that it never opened; correct it"
        )
        raise DataError(msg)
    return SmilesFacts(charge, None if _ORGANIC_ATOM.search(rest) else n_atoms)


def check_composition(smiles: str, numbers: Iterable[int], where: str) -> None:
    """Check that a SMILES has the atoms of a structure, element by element.

    Hydrogens that the SMILES leaves to the reader are counted by rdkit; without it only
    the other elements are compared. A SMILES with an atom ``*``, or one that rdkit cannot
    read, is not compared.

    Args:
        smiles: The SMILES.
        numbers: Atomic numbers of the structure.
        where: What to call the structure in messages.

    Raises:
        DataError: The atoms differ, or the SMILES cannot be read.
    """
    expected = Counter(SYMBOLS[number] for number in numbers)
    found = _elements_of(smiles)
    if found is None:
        return
    if "H" not in found:
        expected.pop("H", None)
    counts = {symbol: n for symbol, n in found.items() if n}
    if counts != expected:
        has, says = _formula(expected), _formula(counts)
        msg = f"{where} has the atoms {has}, but its SMILES {smiles[:60]!r} has {says}; "
        raise DataError(msg + "expected the same molecule: correct the file")


@lru_cache(maxsize=10_000)
def _elements_of(smiles: str) -> dict[str, int] | None:
    """Return the atoms of a SMILES by element; no key H where they are not known."""
    facts, counts, position = read_smiles(smiles), Counter[str](), 0
    outside: list[str] = []
    for match in _BRACKET.finditer(smiles):
        counts[match["symbol"].capitalize()] += 1
        counts["H"] += _count(match["hydrogens"])
        outside.append(smiles[position : match.start()])
        position = match.end()
    found = _OUTSIDE.findall(" ".join([*outside, smiles[position:]]))
    counts.update(symbol.capitalize() for symbol in found)
    if "*" in counts:
        return None
    if facts.n_atoms is None:
        hydrogens = _all_hydrogens(smiles)
        if hydrogens is None and has_rdkit():
            return None  # it is no SMILES, only looks like one
        counts["H"] = hydrogens or 0
        if hydrogens is None:
            del counts["H"]
    return dict(counts)


def _all_hydrogens(smiles: str) -> int | None:
    """Return the number of hydrogens, None where rdkit is missing or cannot read it."""
    if not has_rdkit():
        return None
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        parameters: Any = Chem.SmilesParserParams()
        parameters.removeHs = False
        molecule: Chem.Mol | None = Chem.MolFromSmiles(smiles, parameters)
        if molecule is None:
            return None
        atoms = Chem.AddHs(molecule).GetAtoms()
        return sum(atom.GetAtomicNum() == 1 for atom in atoms)


def _formula(counts: Counter[str] | dict[str, int]) -> str:
    return " ".join(f"{symbol}{counts[symbol]}" for symbol in sorted(counts))


def formal_charge(smiles: str) -> int:
    """Return the sum of the formal charges of a SMILES, in e.

    Raises:
        DataError: A bracket is not closed, or is not a bracket atom.

    Example:
        >>> formal_charge("[Fe+2].[Cl-].[Cl-]")
        0
    """
    return read_smiles(smiles).charge


def _is_atom(symbol: str) -> bool:
    return symbol in _AROMATIC or symbol == "*" or symbol in SYMBOLS[1:]


def _charge(text: str | None) -> int:
    if text is None:
        return 0
    sign = 1 if text[0] == "+" else -1
    return sign * (int(text[1:]) if text[1:].isdigit() else len(text))


def _count(text: str | None) -> int:
    if text is None:
        return 0
    return int(text[1:] or 1)
