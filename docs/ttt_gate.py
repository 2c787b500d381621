"""Record what test-time training does to each molecule, step by step, for several models.

Writes docs/ttt_gate_levels_<half>_2.csv (the prior loss of every training geometry) and
docs/ttt_gate_curves_<half>_2.csv (prior loss and true force error after every step); the
files without _2 are of version 1 of mini, where units went down by Adam too. The
true error is read here, to judge rules (docs/ttt_gate_rules.py), and nowhere in them.
Only one half, val unless told, and training molecules that the head was not fitted to
are looked at.

Usage: python docs/ttt_gate.py [--weights FOLDER] [--spice FOLDER] [--heads FOLDER]
[--half val|test] [--only MODEL] [--splits NAME,NAME] [--all] [--prior NAME]

``--weights`` holds MACE_SPICE.model, ani500k_small_CC.model, matgl/TensorNet and
ani-2x_8x, ``--spice`` the files of the SPICE sample; without them their rows are left
out. ``--all`` walks every unit, not only those that a rule could adapt, for the oracle.
``--prior`` names another prior: models with a head of their own are left out, and the
files end in ``_priors.csv``. ``MOLECULES`` in the environment is how many of a split are
looked at, 10 unless told. Restarted, it goes on.
"""

import argparse
import csv
import hashlib
import math
import os
import statistics
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch import Tensor

from mlffbench.core.model_options import ModelOptions
from mlffbench.core.structures import Structures
from mlffbench.datasets.sets.mini.splits import splits as mini_splits
from mlffbench.datasets.sets.spice_sample import splits as sample_splits
from mlffbench.models.load import load_model
from mlffbench.refine.descent import Optimizer
from mlffbench.refine.prior_head import PriorLabels
from mlffbench.refine.prior_level import PriorLevel
from mlffbench.refine.ttt import PriorTuning
from mlffbench.training.attached import AttachedPriorHead
from mlffbench.training.automatic_head import HeadSettings, fit_head, sample_of, within
from mlffbench.training.trunk import as_trunk

HERE = Path(__file__).parent
MOLECULES = int(os.environ.get("MOLECULES", "10"))
SPENT = {"mace-spice": 1, "mace-spice, spice-sample": 1}
"""Conformers of a molecule, fewer than 2 where molecules are large."""
FITS = {
    name: HeadSettings(n_structures=120, epochs=15)
    for name in ("mace-spice", "mace-spice, spice-sample")
}
"""A smaller fit where molecules are large."""
KINDS: Mapping[str, Optimizer] = {"curved": "lbfgs"}
"""Name of a curve -> how it descends; ``careful`` was recorded with ``adam``."""
LOW = {"mace-spice": 1.0, "mace-spice, spice-sample": 1.0}
"""A curve ends at this share of the median loss of training, 0.6 where not said."""
LOOSEST = 0.9
"""Share of training molecules that the loosest rule leaves alone by their loss."""
LEVELS = 400
PRIOR = "gfn2-xtb"
OPTIONS = ModelOptions(dtype="float32")


@dataclass(frozen=True)
class Case:
    """A model, the training geometries, and the splits it is judged on."""

    name: str
    model: Any
    training: Structures
    truth: Mapping[str, Tensor]
    parts: Mapping[str, str]
    splits: Mapping[str, tuple[Structures, Tensor]]


