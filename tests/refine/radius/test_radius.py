import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pair_fields import GuidedStrings, Strings, line, prior_file

from mlffbench.core.errors import BenchError, CapabilityError, DataError, ModelError
from mlffbench.core.forcefield import ForceField
from mlffbench.core.labels import Labels
from mlffbench.core.spectrum import SpectralReference, spectra
from mlffbench.core.structures import Structures
from mlffbench.refine.per_structure import Routed
from mlffbench.refine.radius.radius import RadiusRefinement
from mlffbench.refine.refiner import Refined, Training

RADII = "4.5,4,3.5,3"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLFFBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def training(*structures: Structures) -> Training:
    book = Structures.concatenate(structures or (line(0, 1.5, 3.0, name="t"),))
    return Training(name="toy/train", sha256="0" * 64, read=lambda: book)


def taught(
    model: ForceField, *structures: Structures, **changes: object
) -> RadiusRefinement:
    settings = {"gate": "off", **changes}
    refiner = RadiusRefinement(**settings)  # type: ignore[arg-type]
    refiner.check(model)
    refiner.learn(model, training(*structures))
    return refiner


def radii(refined: Refined) -> list[object]:
    return [facts["radius"] for facts in refined.facts]


def random_lines(n: int, *, seed: int = 0) -> Structures:
    """Return clouds of carbon, none of whose pairs is near a candidate radius."""
    generator = np.random.default_rng(seed)
    found = []
    for number in range(n):
        places = np.cumsum(generator.uniform(1.0, 2.4, generator.integers(2, 7)))
        found.append(line(*places.tolist(), name=f"l{number}", group=f"g{number // 2}"))
    return Structures.concatenate(found)


# --- choosing ---------------------------------------------------------------------------


@pytest.mark.parametrize("reach", [4.0, 3.5, 3.0, 5.0])
def test_a_prior_of_a_known_reach_is_found(tmp_path: Path, reach: float) -> None:
    """Where the prior is the prior head at some radius, that radius is chosen."""
    model, prior = GuidedStrings(), prior_file(tmp_path, reach)
    refiner = taught(model, prior=prior, envelope="truncate", radii=RADII)
    structures = random_lines(12)
    refined = refiner.refine(model, structures)
    labels = refined.model.predict(structures)
    torch.testing.assert_close(
        labels.forces, model.with_cutoff(reach).predict(structures).forces
    )
    for facts in refined.facts:
        assert facts["score_chosen"] == pytest.approx(0, abs=1e-12)
        assert facts["radius"] >= reach
        assert facts["envelope"] == ("trained" if facts["radius"] == 5.0 else "truncate")
        assert facts["not_refined_because"] == ""
    changed = [facts["graph_changed"] for facts in refined.facts]
    assert any(changed) == (reach < 5)


def test_either_envelope_is_tried_where_the_model_can() -> None:
    model = GuidedStrings()
    assert RadiusRefinement().choice(model).envelope == "either"
    kinds = {one.envelope for one in RadiusRefinement().candidates(model)}
    assert kinds == {"trained", "truncate", "rescale"}
    assert RadiusRefinement().choice(Strings()).envelope == "truncate"
    assert RadiusRefinement().choice(Strings()).criterion == "padded-l2"


def test_spectra_choose_the_graph_most_like_training() -> None:
    """Paths were trained on; a line whose far pairs are in reach becomes a path."""
    model = Strings()
    path = line(0, 3.2, 6.4, 9.6, name="t")
    test = line(0, 1.6, 3.2, 4.8, name="short")
    refined = taught(model, path, radii="3.4,3.1,1.7", envelope="truncate").refine(
        model, test
    )
    assert radii(refined) == [3.1]  # one path as well as 1.7 Å
    reference = SpectralReference.of(path, 5.0)
    distances = reference.padded_l2(spectra(test, [5.0, 3.4, 3.1, 1.7]))[:, 0]
    [facts] = refined.facts
    assert facts["score_trained"] == facts["padded-l2_trained"] == float(distances[0])
    assert facts["score_chosen"] == facts["padded-l2_chosen"] == float(distances.min())
    assert facts["quantile_chosen"] == pytest.approx(0, abs=1e-12)
    assert facts["graph_changed"] is True


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), criterion=st.sampled_from(["padded-l2", "quantile"]))
def test_the_chosen_distance_is_the_least_and_the_first(
    seed: int, criterion: str
) -> None:
    model, structures = Strings(), random_lines(3, seed=seed)
    path = line(0, 1.5, 3.0, 4.5, name="t")
    refiner = RadiusRefinement(criterion=criterion, radii="4.4,3.6,2.3,1.2")  # type: ignore[arg-type]
    refiner._reference = None
    refiner.learn(model, Training(name="t", sha256=f"{0:064d}", read=lambda: path))
    grid = [5.0, 4.4, 3.6, 2.3, 1.2]
    reference = SpectralReference.of(path, 5.0)
    rule = {"padded-l2": reference.padded_l2, "quantile": reference.quantile}[criterion]
    found = refiner.refine(model, structures)
    for place, facts in enumerate(found.facts):
        one = rule(spectra(structures.select([place]), grid))[:, 0].tolist()
        assert facts["radius"] == grid[one.index(min(one))]


