"""The probe of features: it foretells what features tell, and sees no molecule twice."""

import numpy as np
import pytest
import torch

from mlffbench.core.errors import DataError
from mlffbench.core.structures import Structures
from mlffbench.diagnostics.diagnostic import AtomFeatures, Sample
from mlffbench.screening.calibration import Calibration, held_out_residuals
from mlffbench.screening.measured import Alarmed
from mlffbench.screening.risk_probe import RISK, with_risk

N = 120


def alarmed(values: torch.Tensor | None, molecules: list[str]) -> Alarmed:
    """Return structures of two atoms each with features."""
    n = len(molecules)
    structures = Structures.build(
        [torch.tensor([[0.0, 0, 0], [1, 0, 0]])] * n,
        [torch.tensor([1, 1])] * n,
        ids=[str(place) for place in range(n)],
        group=molecules,
    )
    features = None if values is None else AtomFeatures(values, "made")
    sample = Sample(name="made", structures=structures, embedding=features)
    blank = np.full(2 * n, np.nan)
    return Alarmed(
        sample=sample, alarms={}, reasons={}, atom_distance=blank, atom_gap=blank
    )


def made(seed: int) -> tuple[torch.Tensor, np.ndarray]:
    """Return features and errors that the first of them tells, with noise."""
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(2 * N, 4))
    told = features.reshape(N, 2, 4).mean(1)[:, 0]
    errors = 0.1 * np.exp(told + 0.1 * generator.normal(size=N))
    return torch.from_numpy(features), errors


def test_features_foretell_errors_of_other_molecules() -> None:
    (known, errors), (asked, truth) = made(0), made(1)
    molecules = [str(place // 2) for place in range(N)]
    held, [mine] = with_risk(
        [alarmed(known, molecules)], [errors], [alarmed(asked, molecules)]
    )
    for one, true in ((held[0], errors), (mine, truth)):
        left = np.log(one.alarms[RISK] / true)
        assert np.sqrt(np.mean(left**2)) < 0.2


def test_a_molecule_is_not_foretold_by_its_own_errors() -> None:
    generator = np.random.default_rng(0)
    features = torch.from_numpy(generator.normal(size=(2 * N, 30)))
    errors = np.exp(generator.normal(size=N))  # nothing tells it
    molecules = [str(place) for place in range(N)]
    held, _ = with_risk([alarmed(features, molecules)], [errors], [])
    told = np.log(held[0].alarms[RISK])
    assert abs(np.corrcoef(told, np.log(errors))[0, 1]) < 0.3


def test_without_features_or_molecules_there_is_no_probe() -> None:
    features, errors = made(0)
    for one in (alarmed(None, ["a"] * N), alarmed(features, ["a"] * N)):
        held, rest = with_risk([one], [errors], [one])
        assert RISK not in held[0].alarms
        assert RISK not in rest[0].alarms
    assert with_risk([], [], [one])[0] == []


def test_a_missing_error_is_left_out_and_nothing_else_changes() -> None:
    features, errors = made(0)
    molecules = [str(place // 2) for place in range(N)]
    one = alarmed(features, molecules)
    spoilt = np.where(np.arange(N) < 2, np.nan, errors)  # a molecule without labels
    held, [mine] = with_risk([one], [spoilt], [one])
    assert np.isnan(held[0].alarms[RISK]).tolist() == [True] * 2 + [False] * (N - 2)
    assert np.isfinite(mine.alarms[RISK]).all()
    with pytest.raises(DataError, match="name a suite with labelled val splits"):
        Calibration.of({"prior_gap": errors}, np.full(N, np.nan), molecules)


def test_an_alarm_that_never_moved_in_calibration_decides_nothing() -> None:
    generator = np.random.default_rng(0)
    gap = np.exp(generator.normal(size=N))
    errors = gap * np.exp(0.2 * generator.normal(size=N))
    molecules = [str(place // 3) for place in range(N)]
    alarms = {"prior_gap": gap, "open_shell": np.zeros(N)}
    found = Calibration.of(alarms, errors, molecules)
    closed = found.expect({"prior_gap": gap[:1], "open_shell": np.zeros(1)})
    radical = found.expect({"prior_gap": gap[:1], "open_shell": np.ones(1)})
    assert radical.middle == pytest.approx(closed.middle)
    left = held_out_residuals(alarms, errors, molecules)
    inside = (left >= found.below) & (left <= found.above)
    assert 0.85 < inside.mean() < 0.97
