from dataclasses import replace

import numpy as np
import pytest
import torch
from ase.build import molecule
from diagnostic_samples import shaken, shuffled, with_features
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from mlffbench.core.errors import DataError
from mlffbench.core.labels import Labels
from mlffbench.core.structures import Structures
from mlffbench.diagnostics.catalog import DIAGNOSTICS
from mlffbench.diagnostics.diagnostic import AtomFeatures, Sample, only
from mlffbench.diagnostics.distances.composition import (
    charge_distance,
    composition_distance,
    size,
    unseen_elements,
)
from mlffbench.diagnostics.distances.connectivity import (
    mean_degree,
    padded_distance,
    quantile_distance,
    spectral_gap,
)
from mlffbench.diagnostics.distances.force_norm import largest_force_norm, mean_force_norm
from mlffbench.diagnostics.distances.mahalanobis import (
    embedding_mahalanobis,
    shrunk_covariance,
)
from mlffbench.diagnostics.distances.neighbours import embedding_distance
from mlffbench.diagnostics.distances.prior_gap import prior_gap
from mlffbench.diagnostics.evidence import with_graphs
from mlffbench.diagnostics.measure import measure_all

TRAIN = ["CH3OH", "CH3OH", "C2H6", "H2O", "CH4", "H2O"]
TEST = ["C2H6", "NH3", "H2O", "CH3OH"]


def test_force_norms_are_a_loop_over_atoms() -> None:
    sample = shaken(TEST)
    assert sample.reference is not None
    norms = sample.reference.forces.norm(dim=1).numpy()
    atoms = [sample.structures.system.numpy() == place for place in range(4)]
    means = mean_force_norm(sample).measure(sample).values
    assert means == pytest.approx([norms[mine].mean() for mine in atoms])
    most = largest_force_norm(sample).measure(sample).values
    assert most == pytest.approx([norms[mine].max() for mine in atoms])


def test_a_missing_force_is_nan_with_its_reason() -> None:
    sample = shaken(TEST)
    assert sample.reference is not None
    forces = sample.reference.forces.clone()
    forces[0] = torch.nan
    broken = replace(sample, reference=replace(sample.reference, forces=forces))
    found = mean_force_norm(sample).measure(broken)
    assert np.isnan(found.values).tolist() == [True, False, False, False]
    assert found.reasons == {0: "no reference forces"}


def test_composition_in_closed_form() -> None:
    train = shaken(["H2O", "CH4"])
    test = shaken(["NH3", "H2O"])
    found = unseen_elements(train).measure(test)
    assert found.values.tolist() == [0.25, 0.0]
    assert found.notes == ("1 of 2 structures contain N",)
    mean = np.array([(2 / 3 + 4 / 5) / 2, 1 / 10, 0, 1 / 6])  # H C N O
    water, ammonia = np.array([2 / 3, 0, 0, 1 / 3]), np.array([3 / 4, 0, 1 / 4, 0])
    expected = [abs(ammonia - mean).sum() / 2, abs(water - mean).sum() / 2]
    assert composition_distance(train).measure(test).values == pytest.approx(expected)
    assert size(train).measure(test).values.tolist() == [4, 3]
    charged = replace(
        test, structures=replace(test.structures, charge=torch.tensor([-2, 1]))
    )
    assert charge_distance(train).measure(charged).values.tolist() == [2, 1]


def test_no_common_element_is_a_distance_of_one_and_said() -> None:
    helium = Structures.build(
        [torch.zeros(1, 3).double()], [torch.tensor([2])], ids=["He"]
    )
    found = unseen_elements(shaken(TRAIN)).measure(Sample(name="He", structures=helium))
    assert found.values.tolist() == [1.0]
    assert found.notes[1] == "no element of them occurs in training"
    far = composition_distance(shaken(TRAIN)).measure(
        Sample(name="He", structures=helium)
    )
    assert far.values.tolist() == [1.0]


def line(n: int, *, step: float = 1.0, ids: str = "line") -> Structures:
    place = torch.arange(n).double()[:, None] * torch.tensor([[step, 0, 0]]).double()
    return Structures.build([place], [torch.full((n,), 6)], ids=[ids])