def asked_for(description: str | None) -> argparse.Namespace:
    """Return what the command line of a study of gates says; one thread computes."""
    parser = argparse.ArgumentParser(description=description)
    for name in ("--weights", "--spice", "--heads"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--half", choices=("val", "test"), default="val")
    parser.add_argument("--only", default="")
    parser.add_argument("--splits", default="")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--prior", default="")
    torch.set_num_threads(1)
    return parser.parse_args()


def main() -> None:
    asked = asked_for(__doc__)
    end = "priors" if asked.prior else "2"
    levels, curves = (
        Table(HERE / f"ttt_gate_{name}_{asked.half}_{end}.csv")
        for name in ("levels", "curves")
    )
    for case in cases(asked):
        labels = PriorLabels(asked.prior or PRIOR)
        if (case.name,) not in levels.done("model"):
            levels.add(list(levels_of(case, labels)))
        done = curves.done("model", "split", "unit", "kind")
        low = LOW.get(case.name, 0.6) * levels.median(case.name)
        ends = low, None if asked.all else levels.level(case.name)
        for split, (structures, truth) in case.splits.items():
            if asked.splits and split not in asked.splits.split(","):
                continue
            for unit in units_of(structures, SPENT.get(case.name, 2)):
                mine = structures.select(unit)
                key = (case.name, split, mine.group[0])
                todo = [kind for kind in KINDS if (*key, kind) not in done]
                if not todo or unit_fails(labels, mine):
                    continue
                targets = labels.of(mine).forces
                true = torch.cat([rows_of(truth, structures, place) for place in unit])
                for kind in todo:
                    head = dict(zip(("model", "split", "unit"), key, strict=True))
                    points = walk(case.model, mine, targets, true, (kind, *ends))
                    curves.add([{**head, "kind": kind, **point} for point in points])
            print(time.strftime("%H:%M:%S"), case.name, split, flush=True)


class Table:
    """Rows in a CSV file that grows."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, rows: list[dict[str, Any]]) -> None:
        new = not self.path.exists()
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            if new:
                writer.writeheader()
            writer.writerows(rows)

    def of(self, model: str) -> list[dict[str, str]]:
        """Return a model's rows of held-out training geometries, all where none are."""
        with self.path.open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["model"] == model]
        return [row for row in rows if row["part"] == "held_out"] or rows

    def median(self, model: str) -> float:
        return statistics.median(float(row["loss"]) for row in self.of(model))

    def level(self, model: str) -> PriorLevel:
        """Return what training molecules have, as the gate sees it."""
        molecules: dict[str, list[tuple[float, ...]]] = {}
        for row in self.of(model):
            three = tuple(float(row[name]) for name in ("loss", "gap", "prior_norm"))
            molecules.setdefault(row["group"], []).append(three)
        means = [
            tuple(map(statistics.fmean, zip(*rows, strict=True)))
            for rows in molecules.values()
        ]
        return PriorLevel.of([(one[0], one[1], one[2]) for one in means], model)

    def done(self, *columns: str) -> set[tuple[str, ...]]:
        if not self.path.exists():
            return set()
        with self.path.open(newline="") as file:
            return {tuple(row[c] for c in columns) for row in csv.DictReader(file)}


def cases(asked: argparse.Namespace) -> Iterator[Case]:
    """Yield the models one by one; heads are fitted when first needed."""
    mini = {(s.name, s.role): s for s in mini_splits()}
    train = mini["train", "train"]
    labelled = train.structures, train.reference.forces
    sets = {
        name: (split.structures, split.reference.forces)
        for (name, role), split in mini.items()
        if role.endswith(asked.half)
    }
    for name in ("mini-mace", "mini-schnet"):
        if asked.only in ("", name) and not asked.prior:
            yield case(name, load_model(name, OPTIONS), labelled, sets, {})
    bases: dict[str, Any] = {
        "mini-mace-scratch": lambda: load_model("mini-mace-scratch", OPTIONS)
    }
    if asked.weights:
        bases["mace-ani-cc"] = lambda: load_model(
            f"mace:{asked.weights / 'ani500k_small_CC.model'}", OPTIONS
        )
        bases["tensornet-ani-1x"] = lambda: load_model(
            f"matgl:{asked.weights / 'matgl' / 'TensorNet'}", OPTIONS
        )
        bases["ani-2x"] = lambda: load_model(
            f"ani:{asked.weights / 'ani-2x_8x'}", OPTIONS
        )
    for name, opened in bases.items():
        if asked.only in ("", name):
            base = opened()
            title = f"{name}, {asked.prior}" if asked.prior else name
            model, parts = with_head(title, base, train.structures, asked)
            mine = {k: fit(base, *v) for k, v in sets.items()}
            mine = {k: v for k, v in mine.items() if v}
            yield case(title, model, labelled, mine, parts)
    if asked.prior:
        return
    if asked.only in ("", "mace-spice, spice-sample"):
        yield sample_case(asked)
    if asked.weights and asked.spice and asked.only in ("", "mace-spice"):
        base = open_spice(asked.weights / "MACE_SPICE.model")
        known, forces, sets = spice(asked.spice, asked.half)
        model, parts = with_head("mace-spice", base, known, asked)
        yield case("mace-spice", model, (known, forces), sets, parts)


def sample_case(asked: argparse.Namespace) -> Case:
    """Return the model that ships in the package on the SPICE structures that do."""
    parts_of = {(s.name, s.role): s for s in sample_splits()}
    train = parts_of["train", "train"]
    base = load_model("mace-spice", OPTIONS)
    name = "mace-spice, spice-sample"
    model, parts = with_head(name, base, train.structures, asked)
    sets = {
        split: (one.structures, one.reference.forces)
        for (split, role), one in parts_of.items()
        if role.endswith(asked.half)
    }
    known = train.structures, train.reference.forces
    return case(name, model, known, sets, parts)


