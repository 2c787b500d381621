"""From a structure to a molecule with bonds, which classical force fields need."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdDetermineBonds
from rdkit.Geometry import Point3D

from mlffbench.core.single import Single

MAX_TRIALS = 10_000
"""Bond orders tried before a geometry counts as no molecule."""


class NoTopology(Exception):  # noqa: N818 - it is a fact of a structure, not a fault
    """A structure has no bonds that a force field could use; the message says why."""


def molecule(single: Single) -> Chem.Mol:
    """Return a molecule with bonds, formal charges and one conformer, atoms in order.

    The bonds come from the structure's atom-mapped SMILES where it has one. Otherwise
    they are guessed from distances and the total charge, so that two geometries of the
    same molecule may get different bonds.

    Raises:
        NoTopology: The SMILES is another molecule, or no bonds can be guessed.
    """
    mol = _from_smiles(single.smiles) if ":" in single.smiles else None
    if mol is None:
        return _guessed(single)
    _check(mol, single)
    mol = Chem.Mol(mol)
    mol.AddConformer(_conformer(single), assignId=True)
    return mol


@lru_cache(maxsize=256)
def _from_smiles(smiles: str) -> Chem.Mol:
    """Return the molecule of an atom-mapped SMILES, its atoms in the order of the map."""
    parameters: Any = Chem.SmilesParserParams()
    parameters.removeHs = False
    mol: Chem.Mol | None = Chem.MolFromSmiles(smiles, parameters)
    if mol is None:
        msg = f"rdkit cannot read the SMILES {smiles!r}"
        raise NoTopology(msg)
    places = [atom.GetAtomMapNum() for atom in mol.GetAtoms()]
    if sorted(places) != list(range(1, len(places) + 1)):
        msg = f"the SMILES {smiles!r} does not number its atoms from 1 without gaps"
        raise NoTopology(msg)
    return Chem.RenumberAtoms(mol, np.argsort(places).tolist())


def _check(mol: Chem.Mol, single: Single) -> None:
    numbers = [atom.GetAtomicNum() for atom in mol.GetAtoms()]
    if numbers != single.numbers.tolist():
        msg = f"the SMILES {single.smiles!r} does not name the atoms of the structure"
        raise NoTopology(msg)
    charge = Chem.GetFormalCharge(mol)
    if charge != single.charge:
        msg = f"the SMILES has charge {charge:+d}, the structure {single.charge:+d}"
        raise NoTopology(msg)


def _guessed(single: Single) -> Chem.Mol:
    mol = Chem.RWMol()
    for number in single.numbers.tolist():
        atom = Chem.Atom(number)
        atom.SetNoImplicit(True)
        mol.AddAtom(atom)
    mol.AddConformer(_conformer(single), assignId=True)
    try:
        rdDetermineBonds.DetermineBonds(
            mol, charge=single.charge, embedChiral=False, maxIterations=MAX_TRIALS
        )
        Chem.SanitizeMol(mol)
    except (ValueError, RuntimeError) as error:
        lines = str(error).strip().splitlines() or ["no reason given"]
        msg = f"rdkit finds no bonds for charge {single.charge:+d}: {lines[0]}"
        raise NoTopology(msg) from error
    return mol.GetMol()


def _conformer(single: Single) -> Chem.Conformer:
    conformer = Chem.Conformer(len(single.numbers))
    rows: Sequence[list[float]] = single.positions.tolist()
    for index, (x, y, z) in enumerate(rows):
        conformer.SetAtomPosition(index, Point3D(x, y, z))
    return conformer