def test_connectivity_of_paths_and_of_loose_atoms() -> None:
    """A path of 3 has eigenvalues 0, 1, 2; two atoms beyond the cutoff have none."""
    both = Structures.concatenate([line(3), line(2, step=9.0), line(3, ids="again")])
    sample = with_graphs(Sample(name="lines", structures=both), 1.5)
    gap = spectral_gap(sample).measure(sample)
    assert gap.values[[0, 2]] == pytest.approx([1, 1])
    assert np.isnan(gap.values[1])
    assert gap.reasons == {1: "a graph without an edge has no spectral gap"}
    assert gap.notes == ("1 of 3 graphs are disconnected at 1.5 Å",)
    assert mean_degree(sample).measure(sample).values == pytest.approx([4 / 3, 0, 4 / 3])
    alone = with_graphs(Sample(name="path", structures=line(3)), 1.5)
    assert padded_distance(alone).measure(sample).values[0] == pytest.approx(0, abs=1e-9)
    assert quantile_distance(alone).measure(sample).values[0] == pytest.approx(
        0, abs=1e-9
    )
    assert padded_distance(alone).measure(sample).values[1] == pytest.approx(5**0.5)


def test_a_cell_within_the_cutoff_is_named_and_the_others_stand() -> None:
    cell = torch.eye(3).double()[None] * torch.tensor([2.0, 9.0]).double()[:, None, None]
    atoms = [torch.zeros(1, 3).double(), torch.tensor([[0.0, 0, 0], [1, 0, 0]]).double()]
    crystals = Structures.build(
        atoms,
        [torch.tensor([6]), torch.tensor([6, 6])],
        ids=["small", "large"],
        cell=cell,
        pbc=torch.ones(2, 3, dtype=torch.bool),
    )
    sample = with_graphs(Sample(name="crystals", structures=crystals), 4.0)
    found = mean_degree(sample).measure(sample)
    assert found.values[1] == 1
    assert list(found.reasons) == [0]
    assert "'small' has its own images 2 Å away" in found.reasons[0]


def test_atoms_on_top_of_each_other_are_measured() -> None:
    twins = Structures.build(
        [torch.zeros(2, 3).double()], [torch.tensor([1, 1])], ids=["twins"]
    )
    sample = with_graphs(Sample(name="twins", structures=twins), 2.0)
    found = spectral_gap(sample).measure(sample)
    assert found.values == pytest.approx([2])
    assert found.notes == (
        "1 of 1 structure have atoms on top of each other, the first is structure 0 "
        "(collapsed: H–H at 0.00 Å)",
    )


def test_equal_graphs_have_equal_numbers_whatever_the_order_of_atoms() -> None:
    rng = np.random.default_rng(0)
    rings = [molecule("C6H6") for _ in range(12)]
    orders = [rng.permutation(len(ring)) for ring in rings]
    pairs = list(zip(rings, orders, strict=True))
    benzenes = Structures.build(
        [torch.tensor(ring.positions[order]) for ring, order in pairs],
        [torch.tensor(ring.numbers[order]) for ring, order in pairs],
        ids=[str(place) for place in range(12)],
    )
    sample = with_graphs(Sample(name="benzenes", structures=benzenes), 3.0)
    for fit in (spectral_gap, padded_distance, quantile_distance, mean_degree):
        assert len(set(fit(sample).train.values.tolist())) == 1


def neighbours_by_hand(train: Sample, test: Sample, *, own: bool) -> list[float]:
    """Return the mean distance to the 5 nearest, atom by atom, with scipy's distances."""
    assert train.embedding is not None
    assert test.embedding is not None
    x, y = test.embedding.values.numpy(), train.embedding.values.numpy()
    here, there = test.structures, train.structures
    means = []
    for place in range(here.n_systems):
        atoms = np.flatnonzero(here.system.numpy() == place)
        each = []
        for atom in atoms:
            other = there.system.numpy() != place if own else np.full(len(y), True)
            same = (there.numbers == here.numbers[atom]).numpy() & other
            chosen = same if same.any() else other
            each.append(np.sort(cdist(x[[atom]], y[chosen])[0])[:5].mean())
        means.append(float(np.mean(each)))
    return means


def test_nearest_neighbours_equal_a_loop() -> None:
    train, test = shaken(TRAIN), shaken(TEST, seed=1)
    fitted = embedding_distance(train)
    found = fitted.measure(test)
    assert found.values == pytest.approx(neighbours_by_hand(train, test, own=False))
    assert fitted.train.values == pytest.approx(
        neighbours_by_hand(train, train, own=True)
    )
    assert len(found.notes) == 1
    assert found.notes[0].startswith("1 of 21 atoms (N)")


def test_covariance_is_shrunk_as_scikit_learn_does() -> None:
    """scikit-learn leaves the paper's 2/p out, so wide points tell little of it."""
    covariance = pytest.importorskip("sklearn.covariance")
    points = np.random.default_rng(0).normal(size=(400, 300)) * np.arange(1, 301)
    points -= points.mean(0)
    expected = covariance.OAS(assume_centered=True).fit(points).covariance_
    found = shrunk_covariance(torch.from_numpy(points)).numpy()
    assert np.diag(found) == pytest.approx(np.diag(expected), rel=1e-3)
    assert np.linalg.norm(found - expected) < 1e-3 * np.linalg.norm(expected)


