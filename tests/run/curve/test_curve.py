"""Curves: labels saved on curves with known answers, and a small one end to end."""

from dataclasses import replace
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.build import molecule
from interrupted import StopsAfter
from pair_fields import GuidedStrings, prior_file

from mlffbench.core.errors import BenchError, SuiteError
from mlffbench.metrics.molecules import Molecules
from mlffbench.report.simulations_part import find_further
from mlffbench.run.curve.curve_job import CurveJob, _start
from mlffbench.run.curve.curve_score import (
    _Curve,
    labels_needed,
    labels_saved,
    score_curve,
)
from mlffbench.run.elsewhere.crew_member import CrewMember
from mlffbench.run.loop import run_campaign
from mlffbench.run.request import Campaign, CurveRequest, resolve
from mlffbench.training.finetune import FineTuning

SMALL = CurveRequest(
    suite="mini-ood",
    models=("mini-schnet",),
    splits=("ood_extreme",),
    sizes=(0, 2, 4),
    n_seeds=2,
    tuning=FineTuning(steps=2, batch=4),
)


def curve(**errors: list[float]) -> _Curve:
    """Return a curve of four molecules, all with the same errors."""
    sizes = (0, 10, 20)
    return _Curve(
        modes=tuple(errors),
        sizes=sizes,
        errors={
            (mode, size): np.full(4, value)
            for mode, values in errors.items()
            for size, value in zip(sizes, values, strict=True)
        },
        spread={},
        weight=np.ones(4),
        molecules=Molecules.of(["a", "b", "c", "d"]),
    )


@pytest.mark.parametrize(
    ("errors", "wanted", "labels"),
    [
        ([5, 3, 2], 4, 5),
        ([5, 3, 2], 3, 10),
        ([5, 3, 2], 6, 0),
        ([5, 3, 2], 1, 20),
        ([5, 6, 2], 4, 15),
    ],
)
def test_labels_needed(errors: list[float], wanted: float, labels: float) -> None:
    sizes = np.array([0.0, 10, 20])
    assert labels_needed(sizes, np.array(errors, dtype=float), wanted) == labels


def test_labels_saved_on_a_known_curve() -> None:
    saved = labels_saved(curve(baseline=[8, 6, 4], ttt=[7, 4, 3]), "ood", 0)
    by_size = {one.size: one for one in saved}
    assert by_size[10].value.value == pytest.approx(10 - 10 / 3)
    assert by_size[20].value.value == pytest.approx(10)
    # all molecules alike: the interval has no width
    assert by_size[20].value.low == pytest.approx(10)
    assert {one.note for one in saved} == {""}


def test_savings_beyond_the_curve_say_so() -> None:
    (first, second) = labels_saved(curve(baseline=[8, 6, 4], ttt=[5, 5, 5]), "ood", 0)
    assert (first.value.value, first.note) == (10, "at least: met without a label")
    assert second.value.value == 0
    assert second.note == "at most: not met with the most labels"


def test_savings_without_a_size_of_zero_do_not_claim_it() -> None:
    known = curve(baseline=[8, 6, 4], ttt=[5, 5, 5])
    later = {(mode, size + 5): e for (mode, size), e in known.errors.items()}
    first = labels_saved(replace(known, sizes=(5, 15, 25), errors=later), "ood", 0)[0]
    assert first.value.value == 0
    assert first.note == "at least: met with the fewest labels, 5"


def digest(curves: Campaign[CurveJob]) -> bytes:
    return (curves.folder(curves.jobs[0]).path / "errors.npz").read_bytes()


def test_a_curve_stopped_and_resumed_ends_the_same(tmp_path: Path) -> None:
    whole = resolve(replace(SMALL, modes=("baseline",), out=tmp_path / "whole"))
    assert run_campaign(whole).faults == []
    stopped = resolve(replace(SMALL, modes=("baseline",), out=tmp_path / "stop"))
    for points in (1, 3):
        with pytest.raises(KeyboardInterrupt):
            run_campaign(stopped, StopsAfter(points))
    folder = stopped.folder(stopped.jobs[0])
    begun = sorted(folder.parts.glob("*.npz"))
    assert begun
    begun[0].write_bytes(b"of another run")
    CrewMember(own=True).join_all([folder.path])
    assert digest(whole) == digest(stopped)
    assert not folder.parts.exists()
    records, saved = score_curve(whole.folder(whole.jobs[0]))
    assert saved == []
    assert [r.provenance["n_labels"] for r in records] == ["0", "2", "4"] * 2
    assert [r.role for r in records] == ["ood_test"] * 3 + ["id_test"] * 3
    untouched = records[0].metrics["forces_mae"]
    # the README's row of mini-schnet, baseline, on ood_extreme
    assert 1000 * untouched.value == pytest.approx(365, abs=1)
    assert untouched.n == 74
    assert "forces_mae" in records[4].paired
    score = whole.folder(whole.jobs[0])
    score.write_records(records)
    (score.path / "errors.npz").write_bytes(b"half")
    further = find_further([tmp_path / "whole"])
    assert further.curves == ()
    assert "errors.npz" in further.left_out[0].reason


