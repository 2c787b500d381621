"""A made-up pair of SPICE releases in their true layout, with everything known of it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
from rdkit import Chem, rdBase
from rdkit.Chem import AllChem

BOHR = 0.529177210903
_CORES = ("C", "CC", "CCC", "c1ccccc1", "C1CC1", "C1CCCC1", "c1ccncc1", "c1ccoc1")
_ENDS = ("C", "O", "N", "F", "Cl", "C#N", "C=O", "S", "OC", "NC", "CO", "C(C)C")
_STRANGE = ("[SiH3]", "B(O)O")
_CHARGED = ("[NH3+]", "C(=O)[O-]")


@dataclass
class Made:
    """What was put into the pair: molecule -> its canonical SMILES."""

    first: set[str] = field(default_factory=set)
    ions_of_first: set[str] = field(default_factory=set)
    shared: set[str] = field(default_factory=set)
    new: set[str] = field(default_factory=set)
    with_new_elements: set[str] = field(default_factory=set)
    charged: set[str] = field(default_factory=set)
    larger: set[str] = field(default_factory=set)
    hot: set[str] = field(default_factory=set)


def canonical(molecule: Chem.Mol) -> str:
    """Return the canonical SMILES by a way of its own: coordinates, not text."""
    bare = Chem.RemoveHs(molecule)
    for atom in bare.GetAtoms():
        atom.SetAtomMapNum(0)
    return str(Chem.MolToSmiles(bare))


def write_pair(
    folder: Path, *, n_first: int, n_new: int, n_conformers: int = 3, seed: int = 0
) -> tuple[Path, Path, Made]:
    """Write ``SPICE-1.1.4.hdf5`` and ``SPICE-2.0.1.hdf5``; return them and what is in."""
    rng = np.random.default_rng(seed)
    made = Made()
    plain = _distinct(rng, _ENDS, made.first)
    first = [next(plain) for _ in range(n_first)]
    made.first |= {canonical(molecule) for molecule in first}
    ions = _distinct(rng, _CHARGED, made.first)
    first += [next(ions) for _ in range(max(3, n_first // 20))]
    made.ions_of_first = {canonical(m) for m in first} - made.first
    shared = [first[i] for i in rng.choice(n_first, n_first // 3, replace=False)]
    made.shared = {canonical(molecule) for molecule in shared}
    taken = made.first | made.ions_of_first
    new = [next(plain) for _ in range(n_new)]
    strange, charged = _distinct(rng, _STRANGE, taken), _distinct(rng, _CHARGED, taken)
    extra = [next(strange) for _ in range(n_new // 4)]
    made.with_new_elements = {canonical(molecule) for molecule in extra}
    ionic = [next(charged) for _ in range(n_new // 5)]
    made.charged = {canonical(molecule) for molecule in ionic}
    large = [_molecule(f"C{'C' * n}C") for n in range(14, 14 + max(2, n_new // 20))]
    made.larger = {canonical(molecule) for molecule in large}
    hot = set(range(0, n_new, 7))
    made.hot = {canonical(new[i]) for i in hot}
    made.new = {canonical(m) for m in [*new, *extra, *ionic, *large]}
    one, two = folder / "SPICE-1.1.4.hdf5", folder / "SPICE-2.0.1.hdf5"
    _write(one, [(m, False, False) for m in first], n_conformers, rng)
    entries = [(molecule, True, False) for molecule in shared]
    entries += [(molecule, False, i in hot) for i, molecule in enumerate(new)]
    entries += [(molecule, False, False) for molecule in (*extra, *ionic, *large)]
    _write(two, entries, n_conformers, rng)
    return one, two, made


def _distinct(
    rng: np.random.Generator, ends: tuple[str, ...], taken: set[str]
) -> Iterator[Chem.Mol]:
    """Yield molecules that were not yielded before: core, some ends, one of ``ends``."""
    seen = set(taken)
    while True:
        middle = "".join(str(rng.choice(_CORES[:3])) for _ in range(rng.integers(0, 3)))
        branch = f"({rng.choice(_ENDS)})"
        smiles = f"{rng.choice(_ENDS)}C{branch}{middle}{rng.choice(_CORES)}"
        smiles = smiles.replace("c1ccccc1", "c1ccc({})cc1").replace("C1CC1", "C1CC1{}")
        smiles = smiles.replace("C1CCCC1", "C1CCCC1{}").replace(
            "c1ccncc1", "c1ccnc({})c1"
        )
        smiles = smiles.replace("c1ccoc1", "c1ccoc1{}")
        end = str(rng.choice(ends))
        smiles = smiles.replace("{}", end) if "{}" in smiles else smiles + end
        molecule = _molecule(smiles)
        if molecule is None or canonical(molecule) in seen:
            continue
        seen.add(canonical(molecule))
        yield molecule


def _molecule(smiles: str) -> Chem.Mol | None:
    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(smiles)
    if molecule is None:
        return None
    molecule = Chem.AddHs(molecule)
    placed = AllChem.EmbedMolecule(molecule, randomSeed=7)
    return molecule if placed == 0 else None


def _respelled(molecule: Chem.Mol, rng: np.random.Generator) -> Chem.Mol:
    """Return the same molecule, its atoms in another order."""
    order = rng.permutation(molecule.GetNumAtoms()).tolist()
    return Chem.RenumberAtoms(molecule, order)


def _mapped(molecule: Chem.Mol) -> str:
    copy = Chem.Mol(molecule)
    for atom in copy.GetAtoms():
        atom.SetAtomMapNum(atom.GetIdx() + 1)
    return str(Chem.MolToSmiles(copy, canonical=False))


def _write(
    path: Path,
    entries: list[tuple[Chem.Mol, bool, bool]],
    n_conformers: int,
    rng: np.random.Generator,
) -> None:
    """Write molecules; each is (molecule, whether to respell it, whether it is hot)."""
    text = h5py.string_dtype()
    is_second = path.stem.endswith("2.0.1")
    with h5py.File(path, "w") as file:
        for number, (source, respell, hot) in enumerate(entries):
            molecule = _respelled(source, rng) if respell else source
            group = file.create_group(f"{path.stem[-5:]} {number:05d}")
            smiles = _mapped(molecule)
            n_atoms = molecule.GetNumAtoms()
            numbers = [atom.GetAtomicNum() for atom in molecule.GetAtoms()]
            group["atomic_numbers"] = np.array(numbers, dtype=np.int16)
            group.create_dataset("smiles", data=[smiles], dtype=text)
            group.create_dataset("subset", data=["made up"], dtype=text)
            centre = molecule.GetConformer().GetPositions() / BOHR
            shape = (n_conformers, n_atoms, 3)
            shake = rng.normal(scale=0.08, size=shape)
            gradient = rng.normal(size=shape)
            gradient /= np.linalg.norm(gradient, axis=2).mean(axis=1)[:, None, None]
            least, most = (0.2, 0.3) if hot else (0.01, 0.02 if is_second else 0.03)
            gradient *= rng.uniform(least, most, size=(n_conformers, 1, 1))
            for name, values, kind, unit in (
                ("conformations", centre + shake, "f4", "bohr"),
                ("dft_total_gradient", gradient, "f4", "hartree/bohr"),
                ("dft_total_energy", rng.normal(size=n_conformers), "f8", "hartree"),
                ("formation_energy", rng.normal(size=n_conformers), "f8", "hartree"),
            ):
                group[name] = values.astype(kind)
                group[name].attrs["units"] = unit
