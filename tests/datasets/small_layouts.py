"""Tiny files in the true layouts of published datasets, and what is in them."""

from pathlib import Path

import h5py
import numpy as np

ETHANOL = np.array([6, 6, 8, 1, 1, 1, 1, 1, 1])


def write_npz(path: Path, style: str, *, n_frames: int = 5, packed: bool = False) -> Path:
    """Write random frames of ethanol as ``md17``, ``rmd17``, ``md22`` or ``words``."""
    rng = np.random.default_rng(0)
    positions, forces = rng.normal(size=(2, n_frames, len(ETHANOL), 3))
    energies = rng.normal(size=n_frames)
    arrays = {
        "md17": {
            "z": ETHANOL.astype("u1"),
            "E": energies[:, None],
            "F": forces,
            "R": positions,
            "name": np.array(b"ethanol"),
            "theory": np.array(b"unknown"),
        },
        "md22": {
            "z": ETHANOL,
            "E": energies[:, None],
            "F": forces,
            "R": positions,
            "e_unit": np.array("kcal/mol"),
            "r_unit": np.array("Ang"),
        },
        "rmd17": {
            "nuclear_charges": ETHANOL,
            "coords": positions,
            "energies": energies,
            "forces": forces,
            "old_indices": np.arange(n_frames),
            "old_energies": energies,
            "old_forces": forces,
        },
        "words": {
            "atomic_numbers": np.tile(ETHANOL, (n_frames, 1)),
            "positions": positions,
            "energy": energies[:, None],
            "forces": forces,
        },
    }[style]
    (np.savez_compressed if packed else np.savez)(path, **arrays)
    return path


def write_ani1x(path: Path) -> Path:
    """Write two formulas in the layout of ani1x-release.h5; one label is missing."""
    rng = np.random.default_rng(1)
    with h5py.File(path, "w") as file:
        for name, numbers in (("C1H4", [6, 1, 1, 1, 1]), ("H2O1", [8, 1, 1])):
            group = file.create_group(name)
            group["atomic_numbers"] = np.array(numbers, dtype="u1")
            shape = (3, len(numbers), 3)
            group["coordinates"] = rng.normal(size=shape).astype("f4")
            energy, forces = rng.normal(size=3), rng.normal(size=shape)
            if name == "H2O1":
                energy[1], forces[2] = np.nan, np.nan
            group["wb97x_dz.energy"] = energy
            group["wb97x_dz.forces"] = forces.astype("f4")
            group["ccsd(t)_cbs.energy"] = np.full(3, np.nan)
    return path


def write_transition1x(path: Path) -> Path:
    """Write two reactions in the layout of transition1x.h5."""
    rng = np.random.default_rng(2)
    with h5py.File(path, "w") as file:
        for name in ("C2H2N2O/rxn0001", "CH2O/rxn0007"):
            group = file.create_group(f"data/{name}")
            numbers = [6, 6, 1, 1, 7, 7, 8] if "N2" in name else [6, 1, 1, 8]
            _transition1x_group(group, numbers, 4, rng)
            for stage in ("reactant", "transition_state", "product"):
                _transition1x_group(group.create_group(stage), numbers, 1, rng)
        file["train/C2H2N2O"] = h5py.SoftLink("/data/C2H2N2O")
        file["test/CH2O"] = h5py.SoftLink("/data/CH2O")
    return path


def _transition1x_group(
    group: h5py.Group, numbers: list[int], n: int, rng: np.random.Generator
) -> None:
    group["atomic_numbers"] = np.array(numbers)
    group["positions"] = rng.normal(size=(n, len(numbers), 3))
    group["wB97x_6-31G(d).energy"] = rng.normal(size=n)
    group["wB97x_6-31G(d).forces"] = rng.normal(size=(n, len(numbers), 3))


def write_modelforge(path: Path) -> Path:
    """Write two molecules in the layout of modelforge's curated files."""
    rng = np.random.default_rng(3)
    with h5py.File(path, "w") as file:
        for name, smiles, numbers, charge in (
            ("water", "[O:1]([H:2])[H:3]", [8, 1, 1], 0),
            ("hydroxide", "[O-:1][H:2]", [8, 1], -1),
        ):
            group = file.create_group(name)
            group["atomic_numbers"] = np.array(numbers)[:, None]
            group["n_configs"] = 3
            group.create_dataset("smiles", data=smiles, dtype=h5py.string_dtype())
            shape = (3, len(numbers), 3)
            for key, values, unit in (
                ("positions", rng.normal(size=shape), "nanometer"),
                ("dft_total_energy", rng.normal(size=(3, 1)), "kilojoule_per_mole"),
                (
                    "dft_total_force",
                    rng.normal(size=shape),
                    "kilojoule_per_mole / nanometer",
                ),
                ("total_charge", np.full((3, 1), charge), "elementary_charge"),
            ):
                group[key] = values
                group[key].attrs["u"] = unit
                group[key].attrs["format"] = "per_system"
    return path