def test_sizes_beyond_the_pool_leave_the_others_standing() -> None:
    curves = resolve(replace(SMALL, sizes=(0, 4, 38, 100)))
    assert curves.jobs[0].sizes == (0, 4)
    assert [fault.split(";")[0] for fault in curves.faults] == [
        "38 labels are more than the 37 of the pool",
        "100 labels are more than the 37 of the pool",
    ]
    with pytest.raises(BenchError, match="100 labels are more than the 37"):
        resolve(replace(SMALL, sizes=(100,)))
    with pytest.raises(BenchError, match="at -1 labels"):
        resolve(replace(SMALL, sizes=(-1, 5)))


def test_no_split_is_tested_on_molecules_another_is_labelled_with(
    tmp_path: Path,
) -> None:
    def write_frames(name: str, *molecules: str) -> None:
        frames = [molecule(one) for one in molecules]
        for one, atoms in zip(molecules, frames, strict=True):
            atoms.info |= {"REF_energy": 0.0, "group": one}
            atoms.arrays["REF_forces"] = np.zeros((len(atoms), 3))
        ase.io.write(tmp_path / name, frames)

    write_frames("train.xyz", "CH3OH")
    write_frames("id.xyz", "CH4")
    write_frames("water.xyz", "H2O")
    write_frames("rest.xyz", "CO2", "NH3")
    suite = tmp_path / "crossed.yaml"
    suite.write_text(
        """
name: crossed
version: 1
summary: water is labelled in one split and tested on in the other
level_of_theory: none
splits:
  - {name: train, role: train, file: train.xyz}
  - {name: id, role: id_test, file: id.xyz}
  - {name: wet, role: ood_val, file: water.xyz, shift: {kind: size, rule: any}}
  - {name: wet, role: ood_test, file: rest.xyz, shift: {kind: size, rule: any}}
  - {name: dry, role: ood_val, file: rest.xyz, shift: {kind: size, rule: any}}
  - {name: dry, role: ood_test, file: water.xyz, shift: {kind: size, rule: any}}
models: [zero]
"""
    )
    request = CurveRequest(suite=str(suite), sizes=(0, 1))
    with pytest.raises(SuiteError, match="2 molecules of the test half of 'wet' are in"):
        resolve(request)
    assert resolve(replace(request, splits=("dry",))).jobs[0].splits == ("dry",)


def test_an_unknown_split_is_told() -> None:
    with pytest.raises(SuiteError, match="has no OOD split 'id_molecules'"):
        resolve(replace(SMALL, splits=("id_molecules",)))


def test_what_cannot_be_fine_tuned_is_told(tmp_path: Path) -> None:
    curves = resolve(replace(SMALL, models=("zero",), out=tmp_path))
    (fault,) = run_campaign(curves).faults
    assert "'zero' cannot be fine-tuned here" in fault
    with pytest.raises(BenchError, match="mode 'rr' leaves no weights to fine-tune"):
        resolve(replace(SMALL, modes=("baseline", "rr"), out=tmp_path))


def test_a_prior_that_knows_none_of_the_pool_is_told(tmp_path: Path) -> None:
    curves = resolve(replace(SMALL, modes=("ttt",), sizes=(0,), out=tmp_path))
    prior = prior_file(tmp_path, 5.0, refusing="")
    job = replace(curves.jobs[0], settings=(("prior", prior),))
    with pytest.raises(BenchError, match=r"forces of no structure .*\(too long a line\)"):
        _start(curves.kind.work(job, GuidedStrings()), "ttt")


def test_labels_never_reach_the_start_of_a_curve(
    tmp_path: Path,
) -> None:
    """Without labels a ttt start is the same whatever the pool's labels say."""
    values = []
    for spoiled in (False, True):
        out = tmp_path / str(spoiled)
        curves = resolve(replace(SMALL, modes=("ttt",), sizes=(0,), out=out))
        jobs = tuple(replace(job, settings=(("steps", 3),)) for job in curves.jobs)
        curves = replace(curves, jobs=jobs)
        if spoiled:
            pool = tuple(
                replace(s, source=Unlabelled(s.source)) for s in curves.kind.pool
            )
            curves = replace(curves, kind=replace(curves.kind, pool=pool))
        assert run_campaign(curves).faults == []
        values.append(digest(curves))
    assert values[0] == values[1]


class Unlabelled:
    """A source whose labels are NaN."""

    def __init__(self, source) -> None:
        self._source = source
        self.index, self.sha256 = source.index, source.sha256
        self.level_of_theory = source.level_of_theory

    def structures(self, rows):
        return self._source.structures(rows)

    def labels(self, rows):
        labels = self._source.labels(rows)
        return replace(
            labels, energy=labels.energy * np.nan, forces=labels.forces * np.nan
        )
