"""Cost of indexing and of reading random batches, for a synthetic SPICE-layout file.

Index: molecules of 10 conformers in the released layout, written to a temporary folder.
In fresh processes, one after the other:

- ``walk``: plain h5py over every group, reading what the index reads: numbers, SMILES,
  subset, positions, energies and gradients with their units;
- ``index``: `build_index` with one process; ``index x2``: with two.

A file from outside is first looked through by a child process, once while it stays the
same; how long that takes is told beside, and is no part of the costs of the index.

Required: an index within twice the time of the walk, under 1 GB of memory, and time per
molecule that does not grow. From a second file with twice the conformers the cost of
SPICE 2 (114,000 molecules, 2.0 million conformers) is extrapolated. CPU times stand
beside, for machines that are busy.

Batches: training steps of mini-schnet on random batches read ahead from disk, against the
same steps on batches in memory. Required: at least 90 % of the speed.

Exit code 1 when something required is not met.

Usage: python benchmarks/data.py [MOLECULES …]      (default: 10000 50000)
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import h5py
import numpy as np
from usage import tell_usage

N_CONFORMERS = 10
SPICE_2 = (114_000, 2_008_000)
LIMIT_MB, LIMIT_RATIO, LIMIT_FEED, LIMIT_GROWTH = 1000, 2.0, 0.9, 1.3
BATCH, N_BATCHES = 64, 60


def main() -> None:
    counts = [int(word) for word in sys.argv[1:]] or [10_000, 50_000]
    missed = []
    with tempfile.TemporaryDirectory() as folder:
        per_molecule, seconds = [], 0.0
        for n_molecules in counts:
            path = write(Path(folder) / f"{n_molecules}.hdf5", n_molecules, N_CONFORMERS)
            both = n_molecules == counts[0]
            seconds = index_costs(path, n_molecules, missed, two_processes=both)
            per_molecule.append(seconds / n_molecules)
            if n_molecules != counts[0]:
                path.unlink()
        growth = per_molecule[-1] / per_molecule[0]
        print(f"CPU time per molecule, largest over smallest file: {growth:.2f}")
        missed += ["linear in molecules"] * (growth > LIMIT_GROWTH)
        extrapolate(Path(folder), counts[0], per_molecule[0] * counts[0])
        feed(Path(folder) / f"{counts[0]}.hdf5", missed)
    print(f"not met: {', '.join(missed)}" if missed else "everything required is met")
    sys.exit(int(bool(missed)))


def index_costs(
    path: Path, n_molecules: int, missed: list[str], *, two_processes: bool
) -> float:
    """Print walk and index side by side; return the seconds of the index."""
    size = path.stat().st_size / 1e6
    print(f"{n_molecules:,} molecules x {N_CONFORMERS} conformers, {size:.0f} MB")
    first = in_fresh_process("walk", path)
    parts = ["index", "index2"] if two_processes else ["index"]
    found = {part: in_fresh_process(part, path) for part in parts}
    walks = (first, in_fresh_process("walk", path))
    wall_s = float(np.mean([walk["wall_s"] for walk in walks]))
    cpu_s = float(np.mean([walk["cpu_s"] for walk in walks]))
    both = " and ".join(f"{walk['wall_s']:.1f}" for walk in walks)
    print(f"  walk      {wall_s:7.1f} s ({both}), {cpu_s:.1f} s of CPU")
    looked_s = found["index"]["looked_s"]
    print(f"  looked through by a child process first, once: {looked_s:.1f} s")
    for part, result in found.items():
        title = {"index": "index", "index2": "index x2"}[part]
        print(
            f"  {title:9} {result['wall_s']:7.1f} s  "
            f"{result['wall_s'] / wall_s:.2f} x the walk "
            f"({result['cpu_s'] / cpu_s:.2f} x its CPU time), {result['peak_mb']:.0f} MB"
        )
    if found["index"]["wall_s"] > LIMIT_RATIO * wall_s:
        missed.append(f"index of {n_molecules} within {LIMIT_RATIO} x the walk")
    if max(entry["peak_mb"] for entry in found.values()) > LIMIT_MB:
        missed.append(f"index of {n_molecules} under {LIMIT_MB} MB")
    return found["index"]["cpu_s"]


def extrapolate(folder: Path, n_molecules: int, seconds: float) -> None:
    """Print what SPICE 2 would take: so much per molecule and so much per conformer."""
    path = write(folder / "more.hdf5", n_molecules, 2 * N_CONFORMERS)
    more = in_fresh_process("index", path)["cpu_s"]
    path.unlink()
    per_conformer = max(0.0, (more - seconds) / (n_molecules * N_CONFORMERS))
    per_molecule = max(0.0, seconds / n_molecules - N_CONFORMERS * per_conformer)
    total = SPICE_2[0] * per_molecule + SPICE_2[1] * per_conformer
    print(
        f"{1e3 * per_molecule:.2f} ms per molecule + {1e3 * per_conformer:.3f} ms per "
        f"conformer of CPU: SPICE 2 would take {total / 60:.1f} min in one process"
    )


def feed(path: Path, missed: list[str]) -> None:
    """Print the speed of training on batches from disk over that in memory."""
    result = in_fresh_process("feed", path)
    share = result["memory_s"] / result["disk_s"]
    print(
        f"mini-schnet, {N_BATCHES} training steps of {BATCH} random structures: "
        f"{result['memory_s']:.1f} s in memory, {result['disk_s']:.1f} s from disk: "
        f"{100 * share:.0f} % of the speed (CPU of the training process: "
        f"{result['memory_cpu_s']:.1f} s and {result['disk_cpu_s']:.1f} s)"
    )
    missed += ["batches from disk at 90 % of the speed"] * (share < LIMIT_FEED)


def write(path: Path, n_molecules: int, n_conformers: int) -> Path:
    """Write different chains of C, N and O in the released SPICE layout."""
    rng = np.random.default_rng(0)
    text = h5py.string_dtype()
    with h5py.File(path, "w") as file:
        for number in range(n_molecules):
            smiles, numbers = chain(rng)
            group = file.create_group(f"{number:07d}")
            group["atomic_numbers"] = np.array(numbers, dtype=np.int16)
            group.create_dataset("smiles", data=[smiles], dtype=text)
            group.create_dataset("subset", data=["synthetic"], dtype=text)
            per_atom = (n_conformers, len(numbers), 3)
            for name, shape, unit, scale in (
                ("conformations", per_atom, "bohr", 6.0),
                ("dft_total_gradient", per_atom, "hartree/bohr", 0.02),
                ("dft_total_energy", (n_conformers,), "hartree", 1.0),
                ("formation_energy", (n_conformers,), "hartree", 1.0),
            ):
                kind = "f4" if shape == per_atom else "f8"
                group[name] = rng.normal(scale=scale, size=shape).astype(kind)
                group[name].attrs["units"] = unit
    return path


def chain(rng: np.random.Generator) -> tuple[str, list[int]]:
    """Return the mapped SMILES of a random chain, and its atomic numbers in map order."""
    heavy = rng.choice([6, 6, 6, 7, 8], size=rng.integers(6, 14)).tolist()
    heavy[0] = heavy[-1] = 6
    bonds = {6: 4, 7: 3, 8: 2}
    numbers, words = [], []
    for place, number in enumerate(heavy):
        end = place in {0, len(heavy) - 1}
        numbers.append(number)
        symbol = {6: "C", 7: "N", 8: "O"}[number]
        word = f"[{symbol}:{len(numbers)}]"
        for _ in range(bonds[number] - (1 if end else 2)):
            numbers.append(1)
            word += f"([H:{len(numbers)}])"
        words.append(word)
    return "".join(words), numbers


def in_fresh_process(part: str, path: Path) -> dict[str, float]:
    """Return what one part measured, run by a new interpreter."""
    command = [sys.executable, __file__, "--part", part, str(path)]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, float] = json.loads(run.stdout)
    return result


def run_part(part: str, path: Path) -> None:
    """Do one part and print its cost as JSON."""
    if part == "walk":
        start, used = time.perf_counter(), cpu()
        walk(path)
        result = {"wall_s": time.perf_counter() - start, "cpu_s": cpu() - used}
    elif part == "feed":
        result = feed_costs(path)
    else:
        from mlffbench.datasets.files.open import open_source
        from mlffbench.datasets.index.index import build_index
        from mlffbench.datasets.molecules.smiles import canonical_smiles
        from mlffbench.datasets.survey.hdf5_guard import check_hdf5

        canonical_smiles("C")  # imports are no part of the cost
        target = path.with_suffix(f".{part}.parquet")
        start = time.perf_counter()
        check_hdf5(path)
        looked_s = time.perf_counter() - start
        start, used = time.perf_counter(), cpu()
        build_index(open_source(path), path, target, workers=1 + (part == "index2"))
        result = {"wall_s": time.perf_counter() - start, "cpu_s": cpu() - used}
        result["looked_s"] = looked_s
        target.unlink()
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    kilobytes = max(resource.getrusage(kind).ru_maxrss for kind in kinds)
    print(json.dumps({**result, "peak_mb": kilobytes * 1024 / 1e6}))


def cpu() -> float:
    """Return the CPU seconds of this process and of those it waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def walk(path: Path) -> int:
    """Read what an index reads, by h5py as everybody writes it; return the atoms."""
    n_atoms = 0
    with h5py.File(path) as file:
        for group in file.values():
            n_atoms += len(group["atomic_numbers"][()])
            group["smiles"].asstr()[0], group["subset"].asstr()[0]
            for name in ("conformations", "dft_total_energy", "dft_total_gradient"):
                group[name][()], group[name].attrs["units"]
    return n_atoms


