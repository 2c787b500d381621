"""Data check: whether a suite's labels can be eV and eV/Å, told before any compute."""

import os
import pickle
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch

from mlffbench.core.assembly import from_outcomes, singles
from mlffbench.core.errors import BenchError, ModelError
from mlffbench.core.guards.children import PYTHON
from mlffbench.core.labels import Labels
from mlffbench.core.single import Outcome
from mlffbench.core.split import Rows, Source, Split
from mlffbench.core.structures import Structures
from mlffbench.metrics.plausibility import LENGTHS, judge_data, length_unit
from mlffbench.models.cards import GFN2_XTB
from mlffbench.models.physics.xtb import XtbForceField
from mlffbench.priors.prior_labels import LabelCache, cache_folder, label

N_STRUCTURES = 12
"""Of each file."""
CANDIDATES = 120
"""Drawn at random, of which the smallest are computed."""
MOST_ATOMS = 120
"""Of a molecule."""
BUDGET = 300
"""Atoms of a sample, beyond its first three molecules."""
LAST_ELEMENT = 86
"""Of GFN2-xTB."""
SEED = 13
NOT_CHECKED = "labels were not compared with GFN2-xTB"


class _Aside(XtbForceField):
    """GFN2-xTB in one fresh process, which does not run the caller's script again.

    A pool of workers would, and a check may not ask that of whoever uses no xTB.
    """

    def _compute(self, structures: Structures) -> Labels:
        done = subprocess.run(
            [*PYTHON, "-c", _SCRIPT],
            input=pickle.dumps((self.card.level_of_theory, singles(structures))),
            capture_output=True,
            check=False,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        if done.returncode:
            lines = done.stderr.decode(errors="replace").strip().splitlines() or ["ended"]
            msg = f"GFN2-xTB could not be computed: {lines[-1]}"
            raise ModelError(msg)
        outcomes: list[Outcome] = pickle.loads(done.stdout)
        return from_outcomes(structures, outcomes, self.card.level_of_theory)


_SCRIPT = """
import pickle, sys
from mlffbench.models.physics.xtb_worker import compute_all
outcomes = compute_all(*pickle.load(sys.stdin.buffer))
sys.stdout.buffer.write(pickle.dumps(outcomes))
"""


@lru_cache(maxsize=8)
def check_data(splits: tuple[Split, ...]) -> tuple[str, ...]:
    """Return what looks wrong with the labels of each file of a suite, in sentences.

    A seeded sample of `N_STRUCTURES` small molecules of each file is compared with
    GFN2-xTB, whose labels are cached. A file that has no molecule to compare is not
    judged, and that is said.
    """
    files: dict[str, list[Split]] = {}
    for split in splits:
        files.setdefault(split.source.sha256, []).append(split)
    drawn: list[tuple[str, Source, Rows]] = []
    told = []
    for own in files.values():
        rows = np.unique(np.concatenate([split.rows for split in own]))
        names = ", ".join(dict.fromkeys(split.name for split in own))
        chosen = sample(own[0].source, rows)
        if len(chosen):
            drawn.append((names, own[0].source, chosen))
            told += _with_cell(names, own[0].source, rows)
        else:
            told.append(
                f"{names}: {NOT_CHECKED}: no molecule of 2 to {MOST_ATOMS} atoms without "
                "a cell"
            )
    if not drawn:
        return tuple(told)
    try:
        return (*told, *_compare(drawn))
    except BenchError as error:
        return (*told, f"{NOT_CHECKED}: {error}")


def _compare(drawn: Sequence[tuple[str, Source, Rows]]) -> list[str]:
    """Return what looks wrong with samples; GFN2-xTB is run where there are labels."""
    samples = [source.structures(rows) for _, source, rows in drawn]
    references = [source.labels(rows) for _, source, rows in drawn]
    lengths = [length_unit(structures) for structures in samples]
    true = [_in_angstrom(one, unit) for one, unit in zip(samples, lengths, strict=True)]
    told = [[f"positions look like {unit}, not Å"] * bool(unit) for unit in lengths]
    if any(reference.has_any for reference in references):
        cheap = _cheap_labels(true)
        judged = map(judge_data, true, references, cheap)
        told = [[*one, *found] for one, found in zip(told, judged, strict=True)]
    return [
        f"{names}: {sentence}"
        for (names, _, _), found in zip(drawn, told, strict=True)
        for sentence in found
    ]


def _cheap_labels(samples: Sequence[Structures]) -> list[Labels]:
    """Return GFN2-xTB's labels of samples, cached."""
    model = _Aside("gfn2-xtb", GFN2_XTB, workers=1)
    # apart from what refinements cache: a sample there would pass for a diagnosis
    cache = LabelCache.of(model, cache_folder("label-checks"))
    cheap = label(Structures.concatenate(samples), model, cache)
    energies = torch.split(cheap.energy, [one.n_systems for one in samples])
    forces = torch.split(cheap.forces, [one.n_atoms for one in samples])
    return [
        Labels(energy=energy, forces=force, source=cheap.source)
        for energy, force in zip(energies, forces, strict=True)
    ]


def labels_aside(structures: Structures) -> Labels:
    """Return GFN2-xTB's labels, computed in a process of their own; none is cached."""
    return _Aside("gfn2-xtb", GFN2_XTB, workers=1).predict(structures)


def _in_angstrom(structures: Structures, unit: str) -> Structures:
    scale = 1 / LENGTHS[unit] if unit else 1.0
    return replace(structures, positions=structures.positions * scale)


def _with_cell(names: str, source: Source, rows: Rows) -> list[str]:
    """Say how many structures of a file no sample can hold, as they have a cell."""
    n = int(source.index.periodic[source.index.record[rows]].sum())
    return [
        f"{names}: {n} of {len(rows)} structures have a cell: their {NOT_CHECKED}"
    ] * (n > 0)


def sample(source: Source, rows: Rows) -> Rows:
    """Return seeded rows of molecules that GFN2-xTB can treat, the smallest drawn."""
    index = source.index
    records = index.record[rows]
    small = (index.n_atoms[records] > 1) & (index.n_atoms[records] <= MOST_ATOMS)
    rows = rows[small & ~index.periodic[records]]
    order = np.random.default_rng(SEED).permutation(len(rows))[:CANDIDATES]
    drawn = [
        row
        for row in rows[order].tolist()
        if max(index.elements[index.record[row]], default=0) <= LAST_ELEMENT
    ]
    drawn.sort(key=lambda row: int(index.n_atoms[index.record[row]]))
    reached = np.cumsum([index.n_atoms[index.record[row]] for row in drawn])
    n_chosen = min(N_STRUCTURES, max(3, int((reached <= BUDGET).sum())))
    return np.asarray(sorted(drawn[:n_chosen]), dtype=np.int64)
