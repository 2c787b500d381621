"""Geometries of the mini OOD set: SMILES -> ETKDG -> MMFF94 -> GFN2-xTB dynamics.

Lengths are in Å here, times in fs, temperatures in K.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import CalculationFailed
from ase.md.langevin import Langevin
from ase.optimize import BFGS
from numpy.typing import NDArray
from scipy.spatial.distance import cdist, pdist
from scipy.spatial.transform import Rotation

from mlffbench.core.errors import DataError, MissingExtraError
from mlffbench.datasets.sets.mini.frame_tasks import Protocol
from mlffbench.datasets.statements.charge_spin import lowest_multiplicity

if TYPE_CHECKING:
    from rdkit.Chem import Mol

PRIOR: Final = "GFN2-xTB"
MONOMER_GAP: Final = 2.4
"""No two atoms of different monomers start nearer than this, in Å."""
GAP_STEP: Final = 0.1
"""Steps in which the second monomer is moved out, in Å."""
PULLS: Final = (0.6, 1.4)
"""How far the last frame of each dimer orientation is pulled apart, in Å."""
COLLAPSED: Final = 0.5
"""A frame with two atoms nearer than this, in Å, is dropped: GFN2-xTB raises no error."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """The geometries drawn for one molecule.

    Attributes:
        smiles: With explicit hydrogens and the atom map (atom i carries i + 1).
        numbers: shape (n_atoms,), atomic numbers.
        positions: shape (n_frames, n_atoms, 3), in Å, centred on the mean position.
        dropped: One sentence for every frame, or start, that gave no geometry.
    """

    smiles: str
    numbers: NDArray[np.int16]
    positions: NDArray[np.float64]
    dropped: tuple[str, ...]


def require(*packages: str) -> None:
    """Check that optional packages are installed.

    Args:
        packages: Names to import, of the extra ``qc``.

    Raises:
        MissingExtraError: One of them is not there.
    """
    for package in packages:
        if find_spec(package) is None:
            raise MissingExtraError("the recipe of the mini set", package, "qc")


def sample(smiles: str, protocol: Protocol, seed: int) -> Sample:
    """Return the geometries of one molecule or dimer.

    Args:
        smiles: One SMILES, or two joined by a dot.
        protocol: How the frames are drawn.
        seed: The molecule's own seed, from `seed_of`.

    Raises:
        MissingExtraError: RDKit is not installed.
        DataError: The SMILES cannot be read.
    """
    require("rdkit")
    monomers = [_read(part) for part in smiles.split(".")]
    numbers = np.concatenate([_numbers(monomer) for monomer in monomers])
    frames: list[NDArray[np.float64]] = []
    dropped: list[str] = []
    starts = list(_starts(monomers, protocol.n_starts, seed))
    if len(starts) < protocol.n_starts:
        dropped.append(f"ETKDG gave {len(starts)} of {protocol.n_starts} conformers")
    for index, start in enumerate(starts):
        try:
            for frame in _frames(Atoms(numbers, start), index, monomers, protocol, seed):
                if pdist(frame).min(initial=np.inf) < COLLAPSED:
                    dropped.append(f"start {index}: two atoms nearer than {COLLAPSED} Å")
                else:
                    frames.append(frame - frame.mean(axis=0))
        except CalculationFailed as error:
            reason = " ".join(str(error).split())
            dropped.append(f"start {index}: {PRIOR} failed: {reason}")
    positions = np.array(frames).reshape(len(frames), len(numbers), 3)
    return Sample(_mapped_smiles(monomers), numbers, positions, tuple(dropped))


def _read(smiles: str) -> "Mol":
    from rdkit import Chem

    molecule: Any = Chem.MolFromSmiles(smiles)  # None, whatever its stub says
    if molecule is None:
        msg = f"RDKit cannot read the SMILES {smiles!r}; correct it in molecules.py"
        raise DataError(msg)
    return Chem.AddHs(molecule)


def _numbers(molecule: "Mol") -> NDArray[np.int16]:
    return np.array([atom.GetAtomicNum() for atom in molecule.GetAtoms()], dtype=np.int16)


def _mapped_smiles(monomers: list["Mol"]) -> str:
    from rdkit import Chem

    whole = Chem.Mol(monomers[0])
    for monomer in monomers[1:]:
        whole = Chem.CombineMols(whole, monomer)
    for atom in whole.GetAtoms():
        atom.SetAtomMapNum(atom.GetIdx() + 1)
    return str(Chem.MolToSmiles(whole))


def _starts(
    monomers: list["Mol"], n_starts: int, seed: int
) -> Iterator[NDArray[np.float64]]:
    """Yield starting geometries, shape (n_atoms, 3), in Å."""
    conformers = [
        _embed(monomer, n_starts, seed + index) for index, monomer in enumerate(monomers)
    ]
    for index, parts in enumerate(zip(*conformers, strict=False)):
        placed = parts[0]
        for part in parts[1:]:
            placed = _place(placed, part, np.random.default_rng([seed, index, 1]))
        yield placed


def _embed(molecule: "Mol", n_conformers: int, seed: int) -> list[NDArray[np.float64]]:
    """Return ETKDG conformers, MMFF94-optimised where MMFF94 has the parameters."""
    from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

    options: Any = rdDistGeom.ETKDGv3()  # its stub has the wrong types
    options.randomSeed = seed % 2**31
    ids = list(rdDistGeom.EmbedMultipleConfs(molecule, n_conformers, options))
    if ids and rdForceFieldHelpers.MMFFHasAllMoleculeParams(molecule):
        rdForceFieldHelpers.MMFFOptimizeMoleculeConfs(molecule, mmffVariant="MMFF94")
    return [np.array(molecule.GetConformer(i).GetPositions()) for i in ids]


def _place(
    first: NDArray[np.float64], second: NDArray[np.float64], random: np.random.Generator
) -> NDArray[np.float64]:
    """Return both monomers, the second one turned at random and just out of reach."""
    first = first - first.mean(axis=0)
    second = Rotation.random(None, random).apply(second - second.mean(axis=0))
    direction = random.standard_normal(3)
    direction /= np.linalg.norm(direction)
    distance = 0.0
    while cdist(first, second + distance * direction).min() <= MONOMER_GAP:
        distance += GAP_STEP
    return np.concatenate([first, second + distance * direction])


def _frames(
    atoms: Atoms, index: int, monomers: list["Mol"], protocol: Protocol, seed: int
) -> Iterator[NDArray[np.float64]]:
    """Yield the frames of one start, shape (n_atoms, 3), in Å."""
    from tblite.ase import TBLite

    per_start = -(-protocol.n_frames // protocol.n_starts)
    n_frames = min(per_start, protocol.n_frames - index * per_start)
    if n_frames <= 0:
        return
    multiplicity = lowest_multiplicity(atoms.numbers, charge=0)
    atoms.calc = TBLite(method=PRIOR, multiplicity=multiplicity, verbosity=0)
    optimiser: Any = BFGS(atoms, logfile=None)  # ASE types it in part only
    optimiser.run(fmax=protocol.force_tolerance, steps=protocol.optimisation_steps)
    random = np.random.default_rng([seed, index, 0])
    frame = atoms.positions.copy()
    for frame in _dynamics(atoms, protocol, n_frames, random):
        yield frame
    if len(monomers) > 1:
        yield _pull(frame, monomers[0].GetNumAtoms(), PULLS[index % len(PULLS)])


def _dynamics(
    atoms: Any,  # Atoms, which ASE types in part only
    protocol: Protocol,
    n_frames: int,
    random: np.random.Generator,
) -> Iterator[NDArray[np.float64]]:
    """Yield frames of Langevin dynamics, shape (n_atoms, 3), in Å."""
    spread = np.sqrt(units.kB * protocol.temperature_kelvin * atoms.get_masses())
    atoms.set_momenta(random.standard_normal((len(atoms), 3)) * spread[:, None])
    dynamics: Any = Langevin(
        atoms,
        protocol.time_step_fs * units.fs,
        temperature_K=protocol.temperature_kelvin,
        friction=protocol.friction_per_fs / units.fs,
        fixcm=False,  # the drift is taken out of each frame
        rng=random,
    )
    dynamics.run(protocol.equilibration_steps)
    for _ in range(n_frames):
        dynamics.run(protocol.interval_steps)
        yield atoms.positions.copy()


def _pull(
    frame: NDArray[np.float64], n_first: int, distance: float
) -> NDArray[np.float64]:
    """Return the frame with the second monomer moved out along the line of centres."""
    axis = frame[n_first:].mean(axis=0) - frame[:n_first].mean(axis=0)
    pulled = frame.copy()
    pulled[n_first:] += distance * axis / np.linalg.norm(axis)
    return pulled