def test_ties_go_to_the_larger_radius(tmp_path: Path) -> None:
    pair = line(0, 1.1, name="pair")
    for model, settings_ in (
        (Strings(), {}),
        (GuidedStrings(), {"prior": prior_file(tmp_path, 3.0), "envelope": "truncate"}),
    ):
        refined = taught(model, radii=RADII, **settings_).refine(model, pair)  # type: ignore[arg-type]
        assert radii(refined) == [5.0]
        assert refined.facts[0]["envelope"] == "trained"
    three = line(0, 1.1, 5.8, name="three")  # one graph at 4.5 Å and below
    model = GuidedStrings()
    refiner = taught(model, prior=prior_file(tmp_path, 3.0), radii=RADII)
    refined = refiner.refine(model, three)
    assert radii(refined) == [4.5]
    assert refined.facts[0]["envelope"] == "truncate"


def test_only_the_trained_cutoff_is_the_model_itself(tmp_path: Path) -> None:
    for model in (Strings(), GuidedStrings()):
        structures = random_lines(6)
        refiner = taught(model, n_radii=1, prior=prior_file(tmp_path, 3.0))
        refined = refiner.refine(model, structures)
        model.calls = 0
        labels = refined.model.predict(structures)
        assert isinstance(refined.model, Routed)
        assert refined.model.model_of("l0") is model
        expected = model.predict(structures)
        assert torch.equal(labels.forces, expected.forces)
        assert torch.equal(labels.energy, expected.energy)
        assert {facts["envelope"] for facts in refined.facts} == {"trained"}
        assert not any(facts["graph_changed"] for facts in refined.facts)


@pytest.mark.parametrize("guided", [True, False])
def test_a_choice_does_not_depend_on_companions(tmp_path: Path, guided: bool) -> None:
    model = GuidedStrings() if guided else Strings()
    structures = random_lines(10)
    path = line(0, 3.2, 6.4, 9.6, 12.8, name="t")
    refiner = taught(model, path, prior=prior_file(tmp_path, 3.2), radii=RADII)
    together = refiner.refine(model, structures)
    assert len(set(radii(together))) > 1
    for place in range(structures.n_systems):
        one = structures.select([place])
        alone = refiner.refine(model, one)
        assert alone.facts[0] == pytest.approx(together.facts[place])
        assert torch.equal(
            alone.model.predict(one).forces,
            together.model.predict(structures).forces[structures.system == place],
        )


def test_a_group_gets_one_radius(tmp_path: Path) -> None:
    model, prior = GuidedStrings(), prior_file(tmp_path, 3.2)
    structures = random_lines(12)
    options = {"prior": prior, "radii": RADII}
    single = taught(model, **options).refine(model, structures)
    grouped = taught(model, unit="group", **options).refine(model, structures)  # type: ignore[arg-type]
    by_group: dict[str, set[object]] = {}
    for name, facts in zip(structures.group, grouped.facts, strict=True):
        by_group.setdefault(name, set()).add((facts["radius"], facts["envelope"]))
    assert all(len(chosen) == 1 for chosen in by_group.values())
    assert len({chosen.pop() for chosen in by_group.values()}) > 1
    assert radii(single) != radii(grouped)


def test_the_model_given_stays() -> None:
    model = Strings()
    before = dict(vars(model))
    taught(model, radii=RADII).refine(model, random_lines(4))
    assert {**vars(model), "calls": 0} == {**before, "calls": 0}


# --- what cannot be refined -------------------------------------------------------------


def test_a_structure_without_prior_labels_keeps_the_baseline(tmp_path: Path) -> None:
    model, structures = GuidedStrings(), random_lines(4)
    prior = prior_file(tmp_path, 3.0, refusing="l2")
    refined = taught(model, prior=prior, radii=RADII).refine(model, structures)
    facts = refined.facts[2]
    assert (facts["radius"], facts["envelope"]) == (5.0, "trained")
    assert facts["not_refined_because"] == "too long a line"
    assert facts["score_trained"] is None
    mine = structures.system == 2
    expected = model.predict(structures).forces[mine]
    assert torch.equal(refined.model.predict(structures).forces[mine], expected)
    others = [f["not_refined_because"] for i, f in enumerate(refined.facts) if i != 2]
    assert others == ["", "", ""]


