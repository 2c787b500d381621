"""Molecules of rdkit: from lists of SMILES and SDF files to structures."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from mlffbench.core.errors import DataError
from mlffbench.core.files import require_file, sha256_of
from mlffbench.core.guards.caps import LONGEST_SMILES
from mlffbench.core.guards.plain import counted
from mlffbench.core.guards.sizes import read_text, shown
from mlffbench.core.structures import Structures
from mlffbench.datasets.molecules.smiles import canonical_smiles, require_rdkit
from mlffbench.datasets.unlabelled.held_source import HeldSource

MOST_TOLD = 3
"""Lines that a remark names."""
_FLAT = "is a drawing in two dimensions: embed it first, or give its SMILES"
_PLACEHOLDER = "has a placeholder (*) in place of an atom"
SEED = 13
"""Of the embedding of conformers."""


class Drawn(NamedTuple):
    """A molecule with one or more conformers.

    Attributes:
        name: Its name in the file.
        molecule: Of rdkit, hydrogens included.
    """

    name: str
    molecule: Any


def read_smiles_list(path: Path, *, conformers: int) -> HeldSource:
    """Return conformers of the molecules of a file with a SMILES and a name per line.

    Conformers are embedded by ETKDGv3 with a fixed seed and relaxed with MMFF94, or UFF
    where it lacks parameters.

    Args:
        path: The file; a line begins with a SMILES, a name may follow, ``#`` begins a
            comment.
        conformers: Per molecule at most.

    Raises:
        MissingExtraError: rdkit is not installed.
        DataError: No line holds a SMILES that can be embedded.
    """
    require_rdkit(f"the SMILES file {path}")
    made: list[Drawn] = []
    faults: list[str] = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        words = line.split("#")[0].split() if line.lstrip()[:1] == "#" else line.split()
        if not words:
            continue
        name = words[1] if len(words) > 1 else f"line-{number}"
        found = _embedded(words[0], conformers)
        if isinstance(found, str):
            faults.append(f"line {number} ({shown(words[0])}) {found}")
        else:
            made.append(Drawn(name, found))
    remarks = [_told(path, faults)] * bool(faults) + _shared(path, made)
    if not made:
        msg = f"{path} holds no SMILES that can be used: "
        msg += faults[0] if faults else "it is empty"
        raise DataError(msg + "; expected a SMILES, a blank and a name per line")
    held = _structures(made, path)
    text = f"{sha256_of(path)} {conformers} {_version()}"
    return HeldSource(held, hashlib.sha256(text.encode()).hexdigest(), remarks)


def read_sdf(path: Path) -> HeldSource:
    """Return the structures of an SDF file; charge and bonds are those it states.

    Raises:
        MissingExtraError: rdkit is not installed.
        DataError: It holds no molecule with coordinates of all its atoms.
    """
    require_rdkit(f"the SDF file {path}")
    from rdkit import Chem, rdBase

    require_file(path)
    made: list[Drawn] = []
    faults: list[str] = []
    if not path.stat().st_size:
        msg = f"{path} is empty; expected an SDF file of molecules with coordinates"
        raise DataError(msg)
    with rdBase.BlockLogs():
        supplier = Chem.SDMolSupplier(str(path), removeHs=False)
        for number in range(len(supplier)):
            molecule: Any = supplier[number]
            fault = _unusable(molecule) or _drawn_flat(supplier.GetItemText(number))
            if fault:
                faults.append(f"molecule {number} {fault}")
                continue
            title = molecule.GetProp("_Name") if molecule.HasProp("_Name") else ""
            made.append(Drawn(title.split()[0] if title.split() else "", molecule))
    if not made:
        msg = f"{path} holds no molecule that can be used: "
        raise DataError(msg + (faults[0] if faults else "it is empty or no SDF file"))
    remarks = [_told(path, faults)] * bool(faults) + _shared(path, made)
    return HeldSource(_structures(made, path), sha256_of(path), remarks)


def _unusable(molecule: Any) -> str:
    """Return why a molecule of an SDF file has no structure; empty where it has one."""
    if molecule is None:
        return "cannot be parsed"
    if molecule.GetNumAtoms() == 0 or molecule.GetNumConformers() == 0:
        return "has no coordinates"
    return (_PLACEHOLDER if _has_placeholder(molecule) else "") or _misplaced(molecule)


def _misplaced(molecule: Any) -> str:
    """Return why coordinates of a molecule are no structure; empty where they are."""
    if any(atom.GetTotalNumHs() for atom in molecule.GetAtoms()):
        return "lacks hydrogens, which a force field needs: add them with coordinates"
    places = molecule.GetConformer().GetPositions()
    if len(places) > 1 and not np.ptp(places, axis=0).any():
        return "has all its atoms at one place"
    if len(places) > 3 and not molecule.GetConformer().Is3D():  # noqa: PLR2004
        return _FLAT
    return ""


def _drawn_flat(text: str) -> str:
    """Return why the text of a molecule is a drawing: its second line says ``2D``."""
    return _FLAT if [*text.splitlines(), "", ""][1][20:22] == "2D" else ""


def _has_placeholder(molecule: Any) -> bool:
    return any(atom.GetAtomicNum() == 0 for atom in molecule.GetAtoms())


def _embedded(smiles: str, conformers: int) -> Any:
    """Return a molecule with conformers, or why there is none."""
    from rdkit import Chem, rdBase
    from rdkit.Chem import rdDistGeom as DistGeom
    from rdkit.Chem import rdForceFieldHelpers as Fields

    if len(smiles) > LONGEST_SMILES:
        return f"has {len(smiles)} characters, expected at most {LONGEST_SMILES}"
    with rdBase.BlockLogs():
        plain: Chem.Mol | None = Chem.MolFromSmiles(smiles)
        if plain is None:
            return "is no SMILES that rdkit can read"
        if plain.GetNumAtoms() == 0:
            return "has no atom"
        if _has_placeholder(plain):
            return _PLACEHOLDER
        molecule = Chem.AddHs(plain)
        chosen: Any = DistGeom.ETKDGv3()
        chosen.randomSeed = SEED
        found = list(DistGeom.EmbedMultipleConfs(molecule, conformers, chosen))
        if not found:
            chosen.useRandomCoords = True
            found = list(DistGeom.EmbedMultipleConfs(molecule, conformers, chosen))
        if not found:
            return "cannot be embedded: rdkit finds no conformer"
        if Fields.MMFFHasAllMoleculeParams(molecule):
            Fields.MMFFOptimizeMoleculeConfs(molecule)
        elif Fields.UFFHasAllMoleculeParams(molecule):
            Fields.UFFOptimizeMoleculeConfs(molecule)
    return molecule


def _structures(made: Sequence[Drawn], path: Path) -> Structures:
    """Return all conformers of some molecules, names told apart, radicals as stated."""
    positions, numbers, ids, groups = [], [], [], []
    smiles, charges, multiplicities = [], [], []
    for name, molecule in _named(made, path):
        atoms = [atom.GetAtomicNum() for atom in molecule.GetAtoms()]
        unpaired = sum(atom.GetNumRadicalElectrons() for atom in molecule.GetAtoms())
        mapped = _mapped(molecule)
        for number, conformer in enumerate(molecule.GetConformers()):
            positions.append(torch.tensor(conformer.GetPositions(), dtype=torch.float64))
            numbers.append(torch.tensor(atoms))
            ids.append(f"{name}/{number}")
            groups.append(canonical_smiles(mapped) or name)
            smiles.append(mapped)
            charges.append(sum(a.GetFormalCharge() for a in molecule.GetAtoms()))
            multiplicities.append(unpaired + 1)
    return Structures.build(
        positions,
        numbers,
        ids=ids,
        group=groups,
        smiles=smiles,
        charge=charges,
        multiplicity=multiplicities,
    )


def _mapped(molecule: Any) -> str:
    """Return the SMILES of a molecule, in which every atom bears its place, from 1."""
    from rdkit import Chem

    copy = Chem.Mol(molecule)
    for atom in copy.GetAtoms():
        atom.SetAtomMapNum(atom.GetIdx() + 1)
    return str(Chem.MolToSmiles(copy, allHsExplicit=True))


def _named(made: Sequence[Drawn], path: Path) -> Iterator[Drawn]:
    """Yield molecules under names that are each there once."""
    titles = Counter(one.name for one in made)
    seen: Counter[str] = Counter()
    for number, one in enumerate(made):
        plain = one.name.replace("/", "-") or f"{path.stem}-{number}"
        seen[one.name] += 1
        twice = titles[one.name] > 1 and one.name
        yield Drawn(f"{plain}-{seen[one.name]}" if twice else plain, one.molecule)


def _told(path: Path, faults: Sequence[str]) -> str:
    """Say which lines of a file are left out."""
    more = f" and {len(faults) - MOST_TOLD} more" if len(faults) > MOST_TOLD else ""
    return f"{path}: left out: {'; '.join(faults[:MOST_TOLD])}{more}"


def _shared(path: Path, made: Sequence[Drawn]) -> list[str]:
    """Say which names molecules of a file share, if any."""
    titles = Counter(one.name for one in made if one.name)
    return told_shared(str(path), [name for name, n in titles.items() if n > 1])


def told_shared(where: str, names: Sequence[str]) -> list[str]:
    """Say that structures share some names, if they do."""
    if not names:
        return []
    more = f" and {counted(len(names) - 1, 'other name')}" if len(names) > 1 else ""
    told = f"{where}: structures share the name {shown(min(names))!r}{more}"
    return [f"{told}; each got a number behind it"]


def _version() -> str:
    import rdkit

    return str(rdkit.__version__)
