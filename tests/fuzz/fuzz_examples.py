"""Tiny healthy examples of everything that is read: how they are written and read."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import ase.db
import h5py
import numpy as np
import torch
from ase import Atoms
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator

from mlffbench.core.errors import StoreError
from mlffbench.core.single import Computed
from mlffbench.datasets.files.open import open_source
from mlffbench.dynamics.presets import PRESETS
from mlffbench.models.twoheaded import checkpoint
from mlffbench.models.twoheaded.architecture import Architecture, SchnetShape
from mlffbench.models.twoheaded.model import TwoHeaded
from mlffbench.models.twoheaded.networks import make_backbone
from mlffbench.priors.prior_labels import LabelCache
from mlffbench.report.run_inventory import take_inventory
from mlffbench.report.schema import ReportRun
from mlffbench.report.simulations_part import find_further
from mlffbench.run.curve.curve_score import score_curve
from mlffbench.run.evaluate.evaluation_score import score_run
from mlffbench.run.folder import CURVE, SIMULATION, RunFolder, write_arrays
from mlffbench.run.loop import run_campaign
from mlffbench.run.request import Request, SimulationRequest, resolve
from mlffbench.run.simulate.simulation_score import score_simulation, write_scores
from mlffbench.run.suite import load_suite


def digest(*values: Any) -> str:
    """Return a checksum of arrays, tensors and anything with an exact ``repr``."""
    sha = hashlib.sha256()
    for value in values:
        if isinstance(value, torch.Tensor | np.ndarray):
            array = np.ascontiguousarray(value)
            sha.update(f"{array.shape}".encode() + array.astype("<f8").tobytes())
        else:
            sha.update(repr(value).encode("utf-8", "surrogatepass"))
    return sha.hexdigest()


def meaning(path: Path, **options: Any) -> str:
    """Read all of a data file and return a checksum of its structures and labels."""
    source = open_source(path, **options)
    rows = np.arange(source.index.n_structures)
    structures, labels = source.structures(rows), source.labels(rows)
    return digest(
        structures.ids,
        structures.group,
        structures.smiles,
        structures.positions,
        structures.numbers,
        structures.cell,
        structures.pbc,
        structures.charge,
        structures.multiplicity,
        labels.energy,
        labels.forces,
        sorted(labels.failures),
    )


def frames_of(*names: str, cell: bool = False) -> list[Atoms]:
    made = []
    for seed, name in enumerate(names):
        atoms = molecule(name)
        rng = np.random.default_rng(seed)
        atoms.positions += rng.normal(scale=0.05, size=(len(atoms), 3))
        atoms.info |= {"REF_energy": -1.5 * len(atoms), "group": name, "charge": 0}
        atoms.arrays["REF_forces"] = rng.normal(size=(len(atoms), 3))
        if cell:
            atoms.set_cell([[9, 0, 0], [1, 8, 0], [0, 2, 7]])
            atoms.pbc = True
        made.append(atoms)
    return made


def write_xyz(path: Path, frames: list[Atoms]) -> None:
    from ase.io import write

    write(path, frames, format="extxyz")


def write_database(path: Path) -> None:
    kind = "json" if path.suffix == ".json" else "db"
    with ase.db.connect(path, type=kind, append=False) as database:  # type: ignore[no-untyped-call]
        for name in ("H2O", "CH4"):
            atoms = molecule(name)
            forces = np.full((len(atoms), 3), 0.25)
            atoms.calc = SinglePointCalculator(atoms, energy=-2.0, forces=forces)
            database.write(atoms, total_charge=0)


def write_hdf5_frames(path: Path, names: tuple[str, str, str, str]) -> None:
    rng = np.random.default_rng(5)
    with h5py.File(path, "w") as file:
        for symbol, numbers in (("a", [8, 1, 1]), ("b", [6, 1, 1, 1, 1])):
            shape = (2, len(numbers), 3)
            group = file.create_group(symbol)
            group[names[0]] = np.array(numbers)
            group[names[1]] = rng.normal(size=shape)
            group[names[2]] = rng.normal(size=2)
            group[names[3]] = rng.normal(size=shape)


def write_packed_spice(path: Path) -> None:
    rng = np.random.default_rng(6)
    with h5py.File(path, "w") as file:
        group = file.create_group("water")
        group["atomic_numbers"] = np.array([8, 1, 1], dtype=np.int16)
        group.create_dataset(
            "smiles", data=["[O:1]([H:2])[H:3]"], dtype=h5py.string_dtype()
        )
        for name, shape, unit in (
            ("conformations", (6, 3, 3), "bohr"),
            ("dft_total_gradient", (6, 3, 3), "hartree/bohr"),
            ("dft_total_energy", (6,), "hartree"),
        ):
            packed: dict[str, Any] = {"compression": "gzip", "shuffle": True}
            packed |= {"fletcher32": True, "chunks": (2, *shape[1:])}
            group.create_dataset(name, data=rng.normal(size=shape), **packed)
            group[name].attrs["units"] = unit


def write_table(folder: Path) -> None:
    lines = ["id,symbol,x,y,z,E,fx,fy,fz"]
    lines += [f"{s},{e},{i}.5,0,{s},-1.5,0,0.1,{i}" for s in (1, 2) for i, e in _ATOMS]
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    (folder / "data.yaml").write_text(
        "path: table.csv\nlayout: csv\nlevel_of_theory: made up\n"
        "units: {energy: eV, length: angstrom}\n"
        "columns: {structure: id, element: symbol, positions: [x, y, z], energy: E, "
        "forces: [fx, fy, fz]}\n"
    )


_ATOMS = tuple(enumerate(("O", "H", "H")))


def write_described(folder: Path) -> None:
    write_xyz(folder / "data.xyz", frames_of("H2O"))
    (folder / "data.yaml").write_text(
        "path: data.xyz\nlayout: xyz\nlevel_of_theory: made up\n"
        "units:\n  energy: kcal/mol\n  length: angstrom\n  forces: kcal/mol/angstrom\n"
    )


SUITE = """
name: tiny
version: 1
summary: three small files
level_of_theory: wells
splits:
  - {name: train, role: train, file: train.xyz}
  - {name: id, role: id_test, file: id.xyz, energy_unit: eV}
  - {name: ood, role: ood_test, file: ood.xyz, shift: {kind: elements, rule: has N}}
