"""Numbers read where they lie in an HDF5 file are those that HDF5 reads."""

import os
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_files import SEEDED, edited, replace_dataset, write_spice
from small_layouts import write_ani1x, write_modelforge, write_transition1x

from mlffbench.core.errors import DataError
from mlffbench.core.split import Source
from mlffbench.datasets.files.grouped import (
    ANI_1X,
    MODELFORGE,
    TRANSITION1X,
    GroupedFile,
)
from mlffbench.datasets.files.spice_layout import SpiceFile
from mlffbench.datasets.survey.placed import Per

FILES: dict[str, tuple[Callable[[Path], Path], Callable[[Path], SpiceFile | GroupedFile]]]
FILES = {
    "SPICE": (write_spice, SpiceFile),
    "ANI-1x": (write_ani1x, lambda path: GroupedFile(path, ANI_1X)),
    "Transition1x": (write_transition1x, lambda path: GroupedFile(path, TRANSITION1X)),
    "modelforge": (write_modelforge, lambda path: GroupedFile(path, MODELFORGE)),
}


@pytest.fixture(params=FILES)
def pair(
    request: pytest.FixtureRequest, tmp_path: Path
) -> tuple[SpiceFile | GroupedFile, SpiceFile | GroupedFile]:
    """Return a file that was walked, and the same read by HDF5 alone."""
    write, opened = FILES[request.param]
    walked = opened(write(tmp_path / "small.hdf5"))
    by_hdf5 = opened(walked.path).with_index(walked.index)
    assert walked._placed is not None
    assert len(walked._placed.columns) == 4
    assert by_hdf5._placed is None
    return walked, by_hdf5


def what_is_read(source: Source, rows: np.ndarray) -> list[object]:
    structures, labels = source.structures(rows), source.labels(rows)
    tensors = (
        *(structures.positions, structures.numbers, structures.system, structures.charge),
        *(structures.multiplicity, structures.cell, labels.energy, labels.forces),
    )
    assert all(isinstance(one, torch.Tensor) for one in tensors)
    told = [(one.dtype, one.shape, one.numpy().tobytes()) for one in tensors]
    names = (structures.ids, structures.group, structures.smiles)
    return [told, names, labels.failures, labels.source]


@SEEDED
@given(rows=st.lists(st.integers(0, 5), max_size=12))
def test_the_same_bytes_in_any_order(
    pair: tuple[SpiceFile | GroupedFile, SpiceFile | GroupedFile], rows: list[int]
) -> None:
    chosen = np.array(rows, dtype=np.int64)
    walked, by_hdf5 = pair
    assert what_is_read(walked, chosen) == what_is_read(by_hdf5, chosen)


def _packed(name: str) -> Callable[[h5py.File], object]:
    def edit(file: h5py.File) -> None:
        value, told = file[name][()], dict(file[name].attrs)
        del file[name]
        made = file.create_dataset(name, data=value, compression="gzip")
        made.attrs.update(told)

    return edit


def _of_type(name: str, dtype: str) -> Callable[[h5py.File], object]:
    def edit(file: h5py.File) -> None:
        value, told = file[name][()], dict(file[name].attrs)
        del file[name]
        file.create_dataset(name, data=value.astype(dtype)).attrs.update(told)

    return edit


@pytest.mark.parametrize(
    "edit", [_packed("methyl/conformations"), _of_type("methyl/conformations", ">f8")]
)
def test_what_is_packed_or_of_several_types_is_left_to_hdf5(
    tmp_path: Path, edit: Callable[[h5py.File], object]
) -> None:
    source = SpiceFile(edited(write_spice(tmp_path / "small.hdf5"), edit))
    rows = np.arange(source.index.n_structures)
    assert source._placed is not None
    assert "conformations" not in source._placed.columns
    assert "dft_total_gradient" in source._placed.columns
    alone = SpiceFile(source.path).with_index(source.index)
    assert what_is_read(source, rows) == what_is_read(alone, rows)


def test_a_file_that_changed_is_read_anew(tmp_path: Path) -> None:
    source = SpiceFile(write_spice(tmp_path / "small.hdf5"))
    before = source.structures(np.arange(source.index.n_structures))
    with h5py.File(source.path) as file:
        moved = file["methyl/conformations"][()] + 1
    edited(source.path, replace_dataset("methyl/conformations", moved))
    after = source.structures(np.arange(source.index.n_structures))
    assert not torch.equal(before.positions, after.positions)
    alone = SpiceFile(source.path).structures(np.arange(source.index.n_structures))
    assert torch.equal(after.positions, alone.positions)


def test_a_file_that_ends_early_is_told(tmp_path: Path) -> None:
    source = SpiceFile(write_spice(tmp_path / "small.hdf5"))
    rows = np.arange(source.index.n_structures)
    placed = source._placed
    assert placed is not None
    for _, begins in placed.columns.values():
        np.add(begins, source.path.stat().st_size, out=begins)
    with pytest.raises(DataError, match="ends early"):
        source.labels(rows)


def test_a_file_whose_time_was_put_back_is_read_anew(tmp_path: Path) -> None:
    source = SpiceFile(write_spice(tmp_path / "small.hdf5"))
    rows, wanted = np.arange(2), {"conformations": Per.VECTOR}
    content, told = source.path.read_bytes(), source.path.stat()
    index, placed = source.index, source._placed
    assert placed is not None
    assert placed.read(index, rows, wanted) is not None
    source.path.write_bytes(content)
    os.utime(source.path, ns=(told.st_atime_ns, told.st_mtime_ns))
    assert placed.read(index, rows, wanted) is None


@pytest.mark.parametrize(
    ("layout", "one", "other"),
    [("SPICE", "methyl", "water"), ("ANI-1x", "C1H4", "H2O1")],
)
def test_a_file_whose_molecules_changed_places_is_told(
    tmp_path: Path, layout: str, one: str, other: str
) -> None:
    write, opened = FILES[layout]
    source = opened(write(tmp_path / "small.hdf5"))
    rows = np.arange(source.index.n_structures)

    def swap(file: h5py.File) -> None:
        for old, new in ((one, "between"), (other, one), ("between", other)):
            file.move(old, new)

    edited(source.path, swap)
    for read in (source.structures, source.labels):
        with pytest.raises(DataError, match="changed meanwhile"):
            read(rows)


def test_places_belong_to_the_index_of_their_walk(tmp_path: Path) -> None:
    source = SpiceFile(write_spice(tmp_path / "small.hdf5"))
    other = SpiceFile(write_spice(tmp_path / "other.hdf5")).index
    assert source.index.n_structures
    assert source.with_index(other)._placed is None
    assert source._placed is not None
