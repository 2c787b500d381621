import errno
import json
import os
import shutil
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from mlffbench.core.errors import StoreError
from mlffbench.run.curve.curve_points import Point, given_up
from mlffbench.run.folder import Arrays, RunFolder
from mlffbench.run.shards import crew
from mlffbench.run.shards.claim import MOST_LOST
from mlffbench.run.shards.crew import Crew
from mlffbench.run.shards.shard_plan import Shard
from mlffbench.run.work import Progress, Silent


def shard(number: int) -> Shard:
    rows = np.array([number])
    return Shard(
        number=number,
        region=0,
        split=0,
        batches=(np.array([0]),),
        rows=rows,
        n_atoms=1,
        source="x",
    )


SHARDS = [shard(number) for number in range(30)]


class Counted(Silent):
    """Counts structures."""

    def __init__(self) -> None:
        self.n = 0

    def advance(self, n_structures: int) -> None:
        self.n += n_structures


def nothing(one: Shard, why: str) -> Arrays:
    return {"why": np.asarray(why)}


def test_two_at_once_compute_every_shard_once_and_count_all(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.parts.mkdir()
    computed: Counter[int] = Counter()

    def compute(one: Shard, progress: Progress) -> Arrays:
        computed[one.number] += 1
        progress.advance(len(one.rows))
        return {"number": np.asarray(one.number)}

    watchers = [Counted(), Counted()]
    threads = [
        threading.Thread(
            target=Crew(folder, SHARDS, compute, nothing).carry_out, args=(watcher,)
        )
        for watcher in watchers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert computed == Counter(range(30))
    assert [watcher.n for watcher in watchers] == [30, 30]
    assert {path.suffix for path in folder.parts.iterdir()} == {".npz"}


def test_what_is_kept_is_what_the_files_hold(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.parts.mkdir()
    others = {"number": np.asarray(2), "words": np.asarray(["of another"])}
    folder.write_part(2, others)
    kept: dict[int, Arrays] = {}

    def compute(one: Shard, progress: Progress) -> Arrays:
        return {"number": np.asarray(one.number), "words": np.asarray(["", "näh"])}

    crew = Crew(folder, SHARDS[:4], compute, nothing, kept=kept)
    crew.carry_out(Silent())
    assert sorted(kept) == [0, 1, 3], "what others computed is read"
    for number, arrays in kept.items():
        stored = folder.read_any_part(number)
        assert stored is not None
        assert stored.keys() == arrays.keys()
        for name, array in arrays.items():
            assert stored[name].dtype == array.dtype
            np.testing.assert_array_equal(stored[name], array)


def test_a_shard_whose_every_owner_dies_is_reported_as_failed(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.parts.mkdir()
    for death in range(MOST_LOST):
        (folder.parts / f"000000.lost-{death}").write_text(json.dumps({}))

    def compute(one: Shard, progress: Progress) -> Arrays:
        pytest.fail("it was tried often enough")

    watcher = Counted()
    Crew(folder, SHARDS[:1], compute, nothing).carry_out(watcher)
    assert watcher.n == 1
    with np.load(folder.part(0)) as part:
        assert str(part["why"]) == "its process was killed 10 times"


def test_what_cannot_be_given_up_is_told_and_tried_again_by_the_next_call(
    tmp_path: Path,
) -> None:
    folder = RunFolder(tmp_path)
    folder.parts.mkdir()
    for death in range(MOST_LOST):
        (folder.parts / f"000000.lost-{death}").write_text("{}")
    point = Point(0, "baseline", 2, 1)
    crew = Crew(folder, [point], lambda one, progress: {}, given_up)
    with pytest.raises(StoreError, match=r"2 labels, seed 1, cannot .*killed 10 times"):
        crew.carry_out(Silent())
    crew.carry_out(Silent())
    assert folder.part(0).exists()


def test_it_stops_when_the_run_is_no_longer_the_one_it_joined(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.parts.mkdir()
    computed: list[int] = []

    def compute(one: Shard, progress: Progress) -> Arrays:
        computed.append(one.number)
        return {}

    def is_wanted() -> bool:
        return len(computed) < 3

    Crew(folder, SHARDS, compute, nothing, is_wanted).carry_out(Silent())
    assert computed == [one.number for one in reversed(SHARDS)][:3]
    assert len(list(folder.parts.iterdir())) == 3


def test_a_folder_that_goes_while_a_shard_is_computed_is_no_error(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.parts.mkdir()

    def compute(one: Shard, progress: Progress) -> Arrays:
        shutil.rmtree(folder.parts)
        return {}

    Crew(folder, SHARDS, compute, nothing).carry_out(Silent())
    assert not folder.parts.exists()


def test_a_file_system_that_shows_a_part_late_costs_time_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As NFS does, whose clients keep for a while what they saw of a folder."""
    folder = RunFolder(tmp_path)
    folder.parts.mkdir()
    computed: Counter[int] = Counter()

    def compute(one: Shard, progress: Progress) -> Arrays:
        computed[one.number] += 1
        progress.advance(len(one.rows))
        return {"number": np.asarray(one.number)}

    Crew(folder, SHARDS[:5], compute, nothing).carry_out(Silent())
    stored = [folder.part(number).read_bytes() for number in range(5)]
    exists = Path.exists
    monkeypatch.setattr(Path, "exists", lambda p: exists(p) and p.suffix != ".npz")
    monkeypatch.setattr(crew, "listed", lambda path: [])
    watcher = Counted()
    Crew(folder, SHARDS, compute, nothing).carry_out(watcher)
    monkeypatch.undo()
    assert computed == Counter(list(range(30)) + list(range(5)))
    assert watcher.n == len(SHARDS)
    assert [folder.part(number).read_bytes() for number in range(5)] == stored
    assert {path.name for path in folder.parts.iterdir()} == {
        folder.part(one.number).name for one in SHARDS
    }


def test_a_disk_that_goes_is_one_sentence_and_its_shard_is_given_back(
    tmp_path: Path,
) -> None:
    folder = RunFolder(tmp_path)
    folder.parts.mkdir()

    def compute(one: Shard, progress: Progress) -> Arrays:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), "data.hdf5")

    with pytest.raises(StoreError, match=r"lost sight of .*Stale file handle"):
        Crew(folder, SHARDS, compute, nothing).carry_out(Silent())
    Crew(folder, SHARDS, lambda *_: {}, nothing).carry_out(Silent())
    assert len(list(folder.parts.iterdir())) == len(SHARDS)


def test_it_stops_when_another_has_finished_the_run(tmp_path: Path) -> None:
    Crew(RunFolder(tmp_path), SHARDS, lambda *_: {}, nothing).carry_out(Silent())
