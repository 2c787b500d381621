"""Skeletons: which atom is bonded to which, from a SMILES or from a geometry alike.

Bond orders, formal charges and handedness are left out, since distances do not tell them;
tautomers and isomers stay apart.
"""

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mlffbench.datasets.molecules.smiles import ATOM_MAP, has_rdkit

if TYPE_CHECKING:
    from rdkit import Chem


@lru_cache(maxsize=100_000)
def skeleton_of_smiles(smiles: str) -> str:
    """Return the skeleton of a SMILES; empty where rdkit cannot read it or is missing.

    Example:
        >>> skeleton_of_smiles("[O-]C=C") == skeleton_of_smiles("O=C[CH2-]")
        True
    """
    if not smiles or not has_rdkit():
        return ""
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        molecule: Chem.Mol | None = Chem.MolFromSmiles(ATOM_MAP.sub("]", smiles))
        return "" if molecule is None else _bare(Chem.AddHs(molecule))


def skeleton_of_geometry(
    numbers: NDArray[np.int64], positions: NDArray[np.float64]
) -> str:
    """Return the skeleton that distances tell; empty where rdkit is missing.

    Args:
        numbers: Shape (n_atoms,), atomic numbers.
        positions: Shape (n_atoms, 3), in Å.
    """
    if not has_rdkit():
        return ""
    from rdkit import Chem, rdBase
    from rdkit.Chem import rdDetermineBonds

    molecule = Chem.RWMol()
    conformer = Chem.Conformer(len(numbers))
    conformer.SetPositions(np.ascontiguousarray(positions, dtype=np.float64))
    for number in numbers.tolist():
        molecule.AddAtom(Chem.Atom(number))
    molecule.AddConformer(conformer)
    with rdBase.BlockLogs():
        try:
            rdDetermineBonds.DetermineConnectivity(molecule)
        except (ValueError, RuntimeError):
            return ""
        return _bare(molecule)


def _bare(molecule: "Chem.Mol") -> str:
    """Return the canonical text of a graph of elements; all hydrogens are atoms of it."""
    from rdkit import Chem

    bare = Chem.RWMol()
    for atom in molecule.GetAtoms():
        plain = Chem.Atom(atom.GetAtomicNum())
        plain.SetNoImplicit(True)
        bare.AddAtom(plain)
    for bond in molecule.GetBonds():
        ends = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        bare.AddBond(*ends, Chem.BondType.SINGLE)
    return str(Chem.MolToSmiles(bare))
