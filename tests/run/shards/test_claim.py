import json
import os
from pathlib import Path

import pytest

from mlffbench.run.shards.claim import Claims, create_only

ELSEWHERE = {"machine": "another", "pid": 1, "began": "1"}


def left_behind(folder: Path, **owner: object) -> Path:
    path = folder / "000003.claim"
    assert create_only(path, json.dumps({**ELSEWHERE, **owner}).encode())
    return path


def own_machine(folder: Path) -> dict[str, object]:
    claims = Claims(folder)
    with claims.held(9) as ours:
        assert ours
        found: dict[str, object] = json.loads((folder / "000009.claim").read_text())
    return found


def interrupted(claims: Claims) -> None:
    with claims.held(3) as ours:
        assert ours
        raise KeyboardInterrupt


def test_one_of_two_holds_a_claim_until_its_block_ends(tmp_path: Path) -> None:
    one, other = Claims(tmp_path), Claims(tmp_path)
    with one.held(3) as ours, other.held(3) as theirs:
        assert ours
        assert not theirs
        assert other.alive()
    with pytest.raises(KeyboardInterrupt):
        interrupted(other)
    assert list(tmp_path.iterdir()) == []


def test_the_claim_of_a_dead_process_of_this_machine_is_taken_at_once(
    tmp_path: Path,
) -> None:
    mine = own_machine(tmp_path)
    left_behind(tmp_path, machine=mine["machine"], pid=2**22 + 1, began="5")
    claims = Claims(tmp_path)
    with claims.held(3) as ours:
        assert ours
    assert claims.lost(3) == 1
    left_behind(tmp_path, machine=mine["machine"], pid=os.getpid(), began="5")
    with claims.held(3) as ours:  # another process has the number of the dead one
        assert ours
    assert claims.lost(3) == 2


@pytest.mark.parametrize("minutes", [-30, 0, 30])
def test_a_silent_owner_elsewhere_is_dead_whatever_its_clock_says(
    tmp_path: Path, minutes: int
) -> None:
    path = left_behind(tmp_path)
    moment = path.stat().st_mtime + 60 * minutes
    os.utime(path, (moment, moment))
    claims = Claims(tmp_path, expiry_s=0.0)
    with claims.held(3) as ours:
        assert not ours  # seen for the first time
    os.utime(path, (moment + 1, moment + 1))
    with claims.held(3) as ours:
        assert not ours  # it gave a sign of life
    with claims.held(3) as ours:
        assert ours


def test_a_broken_claim_expires_too(tmp_path: Path) -> None:
    (tmp_path / "000003.claim").write_bytes(b"\xff{")
    claims = Claims(tmp_path, expiry_s=0.0)
    assert claims.alive()
    with claims.held(3) as ours:
        assert ours


def test_a_held_claim_gives_signs_of_life(tmp_path: Path) -> None:
    path = tmp_path / "000003.claim"
    with Claims(tmp_path, heartbeat_s=0.001) as claims, claims.held(3):
        os.utime(path, (1.0, 1.0))
        while path.stat().st_mtime == 1.0:
            pass