def case(
    name: str,
    model: Any,
    training: tuple[Structures, Tensor],
    sets: Mapping[str, tuple[Structures, Tensor]],
    parts: Mapping[str, str],
) -> Case:
    """Return a case; training molecules held out of the head are a split of their own."""
    known, forces = training
    sizes = known.sizes.tolist()
    truth = dict(zip(known.ids, torch.split(forces, sizes), strict=True))
    held = [i for i, one in enumerate(known.ids) if parts.get(one) == "held_out"]
    sets = dict(sets)
    if held:
        mine = known.select(held)
        sets["held_out_training"] = (mine, torch.cat([truth[one] for one in mine.ids]))
    return Case(name, model, known, truth, parts, sets)


def with_head(name: str, base: Any, training: Structures, asked: Any) -> Any:
    """Return the model with a head, fitted at the first call, and each id's part."""
    stem, settings = asked.heads / name, FITS.get(name, HeadSettings())
    labels = PriorLabels(asked.prior or PRIOR)
    sample = sample_of(training, within(base, labels.of), settings)
    if not stem.with_suffix(".json").exists():
        start = time.perf_counter()
        rows: list[Any] = []
        model = fit_head(as_trunk(base), sample, settings, rows.append)
        model.save(stem, name, {"seconds": round(time.perf_counter() - start)})
        print(name, "head:", len(rows), "epochs", rows[-1], flush=True)
    model = AttachedPriorHead.load(stem.with_suffix(".json"), lambda _: base)
    parts = dict.fromkeys(sample.fitted.structures.ids, "fitted")
    return model, parts | dict.fromkeys(sample.held_out.structures.ids, "held_out")


def open_spice(path: Path) -> Any:
    """Return MACE_SPICE, whose file of 2022 keeps three numbers as plain attributes."""
    from mlffbench.models import cards
    from mlffbench.models.pretrained import mace_file
    from mlffbench.models.pretrained.mace_model import MaceForceField

    modules = mace_file.import_mace()
    shell: Any = mace_file._open_inert(path)
    for attribute in ("r_max", "atomic_numbers", "num_interactions"):
        value = getattr(shell, attribute, len(shell.interactions))
        if not isinstance(value, Tensor):
            vars(shell).pop(attribute, None)
            number = torch.tensor(getattr(value, "zs", value))
            shell.register_buffer(attribute, number)
    network = mace_file._rebuild(modules, shell, path)
    return MaceForceField(
        "mace-spice",
        network,
        cards.MACE,
        head="",
        device=torch.device("cpu"),
        dtype=torch.float32,
    )


def spice(folder: Path, half: str) -> Any:
    """Return training geometries, their forces, and the splits of one half."""
    from ase.io import read

    found: dict[str, list[Any]] = {}
    for file in (
        "des370k_monomers",
        "dipeptides",
        "pubchem",
        "qmugs",
        "solvated_amino_acids",
        "water",
    ):
        found[file] = read(folder / f"{file}.xyz", ":")
    known = [
        (f, i, a)
        for f in ("des370k_monomers", "dipeptides", "pubchem")
        for i, a in enumerate(found[f])
    ]
    train, tested = [], []
    for one in known:  # a fifth of the molecules is unseen by the head
        fold = int(digest(molecule_of(*one)), 16) % 10
        (tested if fold < 2 else train).append(one)
    sets = {"id": tested} | {
        f: [(f, i, a) for i, a in enumerate(found[f])]
        for f in ("qmugs", "solvated_amino_acids", "water")
    }
    return *batch_of(train), {name: batch_of(halved(s, half)) for name, s in sets.items()}


def halved(frames: list[Any], half: str) -> list[Any]:
    names = sorted({molecule_of(*one) for one in frames}, key=digest)
    cut = len(names) // 2
    mine = set(names[:cut] if half == "val" else names[cut:])
    return [one for one in frames if molecule_of(*one) in mine]


def molecule_of(file: str, number: int, atoms: Any) -> str:
    if file == "water":
        return f"water {len(atoms)}"
    return str(atoms.info.get("smiles") or f"{file} {number}")


def batch_of(frames: list[Any]) -> tuple[Structures, Tensor]:
    return Structures.build(
        [torch.tensor(atoms.positions) for _, _, atoms in frames],
        [torch.tensor(atoms.numbers) for _, _, atoms in frames],
        ids=[f"{file}/{i}" for file, i, _ in frames],
        group=[molecule_of(*one) for one in frames],
    ), torch.cat([torch.tensor(atoms.arrays["REF_forces"]) for _, _, atoms in frames])


