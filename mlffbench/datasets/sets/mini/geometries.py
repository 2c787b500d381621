"""Geometries of the mini OOD set: SMILES -> ETKDG -> MMFF94 -> GFN2-xTB dynamics.

Every random number comes from a seed made of the molecule's name, so that a geometry does
not depend on which molecules were made before it, in which order, or by which worker.
Lengths are in Å here, times in fs, temperatures in K.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import h5py
import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import CalculationFailed
from ase.md.langevin import Langevin
from ase.optimize import BFGS
from numpy.typing import NDArray
from scipy.spatial.distance import cdist, pdist
from scipy.spatial.transform import Rotation

from mlffbench.core.errors import DataError, MissingExtraError, UnknownNameError
from mlffbench.datasets.sets.mini.subsets import (
    ADDED,
    DIMERS,
    FORCE_NORM,
    MOLECULES,
    TRAIN,
    group_name,
)
from mlffbench.datasets.statements.charge_spin import lowest_multiplicity

if TYPE_CHECKING:
    from rdkit.Chem import Mol

PRIOR: Final = "GFN2-xTB"
PRIOR_ONLY: Final = f"{TRAIN}, prior only"
"""Subset of the frames of `TRAIN` that get no DFT label."""
MONOMER_GAP: Final = 2.4
"""No two atoms of different monomers start nearer than this, in Å."""
GAP_STEP: Final = 0.1
"""Steps in which the second monomer is moved out, in Å."""
PULLS: Final = (0.6, 1.4)
"""How far the last frame of each dimer orientation is pulled apart, in Å."""
COLLAPSED: Final = 0.5
"""A frame with two atoms nearer than this, in Å, is dropped: GFN2-xTB raises no error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """How the frames of one molecule are drawn.

    Attributes:
        n_starts: Starting conformers, or orientations of a dimer.
        n_frames: Dynamics frames in all; ⌈n_frames / n_starts⌉ of each start, in order,
            until there are enough.
        n_labelled: The first so many frames get DFT labels; the rest, the prior only.
        temperature_kelvin: Of the Langevin thermostat.
        time_step_fs: Time step.
        friction_per_fs: Langevin friction.
        equilibration_steps: Steps before the frames.
        interval_steps: Steps before each frame.
        force_tolerance: Of the optimisation that precedes the dynamics, in eV/Å.
        optimisation_steps: At most so many.
    """

    n_starts: int = 3
    n_frames: int
    n_labelled: int
    temperature_kelvin: float = 500.0
    time_step_fs: float = 1.0
    friction_per_fs: float = 0.01
    equilibration_steps: int = 200
    interval_steps: int = 100
    force_tolerance: float = 0.05
    optimisation_steps: int = 60


PROTOCOLS: Final[Mapping[str, Protocol]] = MappingProxyType(
    {
        TRAIN: Protocol(n_frames=10, n_labelled=5),
        "mini id molecules": Protocol(n_frames=6, n_labelled=6),
        "mini elements": Protocol(n_frames=5, n_labelled=5),
        "mini connectivity": Protocol(n_frames=5, n_labelled=5),
        DIMERS: Protocol(
            n_starts=2,
            n_frames=4,
            n_labelled=6,  # with the pulled-apart frame of each orientation
            temperature_kelvin=300.0,
            force_tolerance=0.1,
            optimisation_steps=40,
        ),
        "mini extreme": Protocol(n_frames=10, n_labelled=10),
        FORCE_NORM: Protocol(
            n_starts=2,
            n_frames=4,
            n_labelled=4,
            temperature_kelvin=3000.0,
            time_step_fs=0.5,
            equilibration_steps=0,
            interval_steps=60,
        ),
    }
)
"""The protocol of every subset of version 1."""

N_ADDED_FRAMES: Final = 3
"""Dynamics frames of a molecule that version 2 added; of a dimer, `N_ADDED_DIMER_FRAMES`
and one pulled-apart frame of each."""
N_ADDED_DIMER_FRAMES: Final = 2


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


