"""Drawing: a molecule from its SMILES as an SVG, where RDKit is installed."""

import base64
import importlib.util
from typing import Any

_SIZE = (220, 160)
_LONGEST = 400
"""SMILES that are longer are not drawn: nothing could be read in the picture."""


def can_draw() -> bool:
    """Return whether RDKit is installed."""
    return importlib.util.find_spec("rdkit") is not None


def draw(smiles: str) -> str:
    """Return a picture as a data URI; empty where the SMILES cannot be drawn.

    As an image it can hold no script and no style that reaches the page.
    """
    if not smiles or len(smiles) > _LONGEST or not can_draw():
        return ""
    from rdkit import Chem, RDLogger
    from rdkit.Chem import rdDepictor
    from rdkit.Chem.Draw import rdMolDraw2D

    RDLogger.DisableLog("rdApp.*")  # type: ignore[attr-defined, unused-ignore]
    molecule: Any = Chem.MolFromSmiles(smiles, sanitize=False)
    if molecule is None:
        return ""
    molecule.UpdatePropertyCache(strict=False)
    for atom in molecule.GetAtoms():
        atom.SetAtomMapNum(0)
    molecule = Chem.RemoveHs(molecule, sanitize=False)
    rdDepictor.Compute2DCoords(molecule)
    drawer = rdMolDraw2D.MolDraw2DSVG(*_SIZE)
    options: Any = drawer.drawOptions()
    options.clearBackground = False
    options.setAtomPalette({-1: (0.45, 0.45, 0.45)})
    options.bondLineWidth = 2
    rdMolDraw2D.PrepareAndDrawMolecule(drawer, molecule, kekulize=False)
    drawer.FinishDrawing()
    svg = drawer.GetDrawingText().encode()
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode("ascii")
