import copy

import numpy as np
import pytest
import torch

from mlffbench.core.graph import radius_graph
from mlffbench.core.labels import Labels
from mlffbench.core.structures import Structures
from mlffbench.diagnostics import cutoff_errors as oracle
from mlffbench.diagnostics.cutoff_errors import errors_by_cutoff
from mlffbench.models.cutoffs import candidates_of

RADII = [5.0, 4.0, 3.0, 2.0]


class Pull:
    """Every atom pulls with 1 eV/Å at those it sees; some structures are refused."""

    name, elements = "pull", frozenset({6})
    cutoff_scope = "graph"

    def __init__(self, cutoff: float, refused: dict[float, str] | None = None) -> None:
        self.cutoff, self.refused = cutoff, refused or {}
        self.seen: list[torch.dtype] = []

    def with_cutoff(self, cutoff: float) -> "Pull":
        twin = copy.copy(self)
        twin.cutoff = cutoff
        return twin

    def predict(self, structures: Structures) -> Labels:
        self.seen.append(structures.positions.dtype)
        graph = radius_graph(structures, self.cutoff)
        vectors = graph.vectors(structures)
        pulls = vectors / vectors.norm(dim=1, keepdim=True)
        forces = torch.zeros_like(structures.positions)
        refused = self.refused.get(self.cutoff)
        places = [i for i, name in enumerate(structures.ids) if name == refused]
        return Labels(
            energy=structures.positions.new_zeros(structures.n_systems),
            forces=forces.index_add(0, graph.edges[0], pulls),
            source="pull",
            failures=dict.fromkeys(places, "told to"),
        )


def lines(n: int) -> Structures:
    generator = np.random.default_rng(0)
    positions = [
        torch.tensor(
            np.cumsum(generator.uniform(1, 2.5, 2 + i % 5))[:, None] * np.eye(3)[:1]
        )
        for i in range(n)
    ]
    numbers = [torch.full((len(p),), 6) for p in positions]
    return Structures.build(positions, numbers, ids=[f"l{i}" for i in range(n)])


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oracle, "BATCH", 3)


def test_errors_are_those_of_each_structure_alone(small_batches: None) -> None:
    structures = lines(10)
    reference = Pull(3.3).predict(structures)
    candidates = candidates_of(Pull(5.0), RADII, "truncate")
    steps: list[int] = []
    errors = errors_by_cutoff(
        candidates, structures, reference, dtype=torch.float64, advance=steps.append
    )
    assert errors.shape == (4, 10)
    assert sum(steps) == 40
    for column, place in enumerate(range(10)):
        one = structures.select([place])
        wanted = Pull(3.3).predict(one).forces.numpy()
        for row, radius in enumerate(RADII):
            alone = np.abs(Pull(radius).predict(one).forces.numpy() - wanted).mean()
            assert errors[row, column] == pytest.approx(alone, abs=1e-12)
    assert (errors.min(axis=0) < errors[0]).any()


def test_what_has_no_number_is_missing_never_zero(small_batches: None) -> None:
    structures = lines(7)
    reference = Pull(3.3).predict(structures)
    reference.forces[structures.system == 5] = torch.nan
    model = Pull(5.0, refused={4.0: "l2"})
    errors = errors_by_cutoff(
        candidates_of(model, RADII, "truncate"), structures, reference
    )
    assert np.isnan(errors[:, 5]).all()
    assert np.isnan(errors[:, 2]).tolist() == [False, True, False, False]
    assert np.isfinite(errors[:, [0, 1, 3, 4, 6]]).all()


def test_the_model_sees_its_own_dtype() -> None:
    structures, model = lines(2), Pull(5.0)
    for dtype in (torch.float32, torch.float64):
        found = errors_by_cutoff(
            candidates_of(model, [5.0], "truncate"),
            structures,
            Pull(5.0).predict(structures),
            dtype=dtype,
        )
        np.testing.assert_allclose(found, 0, atol=1e-6)
    assert model.seen == [torch.float32, torch.float64]


def test_nothing_to_ask_about() -> None:
    nothing = lines(2).select([])
    reference = Pull(5.0).predict(nothing)
    candidates = candidates_of(Pull(5.0), RADII, "truncate")
    assert errors_by_cutoff(candidates, nothing, reference).shape == (4, 0)