def test_shrinkage_in_closed_form() -> None:
    corners = torch.cat([torch.eye(3), -torch.eye(3)]).double()
    assert torch.allclose(shrunk_covariance(corners), torch.eye(3).double() / 3)
    pair = torch.tensor([[1.0, 0, 0], [-1, 0, 0]]).double()
    # n = 2, p = 3, S = diag(1, 0, 0): ρ = (1/3 + 1) / (7/3 · 2/3) = 6/7
    expected = torch.diag(torch.tensor([3.0, 2, 2]).double() / 7)
    assert torch.allclose(shrunk_covariance(pair), expected)


def test_mahalanobis_of_one_element_in_closed_form() -> None:
    rng = np.random.default_rng(2)
    train, test = (cloud(rng, n) for n in (60, 5))
    found = embedding_mahalanobis(train).measure(test).values
    assert train.embedding is not None
    assert test.embedding is not None
    mean = train.embedding.values.mean(0)
    inverse = torch.linalg.inv(shrunk_covariance(train.embedding.values - mean))
    away = test.embedding.values - mean
    assert found == pytest.approx((((away @ inverse) * away).sum(1) ** 0.5).numpy())


def test_mahalanobis_does_not_alarm_where_nothing_differs() -> None:
    """60 features, 40 atoms: a fit finds its own atoms near, and any other far."""
    rng = np.random.default_rng(3)
    train, test = (cloud(rng, n) for n in (40, 2000))
    train, test = (
        replace(
            one,
            embedding=AtomFeatures(
                torch.from_numpy(rng.normal(size=(one.structures.n_atoms, 60))), "noise"
            ),
        )
        for one in (train, test)
    )
    fitted = embedding_mahalanobis(train)
    same, own = fitted.measure(train).values, fitted.train.values
    unseen = fitted.measure(test).values
    assert own.mean() == pytest.approx(unseen.mean(), rel=0.03)
    assert same.mean() < 0.95 * unseen.mean()


def test_mahalanobis_of_training_leaves_its_own_part_out() -> None:
    train = cloud(np.random.default_rng(4), 7)
    found = embedding_mahalanobis(train).train.values
    assert train.embedding is not None
    features = train.embedding.values
    for row in range(7):
        others = features[torch.arange(7) != row]
        away = features[row] - others.mean(0)
        inverse = torch.linalg.inv(shrunk_covariance(others - others.mean(0)))
        assert found[row] == pytest.approx(float(away @ inverse @ away) ** 0.5)


def cloud(rng: np.random.Generator, n: int) -> Sample:
    """Return single atoms at random places."""
    places = torch.from_numpy(rng.normal(size=(n, 3)) * [1, 2, 3])
    atoms = Structures.build(
        list(places[:, None]), [torch.tensor([6])] * n, ids=[str(i) for i in range(n)]
    )
    sample = with_features(Sample(name="cloud", structures=atoms))
    assert sample.embedding is not None
    return replace(sample, embedding=replace(sample.embedding, values=places))


def test_equal_features_have_no_mahalanobis_distance() -> None:
    train = cloud(np.random.default_rng(0), 4)
    assert train.embedding is not None
    flat = replace(train.embedding, values=torch.ones(4, 3).double())
    found = measure_all(replace(train, embedding=flat), [train])
    reasons = {one.name: one.reason for one in found.unavailable}
    assert "give training structures that differ" in reasons["embedding_mahalanobis"]


@pytest.mark.parametrize("change", ["width", "origin"])
def test_features_of_two_models_are_refused_in_one_sentence(change: str) -> None:
    train, test = shaken(TRAIN), shaken(TEST)
    assert test.embedding is not None
    wide = torch.cat([test.embedding.values] * 2, dim=1)
    other = (
        replace(test.embedding, values=wide)
        if change == "width"
        else replace(test.embedding, origin="another")
    )
    with pytest.raises(DataError, match="compute both with one model"):
        embedding_distance(train).measure(replace(test, embedding=other))
    found = measure_all(train, [replace(test, embedding=other)])
    assert "embedding_knn" in {one.name for one in found.unavailable}


def test_prior_gap_is_the_mean_absolute_difference() -> None:
    sample = shaken(TEST)
    assert sample.reference is not None
    shifted = replace(sample.reference, forces=sample.reference.forces + 0.25)
    both = replace(sample, prediction=shifted, prior=sample.reference)
    assert prior_gap(both).measure(both).values == pytest.approx([0.25] * 4)
    failed = replace(shifted, failures={2: "SCF did not converge"})
    failed.forces[sample.structures.system == 2] = torch.nan
    found = prior_gap(both).measure(replace(both, prior=failed))
    assert found.reasons == {2: "SCF did not converge"}


