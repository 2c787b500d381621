"""Which runs share a table, what the others are told, and which commands are shown."""

from pathlib import Path
from typing import Any

import pytest

from mlffbench.core.record import Counts, Record
from mlffbench.report.accounting import commands
from mlffbench.report.comparable import separate
from mlffbench.report.run_inventory import ReadRun
from mlffbench.run.folder import RunFolder

EVERY = "mlffbench run --suite toy"


def made(
    model: str, mode: str = "baseline", *, sha: str = "a", n: int = 40, **parts: Any
) -> ReadRun:
    """Return a run of one split, with no files behind it."""
    job = {"suite": "toy", "model": model, "seed": 0, "limit": None, **parts}
    manifest = {
        "job": job,
        "mode": {"name": mode, "unit": "structure"},
        "splits": [{"name": "id", "role": "id_test", "n_chosen": n, **parts}],
        "suite": {"models": ["zero", "springs", "mace"]},
        "command": parts.get("command", EVERY),
    }
    record = Record(
        **{"suite": "toy", "suite_version": 1, "split": "id", "role": "id_test"},
        **{"shift": None, "control": "", "model": model, "mode": mode, "seed": 0},
        **{"split_sha256": sha * 64, "status": "ok", "metrics": {}, "gap": {}},
        **{"paired": {}, "worst_group": None, "wall_s_per_structure": None},
        counts=Counts(total=n, evaluated=n, skipped=0, failed=0, reasons={}),
    )
    return ReadRun(RunFolder(Path(model) / mode), manifest, (record,))


def trial(model: str, n: int = 6) -> ReadRun:
    return made(model, sha="b", n=n, limit=n)


def test_whole_runs_open_first_and_trials_say_how_they_differ() -> None:
    runs = [trial("zero"), trial("springs"), trial("mace"), made("zero"), made("springs")]
    separated = separate(runs)
    assert [group.name for group in separated.groups] == ["toy v1", "toy v1, 6 per split"]
    assert separated.sentences == (
        "zero baseline, springs baseline and mace baseline used --limit 6: not compared "
        "with the 2 runs that saw every structure.",
    )


def test_the_larger_group_opens_first() -> None:
    runs = [made("zero", sha="b"), made("springs"), made("mace")]
    separated = separate(runs)
    names = [group.name for group in separated.groups]
    assert names == ["toy v1, structures 1 of 2", "toy v1, structures 2 of 2"]
    assert [len(group.runs) for group in separated.groups] == [2, 1]


def test_a_whole_run_beside_two_kinds_of_trials() -> None:
    other = made("mace", sha="c", n=20, limit=20)
    separated = separate([trial("zero"), trial("springs"), other])
    names = [group.name for group in separated.groups]
    assert names == ["toy v1, 6 per split", "toy v1, 20 per split"]
    (sentence,) = separated.sentences
    assert sentence == (
        "mace baseline used --limit 20: not compared with the 2 runs that used --limit 6."
    )


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ({"source_sha256": "f"}, "from another version of the data"),
        ({"rule": "hot"}, "chosen by another rule"),
        ({"seed": 3}, "drawn with the seeds 0 and 3"),
        ({"n": 7}, "40 and 7 of them"),
        ({}, "though data, rule and seed read the same"),
    ],
)
def test_other_structures_have_a_cause_and_no_hash(
    parts: dict[str, Any], why: str
) -> None:
    (sentence,) = separate([made("zero"), made("mace", sha="b", **parts)]).sentences
    assert sentence.endswith(f"split 'id' holds other structures on each side, {why}.")
    assert "aaa" not in sentence


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        (f"{EVERY} --model zero,springs", f"{EVERY} --model zero,springs"),
        (f"{EVERY} --model 'zero, springs'", f"{EVERY} --model 'zero, springs'"),
        (f"{EVERY} -m zero,mace -m springs", f"{EVERY} --model zero,springs"),
        (
            "mlffbench run --model=zero,springs,mace --suite 'my suite.yaml'",
            "mlffbench run --model zero,springs --suite 'my suite.yaml'",
        ),
        (EVERY, f"{EVERY} --model zero,springs"),
        ("results = run('toy", "results = run('toy"),
        (f"{EVERY} --model", f"{EVERY} --model zero,springs"),
    ],
)
def test_commands_name_only_the_models_of_the_report(command: str, shown: str) -> None:
    runs = [made("zero", command=command), made("springs", command=command)]
    assert commands(runs) == [shown]


def test_a_command_of_all_models_of_its_suite_stays_as_it_is() -> None:
    assert commands([made("zero"), made("springs"), made("mace")]) == [EVERY]
