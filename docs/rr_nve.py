"""What a refined radius does to energy conservation: truncate against rescale.

Molecules of the val halves move freely (velocity Verlet of ASE, 0.5 fs, from 300 K) under
a model at its trained cutoff and at 3.5 Å, with its neighbours cut off there (truncate)
or its radial envelope moved there (rescale). The drift is the slope of a line through the
total energy; the jitter is the root-mean-square distance from that line. Writes
rr_nve.csv.

Usage: python docs/rr_nve.py        (some 3 minutes on one core)
"""

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
import torch
from ase import Atoms, units
from ase.calculators.calculator import Calculator, all_changes
from ase.md.velocitydistribution import (
    MaxwellBoltzmannDistribution,
    Stationary,
    ZeroRotation,
)
from ase.md.verlet import VelocityVerlet

from mlffbench.core.forcefield import ForceField
from mlffbench.core.model_options import ModelOptions
from mlffbench.core.structures import Structures
from mlffbench.models.load import load_model
from mlffbench.run.suite import load_suite
from mlffbench.run.suite_splits import load_splits

HERE = Path(__file__).parent
STEP_FS, TIME_PS, KELVIN = 0.5, 1.0, 300.0
RADIUS = 3.5
SPLITS = ("id_molecules", "ood_dimers", "ood_extreme")


class Driven(Calculator):
    """A force field as ASE sees it, for one structure."""

    implemented_properties = ("energy", "forces")

    def __init__(self, model: ForceField, structure: Structures) -> None:
        super().__init__()
        self._model, self._structure = model, structure

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: tuple[str, ...] = ("energy",),
        system_changes: list[str] = all_changes,
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        moved = Structures.build(
            [torch.from_numpy(self.atoms.positions)],
            [self._structure.numbers],
            ids=self._structure.ids,
        )
        labels = self._model.predict(moved)
        self.results = {
            "energy": float(labels.energy[0]),
            "forces": labels.forces.double().numpy(),
        }


def conservation(model: ForceField, structure: Structures) -> tuple[float, float]:
    """Return the drift in meV/atom/ps and the jitter in meV/atom of a free trajectory."""
    atoms = Atoms(structure.numbers.numpy(), structure.positions.numpy())
    generator = np.random.default_rng(0)
    MaxwellBoltzmannDistribution(atoms, temperature_K=KELVIN, rng=generator)
    Stationary(atoms)
    ZeroRotation(atoms)
    atoms.calc = Driven(model, structure)
    motion = VelocityVerlet(atoms, timestep=STEP_FS * units.fs)
    energies = []
    motion.attach(lambda: energies.append(atoms.get_total_energy()))
    motion.run(int(1000 * TIME_PS / STEP_FS))
    time_ps = np.arange(len(energies)) * STEP_FS / 1000
    per_atom = 1000 * (np.array(energies) - energies[0]) / len(atoms)
    line = np.polyfit(time_ps, per_atom, 1)
    jitter = np.sqrt(np.mean((per_atom - np.polyval(line, time_ps)) ** 2))
    return float(line[0]), float(jitter)


def main() -> None:
    torch.set_num_threads(1)
    chosen = {
        split.name: split.structures.select([0])
        for split in load_splits(*load_suite("mini-ood"))
        if split.name in SPLITS and split.role.endswith("_val")
    }
    rows = []
    for name in ("mini-mace", "mini-schnet"):
        model = load_model(name, ModelOptions(dtype="float64"))
        models = {
            f"trained, {model.cutoff:g} Å": model,
            f"truncate, {RADIUS:g} Å": model.with_cutoff(RADIUS, "graph"),
            f"rescale, {RADIUS:g} Å": model.with_cutoff(RADIUS, "graph+envelope"),
        }
        for split, structure in chosen.items():
            for what, one in models.items():
                drift, jitter = conservation(one, structure)
                print(f"{name:12} {split:14} {structure.group[0]:24} {what:16} "
                      f"drift {drift:9.3f} meV/atom/ps, jitter {jitter:.3f} meV/atom",
                      flush=True)  # fmt: skip
                rows.append(
                    {
                        "model": name,
                        "split": split,
                        "molecule": structure.group[0],
                        "cutoff": what,
                        "drift_mev_per_atom_per_ps": drift,
                        "jitter_mev_per_atom": jitter,
                    }
                )
    pd.DataFrame(rows).to_csv(HERE / "rr_nve.csv", index=False, float_format="%.4g")


if __name__ == "__main__":
    main()
