"""Energy conservation of a refined calculator: free trajectories beside the baseline.

A molecule of a val half of mini-ood moves freely (velocity Verlet of ASE, 0.5 fs, from
300 K) under `mlffbench.calculator`, which refines once, at the first geometry. The drift
is the slope of a line through the total energy, the jitter the root-mean-square distance
from it. Writes refined_nve.csv, and refined_nve.png from the energies.

Usage: python docs/refined_nve.py        (some 25 minutes on a busy core)
"""

import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from ase import Atoms, units
from ase.md.velocitydistribution import (
    MaxwellBoltzmannDistribution,
    Stationary,
    ZeroRotation,
)
from ase.md.verlet import VelocityVerlet

import mlffbench
from mlffbench.run.suite import load_suite
from mlffbench.run.suite_splits import load_splits

HERE = Path(__file__).parent
STEP_FS, KELVIN, EVERY = 0.5, 300.0, 4
TIME_PS = {"mini-schnet": 5.0, "mini-mace": 2.5}
MODES = ("baseline", "ttt", "rr")
SPLIT, MOLECULE = "ood_elements", "FCC(=O)O"


def start() -> Atoms:
    """Return the first geometry of the molecule."""
    for split in load_splits(*load_suite("mini-ood")):
        if split.name == SPLIT and split.role.endswith("_val"):
            found = split.source.structures(split.rows)
            one = found.select([found.group.index(MOLECULE)])
            return Atoms(one.numbers.numpy(), one.positions.numpy())
    msg = f"{SPLIT} has no {MOLECULE}"
    raise LookupError(msg)


def trajectory(model: str, mode: str) -> tuple[np.ndarray, np.ndarray, str]:
    """Return times in ps, total energies in meV/atom, and what the refinement did."""
    atoms = start()
    atoms.calc = mlffbench.calculator(model, mode=mode, dtype="float64", device="cpu")
    generator = np.random.default_rng(0)
    MaxwellBoltzmannDistribution(atoms, temperature_K=KELVIN, rng=generator)
    Stationary(atoms)
    ZeroRotation(atoms)
    motion = VelocityVerlet(atoms, timestep=STEP_FS * units.fs)
    energies: list[float] = []
    motion.attach(lambda: energies.append(atoms.get_total_energy()), interval=EVERY)
    motion.run(int(1000 * TIME_PS[model] / STEP_FS))
    facts = atoms.calc.facts
    did = ""
    if mode == "ttt":
        did = f"{facts['steps']} steps" if facts["adapted"] else "not adapted"
    if mode == "rr":
        did = f"{facts['radius']:.2f} Å"
    told = 1000 * (np.array(energies) - energies[0]) / len(atoms)
    return np.arange(len(told)) * STEP_FS * EVERY / 1000, told, did


def main() -> None:
    torch.set_num_threads(1)
    rows = []
    figure, axes = plt.subplots(1, len(TIME_PS), figsize=(9, 3.2), squeeze=False)
    for axis, model in zip(axes[0], TIME_PS, strict=True):
        for mode in MODES:
            began = time.perf_counter()
            at, energy, did = trajectory(model, mode)
            slope, offset = np.polyfit(at, energy, 1)
            jitter = float(np.sqrt(np.mean((energy - slope * at - offset) ** 2)))
            axis.plot(at, energy, lw=0.8, label=f"{mode} {did}".strip())
            row = {
                "model": model,
                "mode": mode,
                "refinement": did,
                "molecule": MOLECULE,
                "time_ps": TIME_PS[model],
                "drift_mev_per_atom_per_ps": slope,
                "jitter_mev_per_atom": jitter,
            }
            print(row, f"{time.perf_counter() - began:.0f} s", flush=True)
            rows.append(row)
        axis.set(title=model, xlabel="time (ps)")
        axis.legend(frameon=False, fontsize=8)
    axes[0][0].set_ylabel("total energy − start (meV/atom)")
    figure.tight_layout()
    figure.savefig(HERE / "refined_nve.png", dpi=110)
    pd.DataFrame(rows).to_csv(HERE / "refined_nve.csv", index=False, float_format="%.4g")


if __name__ == "__main__":
    main()
