"""Stable time and h(r) of simulations, molecule by molecule (docs/paper.md).

Usage: python docs/paper_distances.py RUNS/SUITE/MODEL/MODE/dynamics/PRESET ...
"""

import sys
from pathlib import Path

from mlffbench.run.folder import SIMULATION, RunFolder
from mlffbench.run.simulate.reference_distances import distance_errors
from mlffbench.run.simulate.simulation_score import RAN, read_trajectories


def main() -> None:
    """Print a table row per folder and molecule."""
    print("| simulation | molecule | trajectories | stable, ps | h(r) error |")
    print("|---|---|--:|--:|--:|")
    for name in sys.argv[1:]:
        folder = RunFolder(Path(name), SIMULATION)
        manifest, table = folder.read_manifest(), read_trajectories(folder)
        against = distance_errors(folder, manifest, table)
        if against.errors is not None:
            table = table.assign(distance_error=against.errors)
        job = manifest["job"]
        who = f"{job['model']} {job['mode']} {job['settings'] or ''}"
        for molecule, rows in table.groupby("molecule", sort=False):
            ran = rows[rows["status"].isin(RAN)]
            stable, error = ran["stable_time_ps"].mean(), ran["distance_error"]
            spread = f"{error.mean():.3f} ({error.min():.3f} to {error.max():.3f})"
            print(f"| {who} | {molecule} | {len(ran)} | {stable:.2f} | {spread} |")


if __name__ == "__main__":
    main()
