"""Charge and spin of files with one group per molecule, and their repeated frames."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from small_files import edited, write_spice

from mlffbench.core.errors import DataError
from mlffbench.core.split import Source
from mlffbench.datasets.files.open import open_source
from mlffbench.datasets.files.spice_layout import SpiceFile
from mlffbench.datasets.files.walk import Walkable

N_CONFORMERS = 4


def ani(path: Path) -> Path:
    """Write the hydroxyl radical in ANI-1x's layout, of which four conformers."""
    rng = np.random.default_rng(1)
    with h5py.File(path, "w") as file:
        group = file.create_group("OH")
        group["atomic_numbers"] = np.array([8, 1], dtype=np.int8)
        group["coordinates"] = rng.normal(size=(N_CONFORMERS, 2, 3))
        group["wb97x_dz.energy"] = rng.normal(size=N_CONFORMERS)
        group["wb97x_dz.forces"] = rng.normal(size=(N_CONFORMERS, 2, 3))
    return path


def spice(path: Path) -> Path:
    return write_spice(path)


def put(name: str, value: Any, group: str) -> Callable[[h5py.File], object]:
    def how(file: h5py.File) -> None:
        file[group][name] = value

    return how


def state_of(source: Source, key: str) -> tuple[int, int]:
    record = list(source.index.keys).index(key)
    assert isinstance(source, Walkable)
    (piece,) = source.walk(record, record + 1)
    state = int(source.index.charge[record]), int(source.index.multiplicity[record])
    assert (piece.charge, piece.multiplicity) == state
    return state


@pytest.mark.parametrize(
    ("name", "value", "state"),
    [
        ("charge", -1, (-1, 1)),
        ("total_charge", np.full((N_CONFORMERS, 1), -1.0), (-1, 1)),
        ("Charge", np.array([b"-1"]), (-1, 1)),
        ("formal_charges", np.array([-1, 0]), (-1, 1)),
        ("multiplicity", np.full(N_CONFORMERS, 4), (0, 4)),
        ("spin_multiplicities", np.full((N_CONFORMERS, 1), 2), (0, 2)),
        ("cm5_charges", np.full((N_CONFORMERS, 2), 0.3), (0, 2)),
    ],
)
def test_a_dataset_of_a_group_is_obeyed(
    tmp_path: Path, name: str, value: Any, state: tuple[int, int]
) -> None:
    path = edited(ani(tmp_path / "a.h5"), put(name, value, "OH"))
    assert state_of(open_source(path), "OH") == state


def test_an_attribute_of_a_group_is_obeyed(tmp_path: Path) -> None:
    def how(file: h5py.File) -> None:
        file["OH"].attrs["charge"] = 1
        file["OH"].attrs["multiplicity"] = "3"

    path = edited(ani(tmp_path / "a.h5"), how)
    assert state_of(open_source(path), "OH") == (1, 3)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("charge", np.array([0, 0, 0, -1]), "says -1, 0 of 4 conformers; expected one"),
        ("multiplicity", 1, "multiplicity 1, impossible for 9 electrons"),
        ("charge_of_ion", 1, "looks like charge or spin"),
        ("charge", 0.5, "expected a whole number"),
    ],
)
def test_a_statement_that_cannot_be_is_refused(
    tmp_path: Path, name: str, value: Any, sentence: str
) -> None:
    path = edited(ani(tmp_path / "a.h5"), put(name, value, "OH"))
    with pytest.raises(DataError, match=f"group 'OH'.*{sentence}"):
        open_source(path).index  # noqa: B018


@pytest.mark.parametrize(
    ("name", "value", "state"),
    [
        ("charge", -1, (-1, 1)),
        ("multiplicity", [3], (-1, 3)),
        ("mbis_charges", np.zeros((N_CONFORMERS, 2, 1)), (-1, 1)),
    ],
)
def test_spice_groups_may_say_more(
    tmp_path: Path, name: str, value: Any, state: tuple[int, int]
) -> None:
    path = edited(spice(tmp_path / "a.h5"), put(name, value, "hydroxide"))
    assert state_of(SpiceFile(path), "hydroxide") == state


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("total_charge", "two things of its charge: total_charge is 0, the SMILES is -1"),
        ("multiplicity", r"has multiplicity 0; expected the multiplicity 2S \+ 1"),
    ],
)
def test_a_disagreement_with_the_smiles_is_refused(
    tmp_path: Path, name: str, sentence: str
) -> None:
    path = edited(spice(tmp_path / "a.h5"), put(name, 0, "hydroxide"))
    with pytest.raises(DataError, match=sentence):
        SpiceFile(path).index  # noqa: B018


@pytest.mark.parametrize(
    ("make", "positions"),
    [(ani, "OH/coordinates"), (spice, "water/conformations")],
)
def test_repeated_conformers_and_guesses_are_said(
    tmp_path: Path, make: Callable[[Path], Path], positions: str
) -> None:
    def repeat(file: h5py.File) -> None:
        file[positions][2] = file[positions][0]
        file[positions][3] = file[positions][0]

    remarks = open_source(edited(make(tmp_path / "a.h5"), repeat)).index.remarks
    assert remarks[0].startswith("2 of the ")
    assert "repeat an earlier one atom by atom" in remarks[0]
    guesses = [remark for remark in remarks if "odd number of electrons" in remark]
    assert len(guesses) == (make is ani)