class FarFromPrior(GuidedStrings):
    """Its own forces are larger than those of its head, which is therefore a guide."""

    def predict(self, structures: Structures) -> Labels:
        labels = super().predict(structures)
        return replace(labels, forces=1.2 * labels.forces)


def test_a_head_no_nearer_to_the_prior_than_the_model_chooses_no_radius(
    tmp_path: Path,
) -> None:
    prior, tests = prior_file(tmp_path, 3.0), line(*range(7), name="far")
    book = [line(0, 1.5, 3.3 + 0.01 * n, name=f"t{n}") for n in range(8)]
    refiner = taught(GuidedStrings(), *book, gate="training", prior=prior, radii=RADII)
    (facts,) = refiner.refine(GuidedStrings(), tests).facts
    assert "1.00 times as far from the prior" in str(facts["not_refined_because"])
    assert facts["radius"] == 5.0


def test_a_structure_like_those_of_training_is_left_alone(tmp_path: Path) -> None:
    """The head follows the prior up to a reach; training has the same reach, or less."""
    clump = [0.1 * n for n in range(12)]
    model, prior = FarFromPrior(), prior_file(tmp_path, 3.0)
    tests = Structures.concatenate(
        [line(*clump, 3.25, name="like"), line(*range(7), name="far")]
    )
    book = [line(*clump, 3.22 + 0.01 * n, name=f"t{n}") for n in range(8)]
    refiner = taught(model, *book, gate="training", prior=prior, radii=RADII)
    found = refiner.settings(model)
    assert found["level"] == "8 of toy/train"
    like, far = refiner.refine(model, tests).facts
    assert "as on training molecules" in str(like["not_refined_because"])
    assert (like["radius"], like["score_trained"]) == (5.0, None)
    assert (far["radius"], far["not_refined_because"]) == (3.0, "")
    everything = taught(model, *book, prior=prior, radii=RADII)
    assert radii(everything.refine(model, tests)) == [3.0, 3.0]


def test_a_gate_without_training_says_so(tmp_path: Path) -> None:
    refiner = RadiusRefinement(prior=prior_file(tmp_path, 3.0), radii=RADII)
    with pytest.raises(CapabilityError, match=r"no training geometries.*gate=off"):
        refiner.refine(GuidedStrings(), random_lines(2))


def crystal(length: float, name: str = "cell") -> Structures:
    """Return two atoms in a periodic box; each sees its own images within the cutoff."""
    return Structures.build(
        [torch.tensor([[0.0, 0, 0], [1.4, 0, 0]], dtype=torch.float64)],
        [torch.tensor([6, 6])],
        ids=[name],
        cell=torch.diag(torch.tensor([length, 20.0, 20.0]).double())[None],
        pbc=torch.tensor([[True, False, False]]),
    )


@pytest.mark.parametrize("criterion", ["padded-l2", "quantile"])
def test_a_small_cell_has_no_spectrum_and_keeps_the_baseline(criterion: str) -> None:
    model = Strings()
    batch = Structures.concatenate([line(0, 1.6, 3.2), crystal(3.9)])
    refiner = taught(model, radii="4,3,1.7", criterion=criterion)
    refined = refiner.refine(model, batch)
    first, second = refined.facts
    assert first["not_refined_because"] == ""
    assert second["radius"] == 5.0
    assert second["score_trained"] is second["padded-l2_trained"] is None
    reason = str(second["not_refined_because"])
    assert "structure 'cell' has its own images 3.9 Å away" in reason
    alone = refiner.refine(model, batch.select([0]))
    assert first == alone.facts[0]
    grouped = taught(model, radii="4,3,1.7", criterion=criterion, unit="group")
    assert radii(grouped.refine(model, batch)) == radii(refined)


def test_a_prior_guides_in_a_small_cell_too(tmp_path: Path) -> None:
    model = GuidedStrings()
    batch = Structures.concatenate([crystal(3.9), line(0, 1.6, 3.3)])
    refiner = taught(model, prior=prior_file(tmp_path, 2.0), radii="3,2")
    facts = refiner.refine(model, batch).facts
    assert [f["not_refined_because"] for f in facts] == ["", ""]
    # With its image at 2.5 Å the other atom pulls to both sides, at 2 Å to one.
    assert facts[0]["score_trained"] == pytest.approx(2 / 6)
    assert facts[0]["score_chosen"] == pytest.approx(0, abs=1e-12)
    assert facts[0]["graph_changed"] is True


def test_images_are_counted_where_pairs_are_seen_twice(tmp_path: Path) -> None:
    """In a cell of 5.2 Å an atom sees the other at 1.4 and at 3.8 Å: two graphs."""
    model = GuidedStrings()
    cell = crystal(5.2)
    prior = prior_file(tmp_path, 3.0)
    refined = taught(model, prior=prior, radii="3.0", envelope="truncate").refine(
        model, cell
    )
    [facts] = refined.facts
    assert spectra(cell, [5.0, 3.0]).n_edges.tolist() == [[2], [2]]
    assert facts["score_trained"] == pytest.approx(2 / 6)
    assert (facts["radius"], facts["graph_changed"]) == (3.0, True)
    assert facts["score_chosen"] == pytest.approx(0, abs=1e-12)


