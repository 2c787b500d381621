"""Index a synthetic SPICE-layout file against a plain h5py walk: time and peak memory.

The file has 20,000 groups of 10 conformers (10 to 39 atoms), written to a temporary
folder. Each of the following runs in a fresh process, in turn:

- ``imports``: nothing but the imports of the reader, the floor of its memory;
- ``walk``: plain h5py over every group: numbers, SMILES, subset, shapes and units;
- ``index``: `SpiceFile.index`, which checks and converts on top of that;
- ``batches``: the index, then structures and labels of 64 random batches of 64.

A file from outside is first looked through by a child process, once while it stays the
same; how long that takes is told beside, and is no part of the times and memory above.

Peak memory is the process's maximum resident set. Exit code 1 when the index or the
batches need 500 MB or more.

Usage: python benchmarks/reading.py [GROUPS]
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
from ase.data import chemical_symbols
from usage import tell_usage

N_CONFORMERS = 10
LIMIT_MB = 500
PARTS = ("imports", "walk", "index", "batches")


def main() -> None:
    n_groups = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "synthetic.hdf5"
        write(path, n_groups)
        size = path.stat().st_size / 1e6
        print(f"{n_groups} groups x {N_CONFORMERS} conformers, {size:.0f} MB")
        results = {part: in_fresh_process(part, path) for part in PARTS}
    for part, result in results.items():
        print(f"{part:8} {result['wall_s']:7.2f} s  {result['peak_mb']:6.0f} MB peak")
    looked_s = results["index"]["looked_s"]
    print(f"looked through by a child process first, once: {looked_s:.2f} s")
    ratio = results["index"]["wall_s"] / results["walk"]["wall_s"]
    print(f"index / walk: {ratio:.2f} x the time")
    peak = max(results["index"]["peak_mb"], results["batches"]["peak_mb"])
    print(f"peak memory {peak:.0f} MB; required: less than {LIMIT_MB} MB")
    sys.exit(int(peak >= LIMIT_MB))


def write(path: Path, n_groups: int) -> None:
    """Write random molecules in the released SPICE layout."""
    rng = np.random.default_rng(0)
    text = h5py.string_dtype()
    with h5py.File(path, "w") as file:
        for number in range(n_groups):
            n_atoms = int(rng.integers(10, 40))
            group = file.create_group(f"molecule {number}")
            numbers = rng.choice([1, 6, 7, 8], n_atoms)
            group["atomic_numbers"] = numbers.astype("i2")
            smiles = ".".join(
                f"[{chemical_symbols[number]}:{atom + 1}]"
                for atom, number in enumerate(numbers)
            )
            group.create_dataset("smiles", data=[smiles], dtype=text)
            group.create_dataset("subset", data=["synthetic"], dtype=text)
            per_atom = (N_CONFORMERS, n_atoms, 3)
            for name, shape, unit in (
                ("conformations", per_atom, "bohr"),
                ("dft_total_gradient", per_atom, "hartree/bohr"),
                ("dft_total_energy", (N_CONFORMERS,), "hartree"),
                ("formation_energy", (N_CONFORMERS,), "hartree"),
            ):
                kind = "f4" if shape == per_atom else "f8"
                group[name] = rng.normal(size=shape).astype(kind)
                group[name].attrs["units"] = unit


def in_fresh_process(part: str, path: Path) -> dict[str, float]:
    """Return seconds and peak MB of one part, run by a new interpreter."""
    command = [sys.executable, __file__, "--part", part, str(path)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    result: dict[str, float] = json.loads(run.stdout)
    return result


def run_part(part: str, path: Path) -> None:
    """Do one part and print its cost as JSON."""
    looked_s = 0.0
    if part == "walk":
        start = time.perf_counter()
        walk(path)
    else:
        from mlffbench.datasets.files.spice_layout import SpiceFile
        from mlffbench.datasets.survey.hdf5_guard import check_hdf5

        if part != "imports":
            start = time.perf_counter()
            check_hdf5(path)
            looked_s = time.perf_counter() - start
        start = time.perf_counter()
        if part != "imports":
            source = SpiceFile(path)
            n_structures = source.index.n_structures
        if part == "batches":
            rng = np.random.default_rng(0)
            for _ in range(64):
                rows = rng.integers(0, n_structures, size=64)
                source.structures(rows)
                source.labels(rows)
    wall_s = time.perf_counter() - start
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    cost = {"wall_s": wall_s, "looked_s": looked_s, "peak_mb": kilobytes * 1024 / 1e6}
    print(json.dumps(cost))


def walk(path: Path) -> list[tuple[Any, ...]]:
    """Return what an index needs to know, by h5py as everybody writes it."""
    labels = ("conformations", "dft_total_energy", "dft_total_gradient")
    with h5py.File(path) as file:
        return [
            (
                name,
                group["atomic_numbers"][()],
                group["smiles"].asstr()[0],
                group["subset"].asstr()[0],
                *((group[key].shape, group[key].attrs["units"]) for key in labels),
            )
            for name, group in file.items()
        ]


if __name__ == "__main__":
    tell_usage(__doc__)
    if sys.argv[1:2] == ["--part"]:
        run_part(sys.argv[2], Path(sys.argv[3]))
    else:
        main()