@given(st.integers(0, 1000))
@settings(max_examples=8, deadline=None)
def test_the_order_of_structures_is_of_no_consequence(seed: int) -> None:
    train, test = shaken(TRAIN), shaken(TEST, seed=3)
    other_train, _ = shuffled(train, seed)
    other_test, order = shuffled(test, seed)
    plain, mixed = measure_all(train, [test]), measure_all(other_train, [other_test])
    for found in (plain, mixed):
        told = [one.name for one in (*found.columns, *found.unavailable)]
        assert sorted(told) == sorted(DIAGNOSTICS.names())
    assert len(plain.columns) > len(plain.unavailable)
    for a, b in zip(plain.columns, mixed.columns, strict=True):
        assert a.tests[0].values[order] == pytest.approx(
            b.tests[0].values, abs=1e-9, nan_ok=True
        ), a.name


@given(st.integers(1, 3))
@settings(max_examples=3, deadline=None)
def test_a_test_structure_is_measured_the_same_however_often_it_occurs(n: int) -> None:
    train = shaken(TRAIN)
    once, often = shaken(["NH3"], seed=4), shaken(["NH3"], seed=4)
    many = with_graphs(
        with_features(
            Sample(
                name="many",
                structures=Structures.concatenate([often.structures] * n),
                reference=Labels.concatenate([often.reference] * n)
                if often.reference
                else None,
            )
        ),
        3.0,
    )
    for a, b in zip(
        measure_all(train, [once]).columns,
        measure_all(train, [many]).columns,
        strict=True,
    ):
        assert b.tests[0].values == pytest.approx(np.repeat(a.tests[0].values, n)), a.name


def test_poisoned_labels_leave_the_others_byte_for_byte() -> None:
    train, test = shaken(TRAIN), shaken(TEST)
    clean = measure_all(train, [test])
    poisoned = measure_all(_poison(train), [_poison(test)])
    there = {column.name: column for column in poisoned.columns}
    reads = {c.name for c in clean.columns if "reference" in c.card.needs}
    assert reads == {"force_norm_mean", "force_norm_max"}
    for column in clean.columns:
        if column.name in reads:
            assert column.name not in there
            continue
        found = there[column.name]
        assert column.train.values.tobytes() == found.train.values.tobytes()
        assert column.tests[0].values.tobytes() == found.tests[0].values.tobytes()


def _poison(sample: Sample) -> Sample:
    assert sample.reference is not None
    forces = torch.full_like(sample.reference.forces, torch.nan)
    return replace(sample, reference=replace(sample.reference, forces=forces))


def test_a_diagnostic_sees_what_it_names_and_nothing_else() -> None:
    sample = shaken(TEST)
    seen = only(sample, ("graphs",))
    assert seen.graphs is sample.graphs
    assert seen.reference is None
    assert seen.embedding is None


def test_labels_of_other_structures_are_refused() -> None:
    sample, other = shaken(TEST), shaken(["H2O"])
    with pytest.raises(DataError, match=r"4 structures with 21 atoms.* 1 with 3"):
        replace(sample, reference=other.reference)


@pytest.mark.parametrize(
    ("train", "test", "sentence"),
    [
        (["H2O"], TEST, "at least 2"),
        ([], TEST, "at least 2"),
        (TRAIN, [], "holds no structure"),
    ],
)
def test_too_few_structures_are_one_sentence(
    train: list[str], test: list[str], sentence: str
) -> None:
    full = shaken(TRAIN)
    some = [
        Sample(name="s", structures=full.structures.select(range(min(len(n), 6))))
        for n in (train, test)
    ]
    with pytest.raises(DataError, match=sentence):
        measure_all(some[0], [some[1]])


@pytest.mark.parametrize("cutoff", [0.0, -1.0, float("nan")])
def test_a_cutoff_that_is_no_radius_is_refused(cutoff: float) -> None:
    with pytest.raises(DataError, match="is no radius"):
        with_graphs(shaken(TEST), cutoff)


@pytest.mark.parametrize("name", DIAGNOSTICS.names())
def test_every_row_is_a_documented_function(name: str) -> None:
    entry = DIAGNOSTICS.entry(name)
    assert DIAGNOSTICS.load(name).__doc__
    assert entry.card is not None
    assert dict(entry.card.rows())["measures"]
    assert len(entry.summary) <= 90
