import signal
import sqlite3
from pathlib import Path

import numpy as np
import pytest
import torch
from ase.build import bulk, molecule
from processes import SERVER, python

from mlffbench.core.errors import StoreError
from mlffbench.core.labels import Labels
from mlffbench.core.model_options import ModelOptions
from mlffbench.core.structures import Structures
from mlffbench.models.physics.emt import load as load_emt
from mlffbench.models.physics.xtb import load_gfn2
from mlffbench.priors import prior_labels as labels_module
from mlffbench.priors.prior_labels import (
    CHUNK,
    LabelCache,
    count_failures,
    key_of,
    label,
    version_of,
)

KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {here!r})
from test_labels import Counting, clusters
from mlffbench.priors.prior_labels import LabelCache, label

def die(n_done):
    os.kill(os.getpid(), signal.SIGKILL)

prior = Counting()
label(clusters({n}), prior, LabelCache.of(prior, Path({folder!r})), die)
"""


class Counting:
    """Effective medium theory that counts the structures it computes."""

    def __init__(self) -> None:
        self._emt = load_emt(ModelOptions())
        self.name, self.elements = self._emt.name, self._emt.elements
        self.n_computed = 0

    def predict(self, structures: Structures) -> Labels:
        self.n_computed += structures.n_systems
        return self._emt.predict(structures)


def clusters(n: int, *, seed: int = 0) -> Structures:
    """Return copper tetrahedra, each shaken differently."""
    generator = np.random.default_rng(seed)
    corners = np.array([[0, 0, 0], [0, 1.8, 1.8], [1.8, 0, 1.8], [1.8, 1.8, 0]])
    shaken = corners + 0.1 * generator.normal(size=(n, 4, 3))
    return Structures.build(
        [torch.from_numpy(one) for one in shaken],
        [torch.full((4,), 29)] * n,
        ids=[f"c{i}" for i in range(n)],
    )


def water(shift: float = 0.0) -> Structures:
    atoms = molecule("H2O")
    positions = torch.from_numpy(atoms.positions).clone()
    positions[1] += shift * (positions[2] - positions[1])
    return Structures.build([positions], [torch.from_numpy(atoms.numbers)], ids=["w"])


def test_a_second_run_computes_nothing_and_returns_the_same(tmp_path: Path) -> None:
    prior, structures = Counting(), clusters(5)
    cache = LabelCache.of(prior, tmp_path)
    first = label(structures, prior, cache)
    assert prior.n_computed == 5
    second = label(structures, prior, cache)
    assert prior.n_computed == 5
    assert torch.equal(first.energy, second.energy)
    assert torch.equal(first.forces, second.forces)
    expected = load_emt(ModelOptions()).predict(structures)
    assert torch.equal(first.energy, expected.energy)
    assert torch.equal(first.forces, expected.forces)
    assert cache.count() == 5


def test_only_what_is_new_is_computed_and_the_order_is_kept(tmp_path: Path) -> None:
    prior, structures = Counting(), clusters(6)
    cache = LabelCache.of(prior, tmp_path)
    whole = label(structures, prior, LabelCache.of(prior, tmp_path / "other"))
    label(structures.select([4, 1]), prior, cache)
    prior.n_computed = 0
    again = label(structures, prior, cache)
    assert prior.n_computed == 4
    assert torch.equal(again.energy, whole.energy)
    assert torch.equal(again.forces, whole.forces)


def test_a_structure_that_occurs_twice_is_computed_once(tmp_path: Path) -> None:
    prior, structures = Counting(), clusters(2)
    twice = structures.select([0, 1, 0])
    labels = label(twice, prior, LabelCache.of(prior, tmp_path))
    assert prior.n_computed == 2
    assert labels.energy[0] == labels.energy[2]


def test_the_key_sees_everything_a_prior_may_look_at() -> None:
    from dataclasses import replace

    from mlffbench.core.assembly import singles

    plain = water()
    moved = plain.positions.clone()
    moved[0, 0] = np.nextafter(float(moved[0, 0]), 1.0)
    others = [
        replace(plain, positions=moved),
        replace(plain, numbers=torch.tensor([16, 1, 1])),
        replace(plain, charge=torch.tensor([1])),
        replace(plain, multiplicity=torch.tensor([3])),
        replace(plain, smiles=("O",)),
        replace(plain, pbc=torch.tensor([[True, True, True]])),
        replace(plain, cell=torch.eye(3, dtype=torch.float64)[None]),
    ]
    keys = {key_of(singles(one)[0]) for one in [plain, *others]}
    assert len(keys) == 1 + len(others)
    renamed = replace(plain, ids=("other",), group=("another",))
    assert key_of(singles(renamed)[0]) == key_of(singles(plain)[0])


def test_another_version_is_another_cache(tmp_path: Path) -> None:
    old = LabelCache(folder=tmp_path, prior="emt", version="ase 1")
    new = LabelCache(folder=tmp_path, prior="emt", version="ase 2")
    prior = Counting()
    label(clusters(2), prior, old)
    label(clusters(2), prior, new)
    assert prior.n_computed == 4
    assert old.path != new.path


def test_the_version_is_that_of_the_library() -> None:
    import ase

    assert version_of(Counting()) == f"ase {ase.__version__}"


def test_failures_are_kept_with_their_reason(tmp_path: Path) -> None:
    prior = load_gfn2(ModelOptions(workers=1))
    structures = Structures.concatenate([water(), water(0.95)])
    cache = LabelCache.of(prior, tmp_path)
    try:
        first = label(structures, prior, cache)
    finally:
        prior.close()
    assert "collapsed" in first.failures[1]
    assert torch.isnan(first.energy).tolist() == [False, True]
    assert torch.isnan(first.forces[3:]).all()
    second = label(structures, Counting(), cache)  # reads only: copper cannot do water
    assert dict(second.failures) == dict(first.failures)
    assert torch.equal(first.energy[:1], second.energy[:1])
    assert list(count_failures(second).values()) == [1]


def test_an_unsupported_element_is_a_failure_not_an_error(tmp_path: Path) -> None:
    prior = Counting()
    labels = label(water(), prior, LabelCache.of(prior, tmp_path))
    assert "not supported" in labels.failures[0]


def test_what_the_machine_is_to_blame_for_is_tried_again(tmp_path: Path) -> None:
    cache = LabelCache(folder=tmp_path, prior="x", version="1")
    cache.write({b"a": "worker died: out of memory", b"b": "SCF not converged"})
    assert set(cache.read([b"a", b"b"])) == {b"b"}


def test_periodic_structures_are_labelled(tmp_path: Path) -> None:
    atoms = bulk("Cu", cubic=True)
    structures = Structures.build(
        [torch.from_numpy(atoms.positions)],
        [torch.from_numpy(atoms.numbers)],
        ids=["Cu"],
        cell=torch.from_numpy(np.array(atoms.cell))[None],
        pbc=torch.ones((1, 3), dtype=torch.bool),
    )
    prior = Counting()
    labels = label(structures, prior, LabelCache.of(prior, tmp_path))
    assert not labels.failures


def test_progress_counts_every_structure(tmp_path: Path) -> None:
    prior, seen = Counting(), list[int]()
    label(clusters(CHUNK + 3), prior, LabelCache.of(prior, tmp_path), seen.append)
    assert seen == [CHUNK, 3]


def test_killed_between_chunks_keeps_the_finished_ones(tmp_path: Path) -> None:
    n = CHUNK + 10
    here = str(Path(__file__).parent)
    script = KILLED.format(here=here, n=n, folder=str(tmp_path))
    ended = python("-c", script)
    assert ended.returncode == -signal.SIGKILL
    prior = Counting()
    label(clusters(n), prior, LabelCache.of(prior, tmp_path))
    assert prior.n_computed == 10


def _label_alone(folder: Path, seed: int) -> None:
    prior = Counting()
    label(clusters(40, seed=seed), prior, LabelCache.of(prior, folder))


def test_two_processes_share_a_cache(tmp_path: Path) -> None:
    # one seed in common: both write the same keys too
    workers = [SERVER.Process(target=_label_alone, args=(tmp_path, s)) for s in (1, 2)]
    for worker in workers:
        worker.start()
    for seed in (1, 2, 3):
        _label_alone(tmp_path, seed)
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    prior = Counting()
    cache = LabelCache.of(prior, tmp_path)
    assert cache.count() == 120
    for seed in (1, 2, 3):
        label(clusters(40, seed=seed), prior, cache)
    assert prior.n_computed == 0


def test_a_broken_cache_is_told_with_the_remedy(tmp_path: Path) -> None:
    prior = Counting()
    cache = LabelCache.of(prior, tmp_path)
    cache.path.write_bytes(b"this is no database, but long enough to be read" * 50)
    with pytest.raises(StoreError, match="delete it"):
        label(clusters(1), prior, cache)


def test_another_table_is_told_with_the_remedy(tmp_path: Path) -> None:
    prior = Counting()
    cache = LabelCache.of(prior, tmp_path)
    connection = sqlite3.connect(cache.path)
    connection.execute("CREATE TABLE labels (wrong INTEGER)")
    connection.commit()
    connection.close()
    with pytest.raises(StoreError, match="delete it"):
        label(clusters(1), prior, cache)


def test_the_folder_follows_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MLFFBENCH_CACHE", str(tmp_path))
    assert labels_module.cache_folder() == tmp_path / "labels"
    assert not (tmp_path / "labels").exists()