def seed_of(name: str, seed: int) -> int:
    """Return the molecule's own seed: 8 bytes of the sha256 of its name and ``seed``.

    Args:
        name: Name of the HDF5 group, so that hot geometries get a seed of their own.
        seed: The seed of the whole set.

    Example:
        >>> seed_of("CCO", 0) == seed_of("CCO", 0) != seed_of("CCO", 1)
        True
    """
    digest = hashlib.sha256(f"{name}\n{seed}".encode()).digest()
    return int.from_bytes(digest[:8], "big")


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One molecule to make.

    Attributes:
        subset: As stored in the file.
        name: Name of the HDF5 group.
        smiles: One SMILES, or two joined by a dot.
        protocol: How its frames are drawn.
        seed: The molecule's own seed.
    """

    subset: str
    name: str
    smiles: str
    protocol: Protocol
    seed: int

    def fingerprint(self) -> str:
        """Return what a finished part must have been made from to be kept."""
        packages = ("ase", "pyscf", "rdkit", "tblite")
        installed = [f"{p} {version(p)}" for p in packages if find_spec(p)]
        return f"{self!r}, {', '.join(installed)}"

    def part(self, folder: Path) -> Path:
        """Return the path of its part file."""
        return folder / f"{quote(self.name, safe='')}.hdf5"

    def is_finished(self, folder: Path) -> bool:
        """Return whether its part file is there and was made from the same task."""
        path = self.part(folder)
        if not path.is_file():
            return False
        try:
            with h5py.File(path) as part:
                return bool(part.attrs.get("task") == self.fingerprint())
        except OSError:  # not HDF5: made again
            return False


def plan(subsets: Sequence[str], limit: int | None, seed: int) -> list[Task]:
    """Return the molecules to make with both labels.

    Args:
        subsets: Keys of `MOLECULES` or of `ADDED`; none means all.
        limit: At most so many molecules of each subset.
        seed: The seed of the whole set.

    Raises:
        UnknownNameError: A subset that does not exist.

    Example:
        >>> [task.name for task in plan(["mini force norm"], 1, seed=0)]
        ['C#N|force-norm']
    """
    known = tuple(dict.fromkeys([*MOLECULES, *ADDED]))
    for subset in subsets:
        if subset not in known:
            raise UnknownNameError("subset", subset, known)
    tasks = []
    for subset in [name for name in known if name in (subsets or known)]:
        first = [(smiles, PROTOCOLS[subset]) for smiles in MOLECULES.get(subset, ())]
        later = [(smiles, added_protocol(subset)) for smiles in ADDED.get(subset, ())]
        for smiles, protocol in [*first, *later][:limit]:
            name = group_name(subset, smiles)
            tasks.append(
                Task(
                    subset=subset,
                    name=name,
                    smiles=smiles,
                    protocol=protocol,
                    seed=seed_of(name, seed),
                )
            )
    return tasks


def added_protocol(subset: str) -> Protocol:
    """Return how the frames of a molecule of `ADDED` are drawn: one of each start.

    Args:
        subset: A key of `ADDED`.
    """
    like = PROTOCOLS.get(subset, PROTOCOLS["mini elements"])
    if subset == DIMERS:
        n_frames = N_ADDED_DIMER_FRAMES
        return replace(like, n_frames=n_frames, n_labelled=n_frames + like.n_starts)
    return replace(
        like, n_starts=N_ADDED_FRAMES, n_frames=N_ADDED_FRAMES, n_labelled=N_ADDED_FRAMES
    )


def plan_prior_only(subsets: Sequence[str], limit: int | None, seed: int) -> list[Task]:
    """Return the trained molecules, to make with prior labels of their further frames.

    Args:
        subsets: ``["mini train"]`` or none: the others have no further frames.
        limit: At most so many molecules.
        seed: The seed of the whole set.

    Raises:
        DataError: Another subset.
    """
    for subset in subsets:
        if subset != TRAIN:
            msg = f"{subset!r} has no frames with the prior only; only {TRAIN!r} has"
            raise DataError(msg)
    return [replace(task, subset=PRIOR_ONLY) for task in plan([TRAIN], limit, seed)]


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
