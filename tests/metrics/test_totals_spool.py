import tempfile
from pathlib import Path

import numpy as np
import pytest

from mlffbench.core.errors import StoreError
from mlffbench.metrics import totals_spool
from mlffbench.metrics.molecules import Molecules, sum_molecules
from mlffbench.metrics.samples import Samples
from mlffbench.metrics.totals_spool import Piece


@pytest.mark.parametrize("in_memory", [1, 1 << 20])
@pytest.mark.parametrize("size", [1, 13, 100])
def test_pieces_add_up_to_the_last_bit(
    monkeypatch: pytest.MonkeyPatch, size: int, in_memory: int
) -> None:
    monkeypatch.setattr(totals_spool, "IN_MEMORY", in_memory)
    rng = np.random.default_rng(1)
    groups = [f"m{i}" for i in np.sort(rng.integers(0, 20, 90))] + ["m3", "x"] * 5
    molecules = Molecules.of(groups)
    weight = rng.integers(0, 4, 100) / 3.0
    value = np.where(weight > 0, rng.normal(size=100), np.nan)
    samples = Samples(value, weight)
    with totals_spool.totals_spool() as spool:
        for start in range(0, 100, size):
            within = slice(start, start + size)
            index = molecules.index[within]
            present, place = np.unique(index, return_inverse=True)
            elsewhere = np.delete(molecules.index, np.arange(100)[within])
            whole = ~np.isin(present, elsewhere)
            cut = Samples(value[within], weight[within])
            spool.add("column", cut, Piece(present, place, whole))
            spool.add("other", cut, Piece(present, place, whole))
        found = spool.totals("column", molecules.keys)
        assert spool.totals("nothing", molecules.keys).keys == ()
    expected = sum_molecules(samples, molecules)
    assert found.keys == expected.keys
    assert found.n == expected.n
    np.testing.assert_array_equal(found.sums, expected.sums)


def test_no_room_for_temporary_files_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(totals_spool, "IN_MEMORY", 1)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    samples, first = Samples(np.ones(1), np.ones(1)), np.zeros(1, np.int64)
    with (
        pytest.raises(StoreError, match="TMPDIR"),
        totals_spool.totals_spool() as spool,
    ):
        spool.add("column", samples, Piece(first, first, np.ones(1, np.bool_)))