def feed_costs(path: Path) -> dict[str, float]:
    """Return the seconds of the same training steps from memory and from disk."""
    import torch

    from mlffbench.core.model_options import ModelOptions
    from mlffbench.datasets.index.indexed import IndexedFile
    from mlffbench.datasets.index.prefetch import LabelledBatch, read_ahead
    from mlffbench.models.load import load_model
    from mlffbench.training.loss import LossWeights, labels_loss

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    model: Any = load_model("mini-schnet", ModelOptions())
    optimiser = torch.optim.Adam(model.parameters_of("shared").values(), lr=1e-5)
    weights = LossWeights(energy=1.0, forces=1.0)

    def step(batch: LabelledBatch) -> None:
        structures = batch.structures.to(dtype=torch.float32)
        optimiser.zero_grad()
        prediction = model.forward(structures, "ref")
        labels_loss(prediction, batch.labels, structures, weights).backward()
        optimiser.step()

    source = IndexedFile(path)
    rng = np.random.default_rng(0)
    n_structures = source.index.n_structures
    rows = [rng.integers(0, n_structures, BATCH) for _ in range(N_BATCHES)]
    ready = [LabelledBatch(source.structures(r), source.labels(r)) for r in rows]
    for batch in ready[:5]:
        step(batch)  # warm
    memory, disk = [], []
    for _ in range(3):
        start, used = time.perf_counter(), time.process_time()
        for batch in ready:
            step(batch)
        memory.append((time.perf_counter() - start, time.process_time() - used))
        stream = read_ahead(source, [*rows[:5], *rows])
        for _, batch in zip(range(5), stream, strict=False):
            step(batch)  # the reader has started
        start, used = time.perf_counter(), time.process_time()
        for batch in stream:
            step(batch)
        disk.append((time.perf_counter() - start, time.process_time() - used))
    (memory_s, memory_cpu_s), (disk_s, disk_cpu_s) = (
        np.median(runs, axis=0).tolist() for runs in (memory, disk)
    )
    return {
        "memory_s": memory_s,
        "disk_s": disk_s,
        "memory_cpu_s": memory_cpu_s,
        "disk_cpu_s": disk_cpu_s,
    }


if __name__ == "__main__":
    tell_usage(__doc__)
    if sys.argv[1:2] == ["--part"]:
        run_part(sys.argv[2], Path(sys.argv[3]))
    else:
        main()
