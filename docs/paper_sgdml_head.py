r"""A suite for a prior head fitted to a published sGDML model of toluene.

Trained are 300 frames of three trajectories (Langevin, 500 K) that the sGDML model moves,
labelled by it; tested are the ten toluene conformers of the val half of mini-ood, with
their DFT labels. Writes train.xyz, test.xyz and toluene.yaml into the current folder.

Usage: python docs/paper_sgdml_head.py TOLUENE.npz     (a minute), then

    mlffbench train --suite toluene.yaml --model mini-schnet --prior sgdml:TOLUENE.npz \
      --recipe attach-prior-head --prior-epochs 40 --out head
    mlffbench run --suite toluene.yaml --model attached:head --mode baseline,ttt \
      --set ttt.prior=sgdml:TOLUENE.npz --set ttt.gate=off
"""

import sys
from pathlib import Path

import ase.io
import numpy as np
import torch
from ase import Atoms, units
from ase.calculators.singlepoint import SinglePointCalculator
from ase.md.langevin import Langevin

import mlffbench
from mlffbench.run.suite import load_suite
from mlffbench.run.suite_splits import load_splits

MOLECULE = "Cc1ccccc1"
TRAJECTORIES, FRAMES, WARM_UP, EVERY = 3, 100, 10, 20
SUITE = """
name: toluene
version: 1
summary: toluene moved by its sGDML model, against conformers with DFT labels
level_of_theory: sGDML where trained, wB97X/6-31G(d) where tested
splits:
  - {name: train, role: train, file: train.xyz}
  - name: ood_toluene
    role: ood_test
    file: test.xyz
    shift: {kind: size, rule: a molecule larger than those the model was trained on}
    shares_molecules: other frames of toluene
models: [gfn2-xtb]
"""


def labelled(atoms: Atoms, energy: float, forces: np.ndarray) -> Atoms:
    """Return atoms with labels as a file holds them."""
    found = Atoms(atoms.numbers, atoms.positions)
    found.calc = SinglePointCalculator(found, energy=energy, forces=forces)
    found.info["group"] = MOLECULE
    return found


def conformers() -> list[Atoms]:
    """Return the toluene conformers of the val half, with DFT labels."""
    found = []
    for split in load_splits(*load_suite("mini-ood")):
        if (split.name, split.role) != ("ood_extreme", "ood_val"):
            continue
        structures, labels = split.structures, split.reference
        for place, group in enumerate(structures.group):
            if group == MOLECULE:
                mine = structures.system == place
                atoms = Atoms(structures.numbers[mine], structures.positions[mine])
                energy, forces = labels.energy[place], labels.forces[mine]
                found.append(labelled(atoms, float(energy), forces.numpy()))
    return found


def moved(start: Atoms, model: str, seed: int) -> list[Atoms]:
    """Return the frames of a trajectory."""
    atoms = start.copy()
    atoms.calc = mlffbench.calculator(model)
    motion = Langevin(
        atoms,
        0.5 * units.fs,
        temperature_K=500,
        friction=0.02,
        rng=np.random.default_rng(seed),
    )
    found = []
    for number in range(WARM_UP + FRAMES):
        motion.run(EVERY)
        if number >= WARM_UP:
            energy, forces = atoms.get_potential_energy(), atoms.get_forces().copy()
            found.append(labelled(atoms, energy, forces))
    return found


def main(file: str) -> None:
    torch.set_num_threads(1)
    tests = conformers()
    frames = [
        frame
        for seed, start in enumerate(tests[:TRAJECTORIES])
        for frame in moved(start, f"sgdml:{file}", seed)
    ]
    ase.io.write("train.xyz", frames, format="extxyz")
    ase.io.write("test.xyz", tests, format="extxyz")
    Path("toluene.yaml").write_text(SUITE, encoding="utf-8")
    print(f"wrote toluene.yaml: {len(frames)} frames, {len(tests)} conformers")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
