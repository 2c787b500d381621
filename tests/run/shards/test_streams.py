"""What is written and read piece by piece is what is written and read at once."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlffbench.core.errors import StoreError
from mlffbench.run.folder import write_arrays, write_table
from mlffbench.run.shards import table_stream as table_stream_module
from mlffbench.run.shards.npz_rows import npz_rows
from mlffbench.run.shards.npz_stream import npz_stream
from mlffbench.run.shards.table_rows import read_numbers, read_words, table_rows
from mlffbench.run.shards.table_stream import table_stream

CUTS = ([], [1], [3, 3, 10], list(range(1, 20)))


@pytest.mark.parametrize("cuts", CUTS)
def test_npz(tmp_path: Path, cuts: list[int]) -> None:
    rng = np.random.default_rng(0)
    whole = {
        "positions": rng.normal(size=(20, 3)),
        "pbc": rng.normal(size=(20, 3)) > 0,
        "numbers": rng.integers(1, 9, 20),
        "words": np.asarray(["C" * (i % 7) + "ü" * (i > 15) for i in range(20)]),
        "forces": rng.normal(size=(20, 3)).astype(np.float32),
    }
    write_arrays(tmp_path / "once.npz", whole)
    dtypes = {n: str if n == "words" else a.dtype for n, a in whole.items()}
    with npz_stream(tmp_path / "pieces.npz", tmp_path, dtypes) as stream:
        for start, stop in zip([0, *cuts], [*cuts, 20], strict=True):
            pieces = {name: array[start:stop] for name, array in whole.items()}
            words = pieces.pop("words").tolist()
            stream.append(**pieces, words=words)
    assert (tmp_path / "pieces.npz").read_bytes() == (tmp_path / "once.npz").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"once.npz", "pieces.npz"}


@pytest.mark.parametrize("cuts", CUTS)
def test_table(tmp_path: Path, cuts: list[int]) -> None:
    whole = pd.DataFrame(
        {
            "id": [f"m{i}" for i in range(20)],
            "n_atoms": np.arange(20),
            "energy": [np.nan if i % 3 else 0.5 * i for i in range(20)],
            "radius": pd.Series([None if i < 12 else float(i) for i in range(20)]),
            "changed": [np.nan if i < 8 else bool(i % 2) for i in range(20)],
            "why": [np.nan if i < 5 else "x" * i for i in range(20)],
        }
    )
    write_table(tmp_path / "once.parquet", whole)
    with table_stream(tmp_path / "pieces.parquet", whole.iloc[[0, 9, 19]]) as stream:
        for start, stop in zip([0, *cuts], [*cuts, 20], strict=True):
            stream.append(dict(whole.iloc[start:stop].dropna(axis=1, how="all")))
    written = [(tmp_path / f"{name}.parquet").read_bytes() for name in ("pieces", "once")]
    assert written[0] == written[1]


def test_a_column_without_any_value_may_come_as_missing_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    example = pd.DataFrame({"id": ["a", "b"], "lowest": [None, None]})
    numbers = pd.DataFrame({"id": ["a"], "lowest": [np.nan]})
    with table_stream(path, example) as stream:
        stream.append(dict(numbers))
        stream.append(dict(example.iloc[1:]))
    found = pd.read_parquet(path)
    assert found["id"].tolist() == ["a", "b"]
    assert found["lowest"].isna().all()


def on_a_full_disk(folder: Path) -> None:
    example = pd.DataFrame({"id": ["a"]})
    with (
        npz_stream(folder / "a.npz", folder, {"x": np.dtype(np.float64)}) as arrays,
        table_stream(folder / "a.parquet", example) as table,
    ):
        arrays.append(x=np.zeros(3))
        table.append(dict(example))
        raise OSError(28, "No space left on device")


def test_nothing_is_left_of_what_failed(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="free some space"):
        on_a_full_disk(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_rows_of_arrays(tmp_path: Path) -> None:
    path, whole = tmp_path / "a.npz", np.arange(60.0).reshape(20, 3)
    words = np.asarray(["C" * (i % 7) for i in range(20)])
    write_arrays(path, {"x": whole, "words": words, "one": np.asarray(3.0)})
    with npz_rows(path) as rows:
        assert rows.length("x") == 20
        for start, stop in ((0, 20), (3, 5), (19, 20), (4, 4), (0, 2)):
            assert np.array_equal(rows.read("x", start, stop), whole[start:stop])
            assert rows.read("words", start, stop).tolist() == words[start:stop].tolist()
        with pytest.raises(EOFError):
            rows.read("x", 18, 25)
        with pytest.raises(ValueError, match="no rows"):
            rows.length("one")
        with pytest.raises(KeyError):
            rows.length("y")


@pytest.mark.parametrize("cuts", CUTS)
def test_rows_of_a_table(
    tmp_path: Path, cuts: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_stream_module, "ROWS_PER_GROUP", 3)
    path = tmp_path / "a.parquet"
    whole = pd.DataFrame({"id": [f"m{i % 6}" for i in range(20)], "n": np.arange(20)})
    with table_stream(path, whole) as stream:
        for start in range(0, 20, 4):
            stream.append(dict(whole[start : start + 4]))
    with table_rows(path) as rows:
        assert len(rows.ends) == 5
        for start, stop in zip([0, *cuts], [*cuts, 20], strict=True):
            expected = whole[start:stop].reset_index(drop=True)
            pd.testing.assert_frame_equal(rows.read(start, stop), expected)
    assert read_numbers(path, "n").tolist() == whole["n"].tolist()
    codes, names = read_words(path, "id")
    assert [names[code] for code in codes] == whole["id"].tolist()
