"""The level of training: what it is, whose it is, and where it is kept."""

import math
from pathlib import Path

import pytest
import torch
from pair_fields import GuidedStrings, line, prior_file

from mlffbench.core.errors import DataError
from mlffbench.core.structures import Structures
from mlffbench.refine.prior_head import PriorLabels
from mlffbench.refine.prior_level import PriorLevel, level_of, molecule_levels
from mlffbench.refine.refiner import Training


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFFBENCH_CACHE", str(tmp_path / "cache"))


def book() -> Structures:
    """Return six molecules of which the even ones have two conformers."""
    return Structures.concatenate(
        [
            line(0, 1.5, 3.2 + 0.1 * number + 0.05 * turn, name=f"{number}.{turn}",
                 group=f"m{number}")
            for number in range(6)
            for turn in range(2 - number % 2)
        ]
    )  # fmt: skip


def training(structures: Structures) -> Training:
    return Training(name="toy/train", sha256="0" * 64, read=lambda: structures)


def test_a_quantile_is_the_prediction_bound_of_logarithms() -> None:
    level = PriorLevel.of([(0.1, 1.0, 2.0), (0.2, 3.0, 2.0)] * 3, "toys")
    assert level.loss_at(0.5) == pytest.approx(math.sqrt(0.02))
    assert level.gap_at(0.5) == pytest.approx(math.sqrt(3.0))
    bounds = [level.loss_at(share) for share in (0.5, 0.8, 0.95, 0.99)]
    assert bounds == sorted(bounds)
    more = PriorLevel.of([(0.1, 1.0, 2.0), (0.2, 3.0, 2.0)] * 30, "toys")
    assert more.loss_at(0.99) < level.loss_at(0.99)


def test_a_quantile_is_exceeded_as_often_as_it_says() -> None:
    """Over many small trainings, one new molecule in ten is above the 0.9 bound."""
    generator = torch.Generator().manual_seed(0)
    above = 0
    for _ in range(2000):
        logs = torch.randn(9, generator=generator, dtype=torch.float64)
        known = [(one, 1.0, 1.0) for one in logs[:8].exp().tolist()]
        level = PriorLevel.of(known, "draws")
        above += float(logs[8].exp()) > level.loss_at(0.9)
    assert above / 2000 == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize("losses", [[], [0.1] * 4, [0.1] * 4 + [math.nan]])
def test_too_few_losses_say_how_many_are_needed(losses: list[float]) -> None:
    with pytest.raises(DataError, match=r"at least 5 training geometries .* gave"):
        PriorLevel.of([(loss, 0.5, 2.0) for loss in losses], "toy/train")


def test_losses_are_means_over_the_atoms_of_a_molecule(tmp_path: Path) -> None:
    model, structures = GuidedStrings(), book()
    labels = PriorLabels(prior_file(tmp_path, 3.0))
    found = molecule_levels(model, structures, labels)
    assert set(found) == {f"m{number}" for number in range(6)}
    first = structures.select([0, 1])
    error = model.predict_prior(first).forces - labels.of(first).forces
    loss = float(error.norm(dim=1).mean())
    force = float(labels.of(first).forces.norm(dim=1).mean())
    assert found["m0"] == pytest.approx((loss, loss, force))  # its heads are one


def test_few_molecules_are_taken_structure_by_structure(tmp_path: Path) -> None:
    structures = Structures.concatenate(
        [line(0, 1.5, 3.2 + 0.1 * n, name=f"c{n}", group="one") for n in range(7)]
    )
    labels = PriorLabels(prior_file(tmp_path, 3.0))
    assert len(molecule_levels(GuidedStrings(), structures, labels)) == 7


def test_what_a_head_was_not_fitted_to_comes_first(tmp_path: Path) -> None:
    model = GuidedStrings()
    known = {f"m{n}": (0.1 + n / 100, 1.0 + n, 2.0) for n in range(5)}
    model.held_out_levels = known  # type: ignore[attr-defined]
    labels = PriorLabels(prior_file(tmp_path, 3.0))
    level = level_of(model, training(book()), labels)
    pairs = zip(level.losses, level.gaps, strict=True)
    assert [*pairs] == [one[:2] for one in known.values()]
    assert "not fitted to" in level.origin


def test_it_is_kept_for_weights_with_a_checksum(tmp_path: Path) -> None:
    model = GuidedStrings()
    model.weights_sha256 = "a" * 64  # type: ignore[attr-defined]
    labels = PriorLabels(prior_file(tmp_path, 3.0))
    first = level_of(model, training(book()), labels)

    def gone() -> Structures:
        pytest.fail("the training geometries were read again")

    again = level_of(model, Training(name="t", sha256="0" * 64, read=gone), labels)
    assert again.losses == first.losses
    [file] = (tmp_path / "cache" / "prior-levels").iterdir()
    file.write_text("{broken", encoding="utf-8")
    assert level_of(model, training(book()), labels).losses == first.losses


def test_losses_of_hot_molecules_are_relative_to_their_forces() -> None:
    molecules = [(0.1, 1.0, 1.0), (0.1, 1.0, 2.0), (0.3, 1.0, 6.0)] * 3
    level = PriorLevel.of(molecules, "toys")
    assert level.force == 2.0
    assert level.losses[:3] == pytest.approx((0.1, 0.1, 0.3 / 3**0.7))
    scales = [level.scale_of(one) for one in (0.01, 2.0, 6.0)]
    assert scales == pytest.approx([1.0, 1.0, 3**0.7])


def test_gaps_of_hot_molecules_are_relative_to_their_forces() -> None:
    molecules = [(0.1, 1.0, 1.0), (0.1, 1.0, 2.0), (0.3, 3.0, 6.0)] * 3
    level = PriorLevel.of(molecules, "toys")
    assert level.gaps[:3] == pytest.approx((1.0, 1.0, 3.0 / 3**0.6))
    scales = [level.gap_scale_of(one) for one in (0.01, 2.0, 6.0)]
    assert scales == pytest.approx([1.0, 1.0, 3**0.6])


def test_the_share_of_a_prior_is_its_distance_over_its_force() -> None:
    level = PriorLevel.of([(0.1, 0.6, 2.0), (0.2, 0.6, 2.0)] * 3, "toys")
    assert level.prior_share == pytest.approx(0.3)
    relaxed = PriorLevel.of([(0.01, 0.2, 1e-3)] * 5, "minima")
    assert relaxed.prior_share == pytest.approx(200)  # the gate leaves all alone
    with pytest.raises(DataError, match="prior's force is 0 or missing gives none"):
        PriorLevel.of([(0.01, 0.2, 0.0)] * 5, "lone atoms")
