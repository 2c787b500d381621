import math
from dataclasses import replace

import pytest
import torch
from pair_fields import GuidedStrings, labels_of, line

from mlffbench.core.labels import Labels
from mlffbench.core.spectrum import Spectra, SpectralReference, spectra
from mlffbench.core.structures import Structures
from mlffbench.models.cutoffs import Envelope, candidates_of
from mlffbench.refine.radius.criteria import (
    mean_over_groups,
    prior_scores,
    spectral_scores,
)

RADII = [5.0, 4.0, 3.0, 2.0]


def batch() -> Structures:
    return Structures.concatenate(
        [
            line(0, 1.5, 3.4, name="three"),
            line(0, 2.5, 4.7, name="wide"),
            line(0, 1.1, name="pair"),
            line(0, name="alone"),
        ]
    )


def scores_of(
    model: GuidedStrings, labels: Labels, envelope: Envelope = "truncate"
) -> torch.Tensor:
    candidates = candidates_of(model, RADII, envelope)
    found = spectra(batch(), RADII).n_edges
    rows = [RADII.index(candidate.cutoff) for candidate in candidates]
    return prior_scores(candidates, batch(), labels, found[rows])


def test_the_score_is_the_error_of_the_prior_head() -> None:
    labels = labels_of(batch(), 3.0)
    scores = scores_of(GuidedStrings(), labels)
    assert scores.dtype == torch.float64
    # The ends of the first line see each other beyond 3.4 Å and feel one unit more then:
    # 2 of 9 components are off by 1 eV/Å.
    torch.testing.assert_close(scores[:, 0], torch.tensor([2, 2, 0, 0]).double() / 9)
    # The second sees all pairs at 5 Å, neighbours at 4 and 3 Å, nothing at 2 Å.
    torch.testing.assert_close(scores[:, 1], torch.tensor([2, 0, 0, 2]).double() / 9)
    assert not scores[:, 2:].any()


def test_unchanged_graphs_are_predicted_once() -> None:
    model = GuidedStrings()
    scores_of(model, labels_of(batch(), 3.0))
    asked = dict(model.asked)
    assert asked == {
        5.0: ("three", "wide", "pair", "alone"),
        4.0: ("wide",),
        3.0: ("three",),
        2.0: ("wide",),
    }


def test_the_shortcut_changes_no_score() -> None:
    labels = labels_of(batch(), 3.3)
    for envelope in ("truncate", "rescale", "either"):
        model = GuidedStrings()
        found = scores_of(model, labels, envelope)  # type: ignore[arg-type]
        expected = [
            [
                (
                    candidate.model.predict_prior(batch().select([place])).forces  # type: ignore[attr-defined]
                    - labels.forces[batch().system == place]
                )
                .abs()
                .mean()
                for place in range(4)
            ]
            for candidate in candidates_of(model, RADII, envelope)  # type: ignore[arg-type]
        ]
        torch.testing.assert_close(found, torch.tensor(expected))


def test_a_structure_without_prior_labels_is_never_predicted() -> None:
    labels = labels_of(batch(), 3.0)
    forces = labels.forces.clone()
    forces[batch().system == 1] = torch.nan
    model = GuidedStrings()
    failed = replace(labels, forces=forces, failures={1: "no"})
    scores = scores_of(model, failed)
    assert scores[:, 1].isnan().all()
    assert scores[:, [0, 2, 3]].isfinite().all()
    assert all("wide" not in ids for _, ids in model.asked)


def test_a_prior_without_any_label_asks_nothing() -> None:
    labels = labels_of(batch(), 3.0)
    model = GuidedStrings()
    failures = dict.fromkeys(range(4), "no")
    scores = scores_of(model, replace(labels, failures=failures))
    assert scores.isnan().all()
    assert model.asked == []


def test_group_means_leave_out_what_has_no_score() -> None:
    scores = torch.tensor([[1.0, 3.0, 5.0, math.nan], [2.0, 0.0, 7.0, 4.0]])
    found = mean_over_groups(scores, ["a", "a", "b", "a"])
    assert found[:, :3].tolist() == [[2.0, 2.0, 5.0], [1.0, 1.0, 7.0]]
    assert found[:, 3].isnan().tolist() == [True, False]
    assert scores[0, 0] == 1.0


def test_spectral_scores_are_the_distances_and_nothing_for_no_spectrum() -> None:
    structures = batch()
    reference = SpectralReference.of(structures.select([0, 2]), 5.0)
    found = spectra(structures, RADII)
    hidden = found.eigenvalues.clone()
    hidden[:, 1] = torch.nan
    blank = Spectra(
        cutoffs=found.cutoffs,
        eigenvalues=hidden,
        n_edges=found.n_edges,
        sizes=found.sizes,
    )
    for name, distance in (
        ("padded-l2", SpectralReference.padded_l2),
        ("quantile", SpectralReference.quantile),
    ):
        scores = spectral_scores(name, reference, blank)  # type: ignore[arg-type]
        assert scores[:, 1].isnan().all()
        assert torch.equal(scores[:, [0, 2, 3]], distance(reference, found)[:, [0, 2, 3]])
        # a pair has one graph, and so one score
        assert bool((scores[:, 2] == scores[0, 2]).all())


def test_the_paper_form_in_numbers() -> None:
    """A path of three has 0, 1, 2, a triangle 0, 3/2, 3/2, a pair 0, 2."""
    three = line(0, 1.5, 3.0)
    reference = SpectralReference.of(Structures.concatenate([three, line(0, 1)]), 2.0)
    assert reference.mean == pytest.approx((0, 1.5, 1.0), abs=1e-12)
    scores = spectral_scores("padded-l2", reference, spectra(three, [4.0, 2.0]))
    assert scores[:, 0].tolist() == pytest.approx([0.5, math.sqrt(0.25 + 1.0)])


def test_helper_matches_its_energy() -> None:
    """The closed form of these tests is conservative, with the envelope too."""
    for envelope in (None, 3.0):
        model = line(0, 1.1, 2.7, 4.9)
        step = 1e-5
        moved = [line(shift, 1.1, 2.7, 4.9) for shift in (step, -step)]
        up, down = (labels_of(m, 3.0, envelope).energy for m in moved)
        force = labels_of(model, 3.0, envelope).forces[0, 0]
        assert float(force) == pytest.approx(float(-(up - down) / (2 * step)), abs=1e-6)