def test_training_in_small_cells_stops_only_a_spectral_choice(tmp_path: Path) -> None:
    guided = GuidedStrings()
    refiner = taught(
        guided, crystal(3.0, "t"), prior=prior_file(tmp_path, 3.0), radii=RADII
    )
    assert "'t' has its own images" in str(refiner.settings(guided)["reference"])
    facts = refiner.refine(guided, random_lines(3)).facts
    assert all("padded-l2_trained" not in one for one in facts)
    with pytest.raises(DataError, match="'t' has its own images 3 Å away"):
        taught(Strings(), crystal(3.0, "t"))


def test_an_atom_alone_is_left_as_it_is(tmp_path: Path) -> None:
    atom = line(0, name="atom")
    for model in (Strings(), GuidedStrings()):
        refiner = taught(model, radii=RADII, prior=prior_file(tmp_path, 3.0))
        [facts] = refiner.refine(model, atom).facts
        assert (facts["radius"], facts["not_refined_because"]) == (5.0, "")


def test_without_training_graphs_there_is_one_sentence() -> None:
    refiner = RadiusRefinement(criterion="quantile")
    with pytest.raises(CapabilityError, match="no training split was shown"):
        refiner.refine(Strings(), random_lines(2))


# --- settings ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"criterion": "best"}, "'best' is none of padded-l2, quantile, prior-guided"),
        ({"envelope": "soft"}, "'soft' is none of truncate, rescale, either"),
        ({"unit": "split"}, "'split' is none of structure, group"),
        ({"smallest": 0.0}, "smallest must be above 0"),
        ({"smallest": math.nan}, "smallest must be above 0"),
        ({"n_radii": 0}, "n_radii a whole number of at least 1"),
        ({"n_radii": 2.5}, "n_radii a whole number"),
        ({"criterion": "quantile", "envelope": "either"}, "do not tell envelopes apart"),
    ],
)
def test_settings_that_cannot_be(changes: dict[str, object], why: str) -> None:
    with pytest.raises(BenchError, match=why):
        RadiusRefinement(**changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("given_radii", ["6", "-3", "0", "nan", "x", "3,,4"])
def test_radii_that_cannot_be_are_told_before_the_run(given_radii: str) -> None:
    with pytest.raises(BenchError, match=r"cannot be tried|must be numbers"):
        RadiusRefinement(radii=given_radii).check(Strings())


def test_envelopes_are_refused_where_they_cannot_be() -> None:
    with pytest.raises(CapabilityError, match="do not tell envelopes apart"):
        RadiusRefinement(envelope="either").check(Strings())
    with pytest.raises(CapabilityError, match=r"'rescale', only with truncate"):
        RadiusRefinement(envelope="rescale").check(Strings())
    with pytest.raises(CapabilityError, match=r"no prior head, which mode 'rr' with"):
        RadiusRefinement(criterion="prior-guided").check(Strings())


def test_a_model_without_a_cutoff_gets_one_sentence() -> None:
    class Bare:
        name, elements = "bare", frozenset({1})

        def predict(self, structures: Structures) -> None: ...

    with pytest.raises(CapabilityError, match="'bare' has no graph cutoff"):
        RadiusRefinement().check(Bare())  # type: ignore[arg-type]


def test_a_user_scope_that_does_not_exist() -> None:
    model = Strings()
    model.cutoff_scope = "hard"
    with pytest.raises(ModelError, match="cutoff_scope 'hard', expected one of graph"):
        RadiusRefinement().check(model)


def test_settings_are_complete_and_resolved(tmp_path: Path) -> None:
    model, prior = GuidedStrings(), prior_file(tmp_path, 3.0)
    found = taught(model, prior=prior, n_radii=3).settings(model)
    assert found == {
        "criterion": "prior-guided",
        "envelope": "either",
        "radii": "5, 4, 3",
        "unit": "structure",
        "prior": prior,
        "prior_head": None,
        "gate": "off",
        "reference": "1 structures of toy/train",
    }
    plain = taught(Strings(), radii="3.25").settings(Strings())
    assert plain["radii"] == "5, 3.25"
    assert (plain["criterion"], plain["prior"]) == ("padded-l2", None)


def test_what_was_seen_is_said() -> None:
    assert "only if a prior guides" in RadiusRefinement().sees
    guided = RadiusRefinement(criterion="prior-guided", prior="uff", unit="group")
    assert guided.sees == (
        "test geometries: yes, one group at a time; uff labels of them: yes; "
        "reference labels: no"
    )
