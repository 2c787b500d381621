"""The published setting, against PyTorch Geometric's Laplacian."""

import numpy as np
import pytest
import torch
from pair_fields import Strings, line

from mlffbench.core.errors import BenchError, CapabilityError
from mlffbench.core.spectrum import spectra
from mlffbench.core.structures import Structures
from mlffbench.refine.per_structure import Routed
from mlffbench.refine.radius.published_radius import PublishedRadius
from mlffbench.refine.radius.published_spectrum import (
    published_distance,
    published_spectrum,
)
from mlffbench.refine.refiner import Training

CAP = 4


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("MLFFBENCH_CACHE", str(tmp_path / "cache"))


def cloud(seed: int, n: int, width: float) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, width, (n, 3))


def distances(places: np.ndarray) -> np.ndarray:
    return np.sqrt(((places[:, None] - places[None]) ** 2).sum(-1))


def second_account(places: np.ndarray, radius: float, cap: int) -> np.ndarray:
    """Return the eigenvalues by the description of their code, not by ours."""
    utils = pytest.importorskip("torch_geometric.utils")
    pairs: list[tuple[int, int]] = []
    for centre, row in enumerate(distances(places)):
        near = [j for j in range(len(row)) if row[j] < radius and j != centre]
        pairs += [(j, centre) for j in near[:cap]]
    edges = torch.tensor(pairs, dtype=torch.int64).T.reshape(2, -1)
    looped, _ = utils.add_remaining_self_loops(edges)
    index, weight = utils.get_laplacian(looped, normalization="sym")
    dense = utils.to_dense_adj(index, edge_attr=weight)[0].double().numpy()
    return np.sort(np.linalg.eigvals(dense).real.astype(np.float32))


@pytest.mark.parametrize("seed", range(12))
def test_spectra_are_those_of_their_description(seed: int) -> None:
    n = 4 + seed
    places = cloud(seed, n, 5.0)
    for radius, cap in ((2.0, 50), (3.5, 50), (4.5, CAP)):
        found = published_spectrum(distances(places), radius, cap)
        if found.n_edges:
            expected = second_account(places, radius, cap)
            np.testing.assert_allclose(found.eigenvalues, expected, atol=5e-7)


def test_without_a_cap_and_without_a_lone_atom_they_are_the_spectra_of_the_core() -> None:
    places = cloud(1, 8, 3.0)
    structure = Structures.build(
        [torch.from_numpy(places)], [torch.full((8,), 6)], ids=["cloud"]
    )
    ours = spectra(structure, [4.0]).eigenvalues[0, 0].numpy()
    found = published_spectrum(distances(places), 4.0, 50)
    np.testing.assert_allclose(found.eigenvalues, ours, atol=3e-7)


def test_a_lone_atom_counts_one_and_a_trailing_one_is_no_node() -> None:
    within = np.array([[0.0, 0, 0], [0, 9, 0], [1, 0, 0]])
    found = published_spectrum(distances(within), 2.0, 50).eigenvalues
    np.testing.assert_allclose(found, [0, 1, 2], atol=1e-7)
    trailing = published_spectrum(distances(within[[0, 2, 1]]), 2.0, 50).eigenvalues
    np.testing.assert_allclose(trailing, [0, 2], atol=1e-7)


def test_distance_is_squared_and_either_side_is_padded() -> None:
    assert published_distance(np.array([0.0, 2.0]), np.array([1.0])) == 5.0
    assert published_distance(np.array([1.0]), np.array([0.0, 2.0])) == 5.0


def taught(*structures: Structures, **settings: float) -> PublishedRadius:
    refiner = PublishedRadius(**settings)  # type: ignore[arg-type]
    book = Structures.concatenate(structures)
    refiner.check(Strings())
    refiner.learn(Strings(), Training(name="t", sha256="0" * 64, read=lambda: book))
    return refiner


def test_the_graph_most_like_training_is_chosen_and_the_smallest_of_equals() -> None:
    path = line(0, 4.2, 8.4, 12.6, name="path")
    tests = Structures.concatenate(
        [line(0, 3.5, 7.0, 10.5, name="path too"), line(0, 1.0, name="pair")]
    )
    refined = taught(path).refine(Strings(), tests)
    first, second = refined.facts
    assert first["radius"] == first["radius_of_grid"] == pytest.approx(3 + 2 / 3)
    assert (first["envelope"], first["graph_changed"]) == ("truncate", False)
    assert first["score_chosen"] == pytest.approx(0, abs=1e-12)
    assert second["radius_of_grid"] == second["radius"] == 3.0  # all ten are equal
    assert isinstance(refined.model, Routed)


def test_a_radius_beyond_the_trained_cutoff_is_inert() -> None:
    triangle = line(0, 2.0, 4.0, name="all see all")
    test = line(0, 4.0, 8.0, name="wide")
    refined = taught(triangle).refine(Strings(), test)
    [facts] = refined.facts
    assert facts["radius_of_grid"] == pytest.approx(8 + 1 / 3)
    assert (facts["radius"], facts["envelope"]) == (5.0, "trained")
    expected = Strings().predict(test)
    assert torch.equal(refined.model.predict(test).forces, expected.forces)


def test_what_the_rule_does_not_know_keeps_the_trained_cutoff() -> None:
    cell = Structures.build(
        [torch.zeros(1, 3, dtype=torch.float64)],
        [torch.tensor([6])],
        ids=["crystal"],
        cell=torch.eye(3, dtype=torch.float64)[None] * 12,
        pbc=torch.ones(1, 3, dtype=torch.bool),
    )
    tests = Structures.concatenate([cell, line(0, name="atom")])
    facts = taught(line(0, 1.5, name="t")).refine(Strings(), tests).facts
    reasons = [str(one["not_refined_because"]) for one in facts]
    assert "periodic" in reasons[0]
    assert "no two atoms" in reasons[1]
    assert [one["radius"] for one in facts] == [5.0, 5.0]
    assert facts[0]["score_chosen"] is None


def test_settings_and_bad_input() -> None:
    refiner = taught(line(0, 1.5, name="t"), n_radii=3)
    assert (refiner.name, refiner.unit) == ("rr-paper", "structure")
    found = refiner.settings(Strings())
    assert (found["grid"], found["radii"]) == ("3, 6, 9", "5, 3")
    assert found["reference"] == "1 structures of t"
    with pytest.raises(BenchError, match="expected 0 < smallest <= largest"):
        PublishedRadius(smallest=4, largest=3)
    with pytest.raises(BenchError, match="at least 1"):
        PublishedRadius(n_radii=0)
    with pytest.raises(CapabilityError, match="was shown"):
        PublishedRadius().refine(Strings(), line(0, 1.5, name="t"))

    class Bare:
        name, elements = "bare", frozenset({6})

        def predict(self, structures: Structures) -> None: ...

    with pytest.raises(CapabilityError, match="'bare' has no graph cutoff"):
        PublishedRadius().check(Bare())  # type: ignore[arg-type]