models: [zero]
settings: {ttt: {gate: "off"}}
dynamics: {relax: none, reference: true, splits: [ood]}
"""


def write_suite(folder: Path) -> None:
    (folder / "suite.yaml").write_text(SUITE)


def read_suite(folder: Path) -> str:
    suite, _ = load_suite(str(folder / "suite.yaml"))
    return digest(suite.model_dump_json())


def _write_whole_suite(folder: Path) -> Path:
    write_xyz(folder / "train.xyz", frames_of("CH3OH", "CH3OH"))
    write_xyz(folder / "id.xyz", frames_of("H2O", "CH4", "C2H6"))
    write_xyz(folder / "ood.xyz", frames_of("NH3", "H2CO"))
    path = folder / "suite.yaml"
    path.write_text(SUITE)
    return path


def write_checkpoint(folder: Path) -> None:
    shape = SchnetShape(hidden=2, filters=1, blocks=2, gaussians=2)
    architecture = Architecture(
        network="schnet", elements=(1, 8), cutoff=4.0, schnet=shape
    )
    model = TwoHeaded(
        architecture,
        make_backbone(architecture, seed=0),
        atomic_energies={"prior": {1: -0.5, 8: -2.0}, "ref": {1: -13.0, 8: -2000.0}},
        scale={"prior": 1.0, "ref": 1.0},
        device=torch.device("cpu"),
        dtype=torch.float32,
    )
    history: dict[str, Any] = {"level_of_theory": "made up", "training_sets": ["none"]}
    checkpoint.save(model, folder / "tiny", history | {"charges": [0, 1]})


def read_checkpoint(folder: Path) -> str:
    model = checkpoint.load(folder / "tiny.json")
    state = model.state()
    names = sorted(state)
    card = replace(model.card, source="")  # where it lies
    return digest(
        names, *(state[n] for n in names), model.atomic_energies, model.scale, card
    )


def write_run(folder: Path) -> None:
    suite = _write_whole_suite(folder)
    out = folder / "made"
    request = Request(suite=str(suite), models=("zero",), out=out)
    (made,) = run_campaign(resolve(request)).folders
    records, shifts = score_run(made)
    made.write_records(records)
    made.write_alignment(shifts)
    made.path.rename(folder / "run")
    _forget(folder)


def _forget(folder: Path) -> None:
    """Leave only ``run`` behind."""
    import shutil

    for path in folder.iterdir():
        if path.name != "run":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in (folder / "run").rglob(".lock"):
        path.unlink()


def _require_whole(left_out: Sequence[ReportRun]) -> None:
    """Raise what a report says of a run that it leaves out."""
    for one in left_out:
        raise StoreError(one.reason)


def read_run(folder: Path) -> str:
    run = RunFolder(folder / "run")
    records, shifts = score_run(run)
    inventory = take_inventory([folder])
    _require_whole(inventory.left_out)
    stored = [
        record.model_dump_json() for one in inventory.runs for record in one.records
    ]
    return digest([record.model_dump_json() for record in records], shifts, stored)


def write_simulation(folder: Path) -> None:
    suite = _write_whole_suite(folder)
    preset = replace(
        PRESETS["quick"], duration=0.01, record_every=10, seeds=1, temperature=300.0
    )
    request = SimulationRequest(
        suite=str(suite), preset=preset, models=("zero",), out=folder / "made"
    )
    (made,) = run_campaign(resolve(request)).folders
    write_scores(made)
    made.path.rename(folder / "run")
    _forget(folder)


def read_simulation(folder: Path) -> str:
    records = score_simulation(RunFolder(folder / "run", SIMULATION))
    further = find_further([folder])
    _require_whole(further.left_out)
    stored = [
        one.model_dump_json() for f in further.simulations for one in f.read_records()
    ]
    return digest([record.model_dump_json() for record in records], stored)


def write_curve(folder: Path) -> None:
    (folder / "run").mkdir()
    made = RunFolder(folder / "run", CURVE)
    keys = [(mode, size) for mode in ("baseline", "ttt") for size in (0, 4)]
    rng = np.random.default_rng(7)
    arrays: dict[str, Any] = {
        "split": np.array(["id"] * 3 + ["ood"] * 3),
        "role": np.array(["id_test"] * 3 + ["ood_test"] * 3),
        "molecule": np.array(list("aabcdd")),
        "n_atoms": np.array([3, 3, 5, 4, 2, 2]),
        "mode": np.array([mode for mode, _ in keys for _ in range(2)]),
        "size": np.array([size for _, size in keys for _ in range(2)]),
        "seed": np.array([seed for _ in keys for seed in range(2)]),
        "error": rng.random((2 * len(keys), 6)),
    }
    write_arrays(made.path / "errors.npz", arrays)
    job: dict[str, Any] = {"suite": "tiny", "suite_version": 1, "model": "zero"}
    job |= {"seed": 0, "adapts_to": [], "n_seeds": 2, "tuning": {}, "device": "cpu"}
    splits = (("id", "id_test"), ("ood", "ood_test"))
    about = {
        "job": job,
        "model": {"weights_sha256": "0" * 64},
        "splits": [{"name": n, "role": r, "sha256": "0" * 64} for n, r in splits],
        "versions": {},
        "fingerprint": "0" * 64,
    }
    made.complete(about)


def read_curve(folder: Path) -> str:
    records, saved = score_curve(RunFolder(folder / "run", CURVE))
    find_further([folder])
    return digest([record.model_dump_json() for record in records], saved)


_KEYS = [bytes([n]) * 32 for n in range(3)]


def _cache(folder: Path) -> LabelCache:
    return LabelCache(folder=folder, prior="made-up", version="1")


def write_cache(folder: Path) -> None:
    forces = np.arange(6.0).reshape(2, 3)
    outcomes = {_KEYS[0]: Computed(-1.0, forces), _KEYS[1]: "did not converge"}
    _cache(folder).write(outcomes)


def read_cache(folder: Path) -> str:
    cache = _cache(folder)
    found = cache.read(_KEYS)
    return digest(cache.count(), {key: repr(value) for key, value in found.items()})