def fit(base: Any, structures: Structures, truth: Tensor) -> Any:
    """Return the structures whose elements a model knows, or None."""
    kept = [
        i
        for i in range(structures.n_systems)
        if set(structures.select([i]).numbers.tolist()) <= base.elements
    ]
    if not kept:
        return None
    return structures.select(kept), torch.cat(
        [rows_of(truth, structures, place) for place in kept]
    )


def units_of(
    structures: Structures, conformers: int, molecules: int = MOLECULES
) -> list[list[int]]:
    """Return the molecules in sha256 order, at most so many, of so many conformers."""
    members: dict[str, list[int]] = {}
    for place, group in enumerate(structures.group):
        members.setdefault(group, []).append(place)
    names = sorted(members, key=digest)[:molecules]
    return [members[name][:conformers] for name in names]


def levels_of(case: Case, labels: PriorLabels) -> Iterator[dict[str, Any]]:
    """Yield the prior loss of training geometries, one by one."""
    chosen = [
        i
        for i, one in enumerate(case.training.ids)
        if case.parts.get(one) or not case.parts
    ]
    chosen = sorted(chosen, key=lambda i: digest(case.training.ids[i]))[:LEVELS]
    for start in range(0, len(chosen), 16):
        known = case.training.select(chosen[start : start + 16])
        wanted = labels.of(known)
        here = known.to(dtype=torch.float32)
        found = case.model.predict(here).forces.double()
        prior = case.model.predict_prior(here).forces.double()
        for place, name in enumerate(known.ids):
            if place in wanted.failures:
                continue
            ref, head, target = (
                rows_of(forces, known, place) for forces in (found, prior, wanted.forces)
            )
            yield {
                "model": case.name,
                "id": name,
                "group": known.group[place],
                "part": case.parts.get(name, "trained"),
                "n_atoms": len(ref),
                "loss": norm(head - target),
                "prior_norm": norm(target),
                "gap": norm(ref - target),
                "mae": float((ref - case.truth[name]).abs().mean()),
            }


def walk(
    model: Any, structures: Structures, targets: Tensor, truth: Tensor, how: Any
) -> Iterator[dict[str, Any]]:
    """Yield where the model stands at first, and after every step that lowers the loss.

    Args:
        model: With a prior head.
        structures: One unit.
        targets: The prior's forces.
        truth: The reference's.
        how: Kind of the curve, the loss at which it ends, and what training molecules
            have: what no rule would adapt is not walked, unless that is None.
    """
    kind, low, level = how
    tuning = PriorTuning(gate="off", optimizer=KINDS[kind])
    here, twin = structures.to(dtype=torch.float32), model.clone()
    before, best = model.predict(here).forces.double(), math.inf
    head = model.predict_prior(here).forces.double()
    alike = float(
        torch.cosine_similarity(
            *((one - targets).flatten()[None] for one in (head, before))
        )
    )
    looks = tuning.descend(twin, here, targets.to(torch.float32), "", low)
    for step, value in enumerate(looks):
        if not value < best:
            continue
        best = value
        found = twin.predict(here).forces.double()
        yield {
            "step": step,
            "prior_loss": round(value, 5),
            "factor": 1.0,
            "mae": round(float((found - truth).abs().mean()), 5),
            "moved": round(norm(found - before), 5),
            "gap": round(norm(found - targets), 5),
            "alike": round(alike, 4),
            "prior_norm": round(norm(targets), 4),
            "prior_mae": round(float((targets - truth).abs().mean()), 5),
            "n_atoms": structures.n_atoms,
            "n": structures.n_systems,
        }
        if step == 0 and level is not None and left_alone(value, targets, level):
            return


def left_alone(loss: float, targets: Tensor, level: PriorLevel) -> bool:
    """Return whether the loosest rule that is tried would not adapt."""
    return loss <= level.loss_at(LOOSEST) * level.scale_of(norm(targets))


def unit_fails(labels: PriorLabels, structures: Structures) -> bool:
    return bool(labels.of(structures).failures)


def rows_of(forces: Tensor, structures: Structures, place: int) -> Tensor:
    return torch.split(forces, structures.sizes.tolist())[place]


def norm(forces: Tensor) -> float:
    return float(torch.linalg.vector_norm(forces, dim=1).mean())


def digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


if __name__ == "__main__":
    main()
