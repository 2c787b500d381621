import math
from dataclasses import dataclass

import pytest
import torch

from mlffbench.core.errors import BenchError, CapabilityError, ModelError
from mlffbench.core.labels import Labels
from mlffbench.core.structures import Structures
from mlffbench.models.cutoffs import candidates_of, policy_of, radii_of, scopes_of


@dataclass
class Narrowed:
    """A model with a cutoff and nothing else; a user's own."""

    cutoff: float = 5.0
    cutoff_scope: str = "graph"
    name: str = "mine"
    elements: frozenset[int] = frozenset({1})

    def with_cutoff(self, cutoff: float) -> "Narrowed":
        return Narrowed(cutoff, self.cutoff_scope)

    def predict(self, structures: Structures) -> Labels:
        energy = structures.positions.new_zeros(structures.n_systems)
        return Labels(
            energy=energy,
            forces=torch.zeros_like(structures.positions),
            source="model:mine",
        )


@dataclass
class Bent(Narrowed):
    """One whose envelope may follow."""

    cutoff_scopes: tuple[str, ...] = ("graph", "graph+envelope")

    def with_cutoff(self, cutoff: float, scope: str | None = None) -> "Bent":
        return Bent(cutoff, scope or self.cutoff_scope)


def grid(trained: float = 5.0, **changes: object) -> list[float]:
    settings = {"smallest": 3.0, "n_radii": 5, "given": ""} | changes
    return radii_of(trained, **settings)  # type: ignore[arg-type]


def test_the_grid_holds_both_ends_and_starts_at_the_trained_cutoff() -> None:
    assert grid() == [5.0, 4.5, 4.0, 3.5, 3.0]
    assert grid(n_radii=1) == [5.0]
    assert grid(n_radii=2) == [5.0, 3.0]
    odd = grid(4.3, n_radii=10)
    assert (odd[0], odd[-1], len(odd)) == (4.3, 3.0, 10)


def test_a_model_narrower_than_the_grid_keeps_its_cutoff() -> None:
    assert grid(2.5) == [2.5]
    assert grid(3.0) == [3.0]


@pytest.mark.parametrize(
    ("given", "radii"),
    [
        ("3.5", [5.0, 3.5]),
        (" 3.0 ,4, 3.0", [5.0, 4.0, 3.0]),
        ([4, 3.5], [5.0, 4.0, 3.5]),
        ("5", [5.0]),
        (3.5, [5.0, 3.5]),
        ([], [5.0, 4.5, 4.0, 3.5, 3.0]),
    ],
)
def test_given_radii_join_the_trained_one(given: object, radii: list[float]) -> None:
    assert grid(given=given) == radii


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("-1", r"-1 Å cannot be tried.*a radius is positive"),
        ("0", r"0 Å cannot be tried.*a radius is positive"),
        (0, r"0 Å cannot be tried.*a radius is positive"),
        ("nan", r"nan Å cannot be tried.*a radius is positive"),
        ("inf", r"inf Å cannot be tried.*a larger graph is inert"),
        ("4,5.1", r"5.1 Å cannot be tried.*up to the trained 5 Å; beyond it .* inert"),
        ("3;4", r"'3;4' must be numbers in Å with commas"),
        ("wide", r"'wide' must be numbers in Å"),
        ("3,", r"must be numbers in Å"),
        ([None], r"must be numbers in Å"),
    ],
)
def test_radii_that_cannot_be_tried(given: object, why: str) -> None:
    with pytest.raises(BenchError, match=why):
        grid(given=given)


@pytest.mark.parametrize("trained", [0.0, -1.0, math.nan, math.inf])
def test_a_model_whose_cutoff_is_no_radius(trained: float) -> None:
    with pytest.raises(ModelError, match=r"trained cutoff of .* is no radius"):
        grid(trained)


def test_the_trained_candidate_is_the_model_itself() -> None:
    model = Bent()
    found = candidates_of(model, [5.0, 4.0, 3.0], "either")
    assert found[0].model is model
    assert [(one.cutoff, one.envelope) for one in found] == [
        (5.0, "trained"),
        (4.0, "truncate"),
        (4.0, "rescale"),
        (3.0, "truncate"),
        (3.0, "rescale"),
    ]
    made = [one.model for one in found]
    assert [m.cutoff for m in made] == [5, 4, 4, 3, 3]  # type: ignore[attr-defined]
    scopes = ["graph", "graph", "graph+envelope", "graph", "graph+envelope"]
    assert [m.cutoff_scope for m in made] == scopes  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("scope", "policy", "refused"),
    [("graph", "truncate", "rescale"), ("graph+envelope", "rescale", "truncate")],
)
def test_a_model_with_one_scope_has_one_policy(
    scope: str, policy: str, refused: str
) -> None:
    model = Narrowed(cutoff_scope=scope)
    assert policy_of(model) == policy
    assert scopes_of(model) == (scope,)
    [_, narrow] = candidates_of(model, [5.0, 3.0], policy)  # type: ignore[arg-type]
    assert narrow.envelope == policy
    for impossible in (refused, "either"):
        with pytest.raises(CapabilityError, match=f"only with {policy}"):
            candidates_of(model, [5.0, 3.0], impossible)  # type: ignore[arg-type]


def test_a_scope_that_does_not_exist_is_one_sentence() -> None:
    for call in (policy_of, scopes_of):
        with pytest.raises(ModelError, match="cutoff_scope 'both', expected one of"):
            call(Narrowed(cutoff_scope="both"))
