"""Canonical SMILES: one spelling per molecule, whatever its atom maps and order."""

import importlib.util
import re
from functools import lru_cache

from mlffbench.core.errors import DataError, MissingExtraError
from mlffbench.datasets.smiles import formal_charge

_ATOM_MAP = re.compile(r":\d+\]")


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
    return _canonical(smiles) if smiles and has_rdkit() else ""


@lru_cache(maxsize=100_000)
def _canonical(smiles: str) -> str:
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        # without their maps, hydrogens are taken into the heavy atoms on parsing
        molecule: Chem.Mol | None = Chem.MolFromSmiles(_ATOM_MAP.sub("]", smiles))
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
