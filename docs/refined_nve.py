"""Energy conservation of a refined calculator: free trajectories beside the baseline.

A molecule of mini-ood moves freely (velocity Verlet of ASE, 0.5 fs, from
300 K) under `mlffbench.calculator`, which refines once, at the first geometry. The drift
is the slope of a line through the total energy, the jitter the root-mean-square distance
from it. Writes the rows of refined_nve.csv, and a figure per molecule.

Usage: python docs/refined_nve.py        (an hour on a busy core)
"""

import os
import sys
from pathlib import Path
from typing import NamedTuple

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
TABLE = HERE / "refined_nve.csv"
STEP_FS, KELVIN, EVERY = 0.5, 300.0, 4
MODES = ("baseline", "ttt", "rr")


class Case(NamedTuple):
    """A molecule, and how long it moves under each model, in ps."""

    split: str
    molecule: str
    times_ps: dict[str, float]


CASES = {
    "new_element": Case(
        "ood_elements", "FCC(=O)O", {"mini-schnet": 5.0, "mini-mace": 2.5}
    ),
    "lactam": Case(
        "ood_connectivity",
        "O=C1CCN1",
        {"mini-schnet": 1.5, "mini-mace": 1.5},
    ),
}


def start(case: Case) -> Atoms:
    """Return the first geometry of a molecule."""
    for split in load_splits(*load_suite("mini-ood")):
        if split.name == case.split and case.molecule in split.groups:
            found = split.source.structures(split.rows)
            one = found.select([found.group.index(case.molecule)])
            return Atoms(one.numbers.numpy(), one.positions.numpy())
    msg = f"{case.split} has no {case.molecule}"
    raise LookupError(msg)


def trajectory(case: Case, model: str, mode: str) -> tuple[np.ndarray, np.ndarray, str]:
    """Return times in ps, total energies in meV/atom, and what the refinement did."""
    atoms = start(case)
    atoms.calc = mlffbench.calculator(model, mode=mode, dtype="float64", device="cpu")
    generator = np.random.default_rng(0)
    MaxwellBoltzmannDistribution(atoms, temperature_K=KELVIN, rng=generator)
    Stationary(atoms)
    ZeroRotation(atoms)
    motion = VelocityVerlet(atoms, timestep=STEP_FS * units.fs)
    energies: list[float] = []
    motion.attach(lambda: energies.append(atoms.get_total_energy()), interval=EVERY)
    motion.run(int(1000 * case.times_ps[model] / STEP_FS))
    facts = atoms.calc.facts
    did = ""
    if mode == "ttt":
        did = f"{facts['steps']} steps" if facts["adapted"] else "not adapted"
    if mode == "rr":
        did = f"{facts['radius']:.2f} Å"
    told = 1000 * (np.array(energies) - energies[0]) / len(atoms)
    return np.arange(len(told)) * STEP_FS * EVERY / 1000, told, did


def drawn(name: str, case: Case) -> list[dict[str, object]]:
    """Return the rows of a molecule, and draw its energies."""
    rows: list[dict[str, object]] = []
    figure, axes = plt.subplots(
        1, len(case.times_ps), figsize=(4.5 * len(case.times_ps), 3.2), squeeze=False
    )
    for axis, model in zip(axes[0], case.times_ps, strict=True):
        for mode in MODES:
            at, energy, did = trajectory(case, model, mode)
            slope, offset = np.polyfit(at, energy, 1)
            jitter = float(np.sqrt(np.mean((energy - slope * at - offset) ** 2)))
            axis.plot(at, energy, lw=0.8, label=f"{mode} {did}".strip())
            row = {
                "model": model,
                "mode": mode,
                "refinement": did,
                "molecule": case.molecule,
                "time_ps": case.times_ps[model],
                "drift_mev_per_atom_per_ps": slope,
                "jitter_mev_per_atom": jitter,
            }
            print(row, flush=True)
            rows.append(row)
        axis.set(title=model, xlabel="time (ps)")
        axis.legend(frameon=False, fontsize=8)
    axes[0][0].set_ylabel("total energy − start (meV/atom)")
    figure.tight_layout()
    figure.savefig(HERE / f"refined_nve_{name}.png", dpi=110)
    return rows


def main() -> None:
    torch.set_num_threads(1)
    kept = pd.read_csv(TABLE) if TABLE.exists() else pd.DataFrame()
    for name in sys.argv[1:] or CASES:
        found = pd.DataFrame(drawn(name, CASES[name]))
        if len(kept):
            kept = kept[kept["molecule"] != CASES[name].molecule]
        kept = pd.concat([kept, found], ignore_index=True)
    kept.to_csv(TABLE, index=False, float_format="%.4g")


if __name__ == "__main__":
    main()
