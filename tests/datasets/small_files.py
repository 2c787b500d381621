"""Small files in the layouts the readers know, written afresh for each test."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
from hypothesis import HealthCheck, settings

from mlffbench.core.split import Source

SEEDED = settings(
    derandomize=True,
    deadline=None,  # files on a busy machine
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
"""Property tests over files: the same examples every time, one folder for all of them."""
MOLECULES = {
    "hydroxide": ("[O-:1][H:2]", [8, 1]),
    "methyl": ("[C:1]([H:2])([H:3])[H:4]", [6, 1, 1, 1]),
    "water": ("[O:1]([H:2])[H:3]", [8, 1, 1]),
}
ATOM_LINES = "O 0.0 0.1 -0.2 0.3 0.4 0.5\nH 1.0 0.1 -0.2 0.3 0.4 0.5\n"
COLUMNS = "Properties=species:S:1:pos:R:3:forces:R:3"


def write_spice(
    path: Path, *, n_conformers: int = 4, seed: int = 0, units: bool = True
) -> Path:
    """Write `MOLECULES` with random numbers in the released SPICE layout."""
    rng = np.random.default_rng(seed)
    text = h5py.string_dtype()
    with h5py.File(path, "w") as file:
        file.attrs["level_of_theory"] = "made up"
        for name, (smiles, numbers) in MOLECULES.items():
            group = file.create_group(name)
            group["atomic_numbers"] = np.array(numbers, dtype=np.int16)
            group.create_dataset("smiles", data=[smiles], dtype=text)
            group.create_dataset("subset", data=["made up"], dtype=text)
            for key, per_atom, unit in (
                ("conformations", True, "bohr"),
                ("dft_total_gradient", True, "hartree/bohr"),
                ("dft_total_energy", False, "hartree"),
                ("formation_energy", False, "hartree"),
            ):
                shape = (n_conformers, len(numbers), 3) if per_atom else n_conformers
                group[key] = rng.normal(size=shape).astype("f4" if per_atom else "f8")
                if units:
                    group[key].attrs["units"] = unit
    return path


def read_everything(source: Source) -> None:
    """Read all structures and labels of a file."""
    rows = np.arange(source.index.n_structures)
    source.structures(rows)
    source.labels(rows)


def edited(path: Path, how: Callable[[h5py.File], object]) -> Path:
    """Change an HDF5 file and return its path."""
    with h5py.File(path, "r+") as file:
        how(file)
    return path


def replace_dataset(name: str, value: object) -> Callable[[h5py.File], object]:
    """Return an edit that puts other content in a dataset, its attributes kept."""

    def how(file: h5py.File) -> None:
        attributes = dict(file[name].attrs)
        del file[name]
        file[name] = value
        file[name].attrs.update(attributes)

    return how


def write_xyz(path: Path, *comments: str, atoms: str = ATOM_LINES) -> Path:
    """Write one frame per comment line, each with the same atom lines."""
    n_atoms = atoms.count("\n")
    path.write_text("".join(f"{n_atoms}\n{comment}\n{atoms}" for comment in comments))
    return path
