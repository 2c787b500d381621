from pathlib import Path

import numpy as np
import pytest

from mlffbench.core.record import MetricValue, Record
from mlffbench.metrics.metric_card import MetricCard
from mlffbench.run.evaluate.evaluation_score import fit_shifts, score_run
from mlffbench.run.evaluate.open_run import OpenRun
from mlffbench.run.evaluate.stored import StoredRun
from mlffbench.run.folder import RunFolder
from mlffbench.run.loop import run_campaign
from mlffbench.run.request import Request, resolve
from mlffbench.run.simulate.simulation_score import _honest


@pytest.fixture
def folder(suite_file: Path, springs: str, tmp_path: Path) -> RunFolder:
    request = Request(suite=str(suite_file), models=(springs,), out=tmp_path / "runs")
    (found,) = run_campaign(resolve(request)).folders
    return found


def by_split(records: list[Record]) -> dict[str, Record]:
    return {record.split: record for record in records}


def test_numbers_equal_a_hand_written_loop(folder: RunFolder) -> None:
    run = StoredRun.read(folder)
    records = by_split(score_run(folder).records)
    assert set(records) == {"id", "ood"}
    for split in run.splits[1:]:
        per_structure, components, energies = [], [], []
        for i in range(split.structures.n_systems):
            atoms = (split.structures.system == i).numpy()
            predicted = split.prediction.forces.numpy()[atoms].astype(float)
            if not np.isfinite(predicted).all():
                continue
            error = np.abs(predicted - split.reference.forces.numpy()[atoms])
            components += error.ravel().tolist()
            per_structure.append(error.mean())
            delta = float(split.prediction.energy[i] - split.reference.energy[i])
            energies.append(abs(delta) / atoms.sum())
        metrics = records[split.manifest["name"]].metrics
        assert metrics["forces_mae"].value == pytest.approx(np.mean(components))
        assert metrics["forces_mae_structure"].value == pytest.approx(
            np.mean(per_structure)
        )
        assert metrics["forces_rmse"].value == pytest.approx(
            np.sqrt(np.mean(np.square(components)))
        )
        assert metrics["energy_mae_raw"].value == pytest.approx(np.mean(energies))
        assert metrics["forces_mae"].n == len(per_structure)


def test_denominators_tell_the_skipped(folder: RunFolder) -> None:
    counts = by_split(score_run(folder).records)["ood"].counts
    assert (counts.total, counts.evaluated, counts.skipped, counts.failed) == (9, 6, 3, 0)
    assert counts.reasons == {"skipped: element not supported: N": 3}


def test_gap_is_against_the_control(folder: RunFolder) -> None:
    records = by_split(score_run(folder).records)
    gap = records["ood"].gap["forces_mae"]
    ood, control = (records[n].metrics["forces_mae"].value for n in ("ood", "id"))
    assert records["ood"].control == "id"
    assert gap.difference.value == pytest.approx(ood - control)
    assert gap.ratio is not None
    assert gap.ratio.value == pytest.approx(ood / control)
    assert records["id"].gap == {}


def test_shifts_are_fitted_on_train_alone(folder: RunFolder) -> None:
    shifts = fit_shifts(OpenRun.open(folder))
    assert shifts is not None
    assert shifts.elements == (1, 6, 8)
    assert shifts.n_structures == 6
    assert shifts.rank_deficient
    notes = by_split(score_run(folder).records)["id"].notes
    assert any("1 independent compositions for 3 elements" in note for note in notes)


def test_nothing_evaluated_has_no_mean(
    suite_file: Path, springs: str, tmp_path: Path
) -> None:
    path = Path(springs.rpartition(":")[0])
    path.write_text(path.read_text().replace("{1, 6, 8}", "{1}"))
    request = Request(suite=str(suite_file), models=(springs,), out=tmp_path / "runs")
    (folder,) = run_campaign(resolve(request)).folders
    record = by_split(score_run(folder).records)["ood"]
    assert record.status == "skipped"
    assert record.metrics == {}
    assert record.gap == {}
    assert record.worst_group is None
    assert record.wall_s_per_structure is None


def test_scoring_twice_gives_the_same_records(folder: RunFolder) -> None:
    assert score_run(folder).records == score_run(folder).records
    folder.write_records(score_run(folder).records)
    assert folder.read_records() == score_run(folder).records


def test_a_mean_of_equal_times_that_rounds_down_is_a_lower_bound() -> None:
    card = MetricCard(unit="ps", better="higher", bounds=(0, 0.03))
    below = float(np.nextafter(0.03, 0))
    value = MetricValue(
        value=below, unit="ps", n=15, n_molecules=5, low=below, high=below
    )
    assert _honest("stable_time", value, card).low is None
