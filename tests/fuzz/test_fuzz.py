"""Hostile and broken files: a sentence or the same data, never anything else."""

import os
from pathlib import Path

import numpy as np
import pytest
from fuzz_bases import BASES
from fuzz_campaign import BAD, Case, Outcome, cases, healthy, run_cases
from fuzz_corpus import HOSTILE, as_mutant, kept
from fuzz_mutations import STAND_INS, Mutant

from mlffbench.core.errors import DataError
from mlffbench.core.guards import caps
from mlffbench.core.guards.sizes import (
    check_array,
    check_columns,
    check_packing,
    read_text,
    shown,
    size_of,
)
from mlffbench.datasets.survey.hdf5_guard import check_hdf5

N = 300


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caps, "SURVEY_S", 1.0)


def assert_good(outcomes: list[Outcome]) -> None:
    bad = [one for one in outcomes if one.verdict in BAD]
    assert not bad, "\n".join(f"{o.verdict}: {o.case} ({o.how}) {o.told}" for o in bad)


def test_mutants_are_read_the_same_or_refused_in_a_sentence() -> None:
    wanted = cases(N)
    for name in {case.base for case in wanted}:
        healthy(name)
    outcomes = list(run_cases((case, None) for case in wanted))
    assert_good(outcomes)
    assert {one.case.partition(":")[0] for one in outcomes} == {b.name for b in BASES}
    refused = sum(one.verdict == "refused" for one in outcomes)
    assert N / 2 < refused < N


def test_what_got_through_once_does_not_again() -> None:
    wanted: list[tuple[Case, Mutant | None]] = []
    for number, (base, name, file, content) in enumerate(kept()):
        mutant = as_mutant(healthy(base)[0], {file: content}, name)
        wanted.append((Case(base, number), mutant))
    assert len(wanted) > 10
    assert_good(list(run_cases(wanted)))


def test_hostile_files_are_refused() -> None:
    wanted: list[tuple[Case, Mutant | None]] = []
    for number, (what, (base, remake)) in enumerate(HOSTILE.items()):
        files = healthy(base)[0]
        wanted.append((Case(base, number), as_mutant(files, remake(files), what)))
    outcomes = list(run_cases(wanted))
    assert_good(outcomes)
    read = [one.how for one in outcomes if one.verdict != "refused"]
    assert read == ["a group in itself"]  # harmless: each group is looked at once


def test_what_is_no_file_is_refused_and_does_not_block() -> None:
    wanted: list[tuple[Case, Mutant | None]] = []
    for base in BASES:
        files = healthy(base.name)[0]
        for number, what in enumerate(STAND_INS):
            name = sorted(files)[number % len(files)]
            rest = {key: value for key, value in files.items() if key != name}
            mutant = Mutant(rest, {name: what}, what, is_rewritten=True, touched=name)
            wanted.append((Case(base.name, number), mutant))
    assert_good(list(run_cases(wanted)))


def test_sizes_are_compared_before_anything_is_read(tmp_path: Path) -> None:
    check_array((2, 3), 8, 48, 48, "x")
    for shape, n_bytes in (((2, 4), 48), ((-1,), 8), ((True,), 8), ((2.0,), 16)):
        with pytest.raises(DataError, match="x claims"):
            check_array(shape, 8, n_bytes, n_bytes, "x")
    with pytest.raises(DataError, match="x claims"):
        check_array((10**9, 0), 8, 0, 0, "x")
    check_packing(caps.FREE_BYTES, 1, "x")
    with pytest.raises(DataError, match="would unpack 1,000 bytes into"):
        check_packing(caps.FREE_BYTES + 1, 1_000, "x")
    check_columns("species:S:1:pos:R:3", "x")
    for claim in ("pos:R:-3", "pos:R:10001", "pos:R:٣", f"pos:R:{'9' * 99}"):
        with pytest.raises(DataError, match="cannot be parsed"):
            check_columns(claim, "x")
    assert shown("a\n" * 99).count("a") == caps.SHOWN // 2
    os.mkfifo(tmp_path / "pipe")
    for path, words in (
        (tmp_path / "pipe", "a named pipe"),
        (tmp_path, "a folder"),
        (Path(os.devnull), "a device"),
        (tmp_path / "nowhere", "does not exist"),
        (tmp_path / ("x" * 999), "not a usable path"),
    ):
        with pytest.raises(DataError, match=words):
            size_of(path)
    large = tmp_path / "large.yaml"
    with large.open("wb") as file:
        file.truncate(caps.LARGEST_TEXT + 1)
    with pytest.raises(DataError, match="expected a text of at most"):
        read_text(large)


def test_a_survey_asks_again_when_a_file_has_changed(tmp_path: Path) -> None:
    import h5py

    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["x"] = np.zeros(3)
    check_hdf5(path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match="cannot be opened as HDF5"):
        check_hdf5(path)
