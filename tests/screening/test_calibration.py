"""Expected errors: intervals hold on new molecules, and are left out of too few."""

import numpy as np
import pytest

from mlffbench.core.errors import DataError
from mlffbench.screening.calibration import (
    Calibration,
    group_quantile,
    weights_of,
)


def drawn(
    n_molecules: int, seed: int, conformers: int = 3
) -> tuple[dict[str, np.ndarray], np.ndarray, list[str]]:
    """Return alarms, errors and molecules whose conformers share most of their error."""
    rng = np.random.default_rng(seed)
    names = [f"{seed}-{number}" for number in range(n_molecules)]
    molecules = [name for name in names for _ in range(conformers)]
    own = np.repeat(rng.normal(size=n_molecules), conformers)
    alarm = rng.normal(size=len(molecules)) + own
    noise = 0.5 * np.repeat(rng.standard_t(4, size=n_molecules), conformers)
    errors = np.exp(0.8 * alarm + noise - 2)
    other = np.exp(rng.normal(size=len(molecules)))
    return {"gap": np.exp(alarm), "other": other}, errors, molecules


def test_nine_of_ten_new_molecules_lie_in_the_interval() -> None:
    inside = []
    for seed in range(60):
        calibration = Calibration.of(*drawn(40, seed))
        alarms, errors, _ = drawn(50, 1000 + seed, conformers=1)
        expected = calibration.expect(alarms)
        inside.append((errors >= expected.low) & (errors <= expected.high))
    assert 0.88 < np.mean(inside) < 0.95


def test_the_slope_is_found_and_an_idle_alarm_left_out() -> None:
    calibration = Calibration.of(*drawn(200, 3))
    slopes = calibration.slopes / calibration.scale
    assert slopes == pytest.approx([0.8, 0.0], abs=0.15)
    assert calibration.n_structures == 600


@pytest.mark.parametrize(("n", "known"), [(19, False), (20, True)])
def test_fewer_than_twenty_molecules_give_no_interval(n: int, known: bool) -> None:
    alarms, errors, molecules = drawn(n, 5)
    calibration = Calibration.of(alarms, errors, molecules)
    assert calibration.has_interval is known
    expected = calibration.expect(alarms)
    assert np.isfinite(expected.middle).all()
    assert np.isfinite(expected.low).all() == np.isfinite(expected.high).all() == known


def test_what_has_no_alarm_has_no_expected_error() -> None:
    alarms, errors, molecules = drawn(30, 7)
    calibration = Calibration.of(alarms, errors, molecules)
    one = {name: values[:2].copy() for name, values in alarms.items()}
    one["gap"][1] = np.nan
    assert np.isnan(calibration.expect(one).middle).tolist() == [False, True]
    nothing = {name: np.full(3, np.nan) for name in alarms}
    with pytest.raises(DataError, match="no val structure has all alarms"):
        Calibration.of(nothing, errors[:3], molecules[:3])


def test_a_molecule_counts_once_however_many_conformers() -> None:
    assert weights_of(["a", "b", "a"]).tolist() == [0.5, 1.0, 0.5]
    values = np.array([1.0, 9.0, 9.0, 9.0])
    weights = weights_of(["a", "b", "b", "b"])
    assert group_quantile(values, weights, 2, 0.33) == 1.0
    assert group_quantile(values, weights, 2, 0.6) == 9.0
    assert group_quantile(values, weights, 2, 0.9) == float("inf")
