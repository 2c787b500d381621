"""`mlffbench predict` against `mace_eval_configs` of mace-torch, everything included.

Both read the same file of small molecules and write energies and forces, each in a fresh
process with one thread, in turn: seconds of wall clock, of CPU (user and system), and
peak memory, the least of some repeats; then how far their numbers are apart.

The molecules are those of mini-ood of at most 20 atoms and of elements that the model
knows, neutral and closed-shell, each shaken by 0.03 Å until there are enough.

- ``ours``: as it comes;
- ``tool``: its default of 64 structures a batch, and 16, float64, its own default.

Usage: python benchmarks/eval_configs.py MODEL_FILE [STRUCTURES] [REPEATS]
       (default: 1600 structures, 1 repeat)
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"  # the tool loads pickles

import numpy as np
from ase import Atoms
from ase.io import read, write
from usage import tell_usage

MOST_ATOMS = 20
SHAKEN_ANGSTROM = 0.03


class Cost(NamedTuple):
    """What a process took."""

    wall_s: float
    user_s: float
    system_s: float
    peak_mb: float


def main() -> None:
    model, *more = sys.argv[1:]
    n, repeats = (int(word) for word in (*more, *("1600", "1")[len(more) :]))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        molecules = small_molecules(model, n)
        write(folder / "small.xyz", molecules)
        sizes = [len(atoms) for atoms in molecules]
        print(
            f"{n} structures of {min(sizes)} to {max(sizes)} atoms, {sum(sizes)} in all"
        )
        commands = {"ours": predict(folder, model)} | {
            f"tool, {size} a batch": eval_configs(folder, model, size)
            for size in (64, 16)
        }
        costs: dict[str, list[Cost]] = {who: [] for who in commands}
        for _ in range(repeats):
            for who, words in commands.items():
                costs[who].append(cost_of(words, folder))
        difference = apart(folder)
    print("                   wall s  user s  system s  peak MB")
    least = {
        who: Cost(*map(min, zip(*found, strict=True))) for who, found in costs.items()
    }
    for who, cost in least.items():
        wall, user, system, peak = cost
        print(f"{who:18s} {wall:6.1f}  {user:6.1f}  {system:8.1f}  {peak:7.0f}")
    ours = least["ours"]
    for who, cost in least.items():
        wall, peak = cost.wall_s / ours.wall_s, cost.peak_mb / ours.peak_mb
        cpu = (cost.user_s + cost.system_s) / (ours.user_s + ours.system_s)
        if who != "ours":
            told = f"{who} / ours: wall {wall:.2f} (CPU {cpu:.2f}), bar 1.25; "
            print(told + f"peak memory {peak:.2f}, bar 1")
    print("apart by {:.1e} eV and {:.1e} eV/Å at most".format(*difference))


def predict(folder: Path, model: str) -> list[str]:
    """Return the command of ours."""
    words = ["-m", "mlffbench", "predict", str(folder / "small.xyz"), "--overwrite"]
    words += ["--model", f"mace:{model}", "--dtype", "float64", "--device", "cpu"]
    return [sys.executable, *words, "--trust", "--out", str(folder / "ours")]


def eval_configs(folder: Path, model: str, size: int) -> list[str]:
    """Return the command of the tool."""
    words = ["-m", "mace.cli.eval_configs", "--configs", str(folder / "small.xyz")]
    words += ["--model", model, "--output", str(folder / "tool.xyz")]
    return [sys.executable, *words, "--batch_size", str(size)]


def cost_of(words: list[str], folder: Path) -> Cost:
    """Run a command and return what it took, its children included."""
    start = time.perf_counter()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log)
        _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    assert status == 0, (folder / "log").read_text()[-2_000:]
    return Cost(wall, used.ru_utime, used.ru_stime, used.ru_maxrss * 1024 / 1e6)


def apart(folder: Path) -> tuple[float, float]:
    """Return the largest differences of energies and of forces."""
    (path,) = (folder / "ours").glob("*.extxyz")
    ours, tool = read(path, index=":"), read(folder / "tool.xyz", index=":")
    energies = [
        one.get_potential_energy() - other.info["MACE_energy"]
        for one, other in zip(ours, tool, strict=True)
    ]
    forces = [
        np.abs(one.get_forces() - other.arrays["MACE_forces"]).max()
        for one, other in zip(ours, tool, strict=True)
    ]
    return float(np.abs(energies).max()), float(max(forces))


def small_molecules(model: str, n: int) -> list[Atoms]:
    """Return molecules that a model knows, shaken, in a random order."""
    from mlffbench.core.model_options import ModelOptions
    from mlffbench.models.load import load_model
    from mlffbench.run.request import Request, resolve

    known = load_model(f"mace:{model}", ModelOptions(trust=True)).elements
    campaign = resolve(Request(suite="mini-ood", models=("zero",), modes=("baseline",)))
    found = []
    for split in campaign.splits:
        source, rows = split.source, np.asarray(split.rows)
        index = source.index
        fits = [
            index.n_atoms[record] <= MOST_ATOMS
            and index.elements[record] <= known
            and index.charge[record] == 0
            and index.multiplicity[record] == 1
            for record in index.record[rows].tolist()
        ]
        shown = source.structures(rows[np.array(fits, dtype=bool)]) if any(fits) else None
        for i in range(shown.n_systems if shown else 0):
            one = shown.select([i])
            found.append(Atoms(one.numbers.numpy(), one.positions.numpy()))
    rng = np.random.default_rng(0)
    molecules = []
    for place in range(n):
        atoms = found[place % len(found)].copy()
        atoms.positions += rng.normal(scale=SHAKEN_ANGSTROM, size=atoms.positions.shape)
        molecules.append(atoms)
    return [molecules[place] for place in rng.permutation(n)]


if __name__ == "__main__":
    tell_usage(__doc__)
    main()
