"""The report holds some structures at a time, and says the same."""

from pathlib import Path

import numpy as np
import pytest

from mlffbench.core.errors import StoreError
from mlffbench.report import stored_atoms, structure_errors
from mlffbench.report.document import compose
from mlffbench.report.stored_atoms import opened, rows_at, stretches_of
from mlffbench.run.folder import RunFolder


def test_a_page_is_the_same_however_much_is_held(
    folders: list[RunFolder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [tmp_path / "runs"]
    whole = compose(runs, "html").text
    monkeypatch.setattr(stored_atoms, "PIECE_ATOMS", 7)
    assert compose(runs, "html").text == whole
    monkeypatch.setattr(structure_errors, "MOST_COMPONENTS", 20)
    thinned = compose(runs, "html").text
    assert thinned != whole
    assert len(thinned) == pytest.approx(len(whole), rel=0.01)


def test_arrays_are_read_where_they_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "some.npz"
    values = np.arange(12.0).reshape(6, 2)
    np.savez(path, forces=values)
    with opened(path, ["forces"], 6) as arrays:
        last, first = rows_at(arrays, "forces", [slice(4, 6), slice(0, 1)])
    assert (last == values[4:]).all()
    assert (first == values[:1]).all()
    for names, n, told in ((["charges"], 6, "is missing"), (["forces"], 5, "do not")):
        with pytest.raises(StoreError, match=told), opened(path, names, n):
            pass
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(StoreError, match=r"some\.npz"), opened(path, ["forces"], 6):
        pass


def test_stretches_hold_every_structure_once() -> None:
    pieces = list(stretches_of(np.array([200_000, 3, 100_000, 1])))
    assert [(one.start, one.stop) for one in pieces] == [(0, 2), (2, 4)]
    assert [(one.first, one.last) for one in pieces] == [(0, 200_003), (200_003, 300_004)]
    assert np.bincount(pieces[1].owner).tolist() == [100_000, 1]
