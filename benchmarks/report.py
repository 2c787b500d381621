"""Time, memory and size of the HTML report of many large runs.

Makes run folders of the true layout: 5 models with 4 modes each, structures of 9 to 31
atoms, 20 conformers per molecule, one train, one ID and five OOD splits; scores them as
`mlffbench score` does (not timed), then writes the report in a process of its own and
opens it in chromium, where one is installed. Half the size shows how it grows.

Usage: python benchmarks/report.py [RUNS] [STRUCTURES]
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
from usage import tell_usage

from mlffbench.run.evaluate.evaluation_score import score_run
from mlffbench.run.folder import RunFolder, write_arrays, write_table

SPLITS = {
    "train": ("train", 0.1),
    "id_molecules": ("id_test", 0.15),
    "ood_elements": ("ood_test", 0.15),
    "ood_force_norm": ("ood_test", 0.15),
    "ood_connectivity": ("ood_test", 0.15),
    "ood_size": ("ood_test", 0.15),
    "ood_dimers": ("ood_test", 0.15),
}
MODES = ("baseline", "rr", "ttt", "rr+ttt")
PER_MOLECULE = 20
MEASURE = (
    "import resource, sys, time; from pathlib import Path; start = time.perf_counter(); "
    "from mlffbench.report.document import write_report; "
    "write_report([Path(sys.argv[1])], Path(sys.argv[2])); "
    "print(time.perf_counter() - start, "
    "resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
)


def main() -> None:
    n_runs = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    n = int(sys.argv[2]) if len(sys.argv) > 2 else 50_000
    head = "runs  structures  seconds    MB in memory  MB on disk  s to open  to sort  "
    print(f"{head}to filter")
    for size in (n // 2, n):
        with tempfile.TemporaryDirectory() as folder:
            runs = Path(folder) / "runs"
            make_runs(runs, n_runs, size)
            out = Path(folder) / "report.html"
            words = [sys.executable, "-c", MEASURE, str(runs), str(out)]
            done = subprocess.run(words, capture_output=True, text=True, check=True)
            seconds, memory = map(float, done.stdout.split())
            disk = out.stat().st_size / 1e6
            opened = open_in_browser(out)
            print(
                f"{n_runs:4d}  {size:10,d}  {seconds:7.1f}  {memory:14,.0f}  {disk:10.2f}"
                f"  {opened[0]:9.2f}  {opened[1]:7.2f}  {opened[2]:9.2f}",
                flush=True,
            )


def make_runs(out: Path, n_runs: int, n: int) -> None:
    """Write and score runs; the references are the same in all of them."""
    rng = np.random.default_rng(0)
    table, arrays, sizes = make_structures(rng, n)
    done = 0
    for number in range(-(-n_runs // len(MODES))):
        for mode in MODES[: n_runs - done]:
            folder = RunFolder(out / "large" / f"model-{number}" / mode)
            folder.path.mkdir(parents=True)
            share = 0.1 + 0.05 * number + 0.02 * MODES.index(mode)
            reference = arrays["reference"]["forces"]
            noise = rng.normal(scale=share, size=reference.shape)
            worse = rng.gamma(2, size=len(sizes))[np.repeat(np.arange(len(sizes)), sizes)]
            forces = reference + noise * worse[:, None]
            energy = arrays["reference"]["energy"] + rng.normal(
                scale=share, size=len(sizes)
            )
            predicted = table.assign(energy=energy)
            manifest = manifest_of(f"model-{number}", mode, table)
            content = {**arrays, "forces": {"forces": forces.astype(np.float32)}}
            write_table(folder.path / "predictions.parquet", predicted)
            for name, values in content.items():
                write_arrays(folder.path / f"{name}.npz", values)
            folder.complete(manifest)
            records, shifts = score_run(folder)
            folder.write_records(records)
            folder.write_alignment(shifts)
            done += 1


def make_structures(rng: Any, n: int) -> tuple[pd.DataFrame, dict[str, Any], Any]:
    """Return the rows of predictions.parquet and the arrays beside it."""
    molecule = np.arange(n) // PER_MOLECULE
    counts = [round(share * n) for _, share in SPLITS.values()]
    counts[-1] += n - sum(counts)
    names = np.repeat(list(SPLITS), counts)
    sizes = rng.integers(9, 32, size=n // PER_MOLECULE + 1)[molecule]
    table = pd.DataFrame(
        {
            "id": [f"m{m}/{i}" for i, m in enumerate(molecule)],
            "molecule": [f"{s}-m{m}" for s, m in zip(names, molecule, strict=True)],
            "split": names,
            "role": [SPLITS[name][0] for name in names],
            "shift": "",
            "n_atoms": sizes,
            "charge": 0,
            "energy": 0.0,
            "status": "ok",
            "reason": "",
        }
    )
    n_atoms = int(sizes.sum())
    elements = np.where(names == "ood_elements", 16, 8)
    numbers = rng.choice([1, 6, 7], size=n_atoms)
    numbers[np.cumsum(sizes) - sizes] = elements
    arrays = {
        "reference": {
            "energy": -100.0 * sizes,
            "forces": rng.normal(size=(n_atoms, 3)),
        },
        "structures": {
            "positions": rng.normal(scale=3, size=(n_atoms, 3)),
            "numbers": numbers,
            "cell": np.zeros((n, 3, 3)),
            "pbc": np.zeros((n, 3), dtype=np.bool_),
            "multiplicity": np.ones(n, dtype=np.int64),
            "smiles": np.array([f"{'C' * (1 + m % 40)}O" for m in molecule]),
        },
    }
    return table, arrays, sizes


def manifest_of(model: str, mode: str, table: pd.DataFrame) -> dict[str, Any]:
    """Return what run.json holds."""
    counts = table["split"].value_counts()
    splits = [
        {
            "name": name,
            "role": role,
            "shift": name.removeprefix("ood_") if role.startswith("ood") else None,
            "shift_rule": f"made up for {name}",
            "rule": "made up",
            "control": "id_molecules" if role.startswith("ood") else "",
            "n_structures": int(counts[name]),
            "n_chosen": int(counts[name]),
            "sha256": sha256(f"{name}{len(table)}".encode()).hexdigest(),
            "source_sha256": "0" * 64,
            "level_of_theory": "made up",
        }
        for name, (role, _) in SPLITS.items()
    ]
    traced = mode.endswith("ttt")
    units = {f"m{number}": [0.9**step for step in range(50)] for number in range(300)}
    keys = [f"{one['name']}/{one['role']}" for one in splits]
    return {
        "fingerprint": f"{model}/{mode}",
        "job": {
            "suite": "large",
            "suite_version": 1,
            "model": model,
            "mode": mode,
            "seed": 0,
        },
        "splits": splits,
        "model": {"card": {"level of theory": "made up"}, "weights_sha256": model},
        "mode": {"name": mode, "unit": "structure", "sees": "nothing", "settings": {}},
        "versions": {"mlffbench": "0"},
        "suite": {"summary": "made up for a benchmark"},
        "dtype": "float32",
        "hardware": {"device": "cpu", "platform": "none"},
        "command": f"mlffbench run --suite large --model {model} --mode {mode}",
        "started": f"2000-01-01T00:00:00 {model} {mode}",
        "wall_s": dict.fromkeys(keys, 10.0),
        "gradient_steps": dict.fromkeys(keys, 0),
        "traces": {key: [units] for key in keys[1:]} if traced else {},
    }


def open_in_browser(path: Path) -> tuple[float, float, float]:
    """Return seconds until the leaderboard stands, to sort and to filter, or NaN."""
    browser = shutil.which("chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        browser = None
    if browser is None:
        return float("nan"), float("nan"), float("nan")
    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = opened.new_page()
        start = time.perf_counter()
        page.goto(path.as_uri())
        page.wait_for_selector("#board-table td")
        to_open = time.perf_counter() - start
        spent = page.evaluate(
            """() => {
              const start = performance.now();
              document.querySelector('[data-sort="gap"]').click();
              document.body.getBoundingClientRect();
              return (performance.now() - start) / 1000;
            }"""
        )
        start = time.perf_counter()
        page.get_by_label("structures with S").uncheck(force=True)
        page.wait_for_selector("text=/Recomputed for/", timeout=120_000)
        to_filter = time.perf_counter() - start
        opened.close()
    return to_open, float(spent), to_filter


if __name__ == "__main__":
    tell_usage(__doc__)
    main()
