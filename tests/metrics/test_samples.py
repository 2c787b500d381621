import numpy as np
import pytest

from mlffbench.core.errors import DataError
from mlffbench.metrics.samples import Samples


def array(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64)


def test_what_was_not_evaluated_is_nan_with_weight_zero():
    given = Samples.of(
        array(1, 2, 3), weight=array(3, 6, 9), evaluated=np.array([True, False, True])
    )
    np.testing.assert_array_equal(given.value, [1, np.nan, 3])
    np.testing.assert_array_equal(given.weight, [3, 0, 9])
    assert given.evaluated.tolist() == [True, False, True]


def test_where_only_takes_away():
    given = Samples(array(1, np.nan, 3), array(1, 0, 1))
    kept = given.where(np.array([False, True, True]))
    np.testing.assert_array_equal(kept.value, [np.nan, np.nan, 3])
    np.testing.assert_array_equal(kept.weight, [0, 0, 1])
    with pytest.raises(DataError, match="2 structures to keep among samples of 3"):
        given.where(np.array([True, False]))


@pytest.mark.parametrize(
    ("value", "weight", "message"),
    [
        (array(1, 2), array(1), "one value and one weight"),
        (array(1).reshape(1, 1), array(1).reshape(1, 1), "one value and one weight"),
        (array(1), array(-1), "not negative"),
        (array(1), array(np.nan), "finite"),
        (array(0, np.nan), array(1, 3), "structure 1 is nan"),
        (array(np.inf), array(1), "structure 0 is inf"),
        (array(0.0), array(0.0), "must be NaN where the weight is 0"),
    ],
)
def test_contradictions_are_refused(value, weight, message):
    with pytest.raises(DataError, match=message):
        Samples(value, weight)
