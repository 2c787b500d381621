from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from diagnostic_samples import shaken
from scipy.stats import spearmanr

from mlffbench.core.errors import StoreError
from mlffbench.core.labels import Labels
from mlffbench.core.structures import Structures
from mlffbench.diagnostics.catalog import DIAGNOSTICS
from mlffbench.diagnostics.diagnosis import Diagnosis
from mlffbench.diagnostics.diagnostic import Measured, Sample
from mlffbench.diagnostics.diagnostic_card import DiagnosticCard
from mlffbench.diagnostics.evidence import with_graphs
from mlffbench.diagnostics.figures import draw
from mlffbench.diagnostics.measure import Column
from mlffbench.diagnostics.ranking import Errors, rank
from mlffbench.diagnostics.study import Probe, Study, diagnose, study, table
from mlffbench.report.tables.shift_tables import (
    pair_table,
    ranking_table,
    sentences,
    shift_table,
)

TRAIN = ["CH3OH", "C2H6", "H2O", "CH4"] * 4


def halved(sample: Sample) -> Labels:
    """Return predictions that are half of the reference: errors grow with forces."""
    assert sample.reference is not None
    return replace(sample.reference, forces=sample.reference.forces / 2)


@pytest.fixture(scope="module")
def found() -> Study:
    cold = replace(shaken(["CH3OH", "C2H6", "H2O"] * 4, seed=5), name="id")
    hot = replace(shaken(["CH3OH", "H2O"] * 6, seed=6, scale=0.3), name="hot")
    new = replace(shaken(["NH3", "HCN"] * 5, seed=7), name="new")
    probes = [
        Probe(sample=cold, role="id_test"),
        Probe(sample=hot, role="ood_test", control="id"),
        Probe(sample=new, role="ood_test", control="id"),
    ]
    return study(replace(shaken(TRAIN), name="train"), probes, 3.0)


@pytest.fixture(scope="module")
def diagnosis(found: Study) -> Diagnosis:
    predictions = [halved(probe.sample) for probe in found.tests]
    return diagnose(found, predictions, model="half", mode="baseline")


def test_the_shift_that_was_made_is_the_largest(diagnosis: Diagnosis) -> None:
    hot, new = (diagnosis.largest(name, alarms=False) for name in ("hot", "new"))
    assert hot is not None
    assert hot.kind == "force_norm"
    assert new is not None
    assert new.name == "unseen_elements"
    lines = sentences(diagnosis)
    assert any(line.startswith("hot: largest shift: force norm") for line in lines)


def test_an_alarm_is_heard_only_further_out_than_training() -> None:
    """Training met once more: its nearest neighbours are itself."""
    train = replace(shaken(TRAIN), name="train")
    again = replace(train, name="again")
    found = diagnose(study(train, [Probe(sample=again)], 3.0), [None])
    nearest = {one.name: one for one in found.diagnostics}["embedding_knn"]
    difference = nearest.samples["again"].to_train
    assert difference is not None
    assert difference.effect is not None
    assert difference.effect > 0
    assert found.largest("again", alarms=True) is None
    assert sentences(found)[0] == "again: no shift was found."


def test_errors_that_follow_forces_rank_force_norms_first(
    diagnosis: Diagnosis, found: Study
) -> None:
    first = diagnosis.ranking[0]
    assert first.name == "force_norm_mean"
    assert first.needs_labels
    assert first.spearman is not None
    values = table(found, [halved(probe.sample) for probe in found.tests])
    tested = values[values["split"] != "train"]
    rho = spearmanr(tested["force_norm_mean"], tested["force_mae"]).statistic
    assert first.spearman.value == pytest.approx(rho)
    assert first.auroc_beyond_id is not None
    assert first.auroc_beyond_id.value > 0.95
    last = {one.name: one for one in diagnosis.ranking[-2:]}
    assert set(last) == {"charge", "open_shell"}  # the same for every structure
    assert {(one.spearman, one.auroc_worst) for one in last.values()} == {(None, None)}


def column(name: str, values: np.ndarray, *, distance: bool) -> Column:
    card = DiagnosticCard(label=name, distance=distance)
    return Column(name, card, Measured(values), (Measured(values),))


def test_a_distance_that_shrinks_with_the_error_misleads_and_comes_last() -> None:
    generator = np.random.default_rng(0)
    errors = generator.uniform(size=200)
    noise = generator.normal(size=200)
    columns = [
        column("far", -errors + 0.1 * noise, distance=True),
        column("few", -errors + 0.2 * noise, distance=False),
        column("noise", noise, distance=True),
        column("near", errors + 0.3 * noise, distance=True),
        column("flat", np.zeros(200), distance=True),
    ]
    groups = [f"m{place % 50}" for place in range(200)]
    pooled = Errors(values=errors, groups=groups, is_id=np.full(200, True))
    found = rank(columns, pooled, seed=0)
    assert [(row.name, row.use) for row in found] == [
        ("few", "warns"),
        ("near", "warns"),
        ("noise", "no evidence"),
        ("far", "misleads"),
        ("flat", "unknown"),
    ]
    alone = Errors(values=errors, groups=["m"] * 200, is_id=np.full(200, True))
    assert {row.use for row in rank(columns, alone, seed=0)} == {"unknown"}
    flat = found[1].spearman
    assert flat is not None
    point = flat.model_copy(update={"value": 0.2, "low": 0.2, "high": 0.2})
    assert found[1].model_copy(update={"spearman": point}).use == "unknown"
    whole = flat.model_copy(update={"value": 1.0, "low": 1.0, "high": 1.0})
    assert found[1].model_copy(update={"spearman": whole}).use == "warns"


def test_an_alarm_is_a_distance_from_training() -> None:
    rows = DIAGNOSTICS.rows().values()
    cards = [cast("DiagnosticCard", row.card) for row in rows]
    assert all(one.distance for one in cards if one.kind is None)
    assert not all(one.distance for one in cards)


def test_a_sentence_says_how_sure_it_is(diagnosis: Diagnosis) -> None:
    (hot,) = (line for line in sentences(diagnosis) if line.startswith("hot: largest"))
    assert "AUROC 1.00 [1.00, 1.00] against id" in hot.partition(";")[0]


def test_an_alarm_is_not_called_where_chance_would_do(diagnosis: Diagnosis) -> None:
    alarm = diagnosis.largest("new", alarms=True)
    assert alarm is not None
    sample = alarm.samples["new"]
    assert sample.to_control is not None
    assert sample.to_control.auroc is not None

    def heard(**ends: float | None) -> str | None:
        auroc = sample.to_control.auroc.model_copy(update=ends)  # type: ignore[union-attr]
        control = sample.to_control.model_copy(update={"auroc": auroc})  # type: ignore[union-attr]
        changed = sample.model_copy(update={"to_control": control})
        one = alarm.model_copy(update={"samples": {**alarm.samples, "new": changed}})
        found = diagnosis.model_copy(update={"diagnostics": (one,)})
        loudest = found.largest("new", alarms=True)
        return loudest and loudest.name

    assert heard(value=0.8, low=0.51, high=0.9) == alarm.name
    assert heard(value=0.8, low=0.49, high=0.9) is None
    assert heard(value=0.8, low=None, high=None) == alarm.name
    assert heard(value=0.4, low=None, high=None) is None


def test_a_structure_without_graph_is_named_and_the_labels_stay() -> None:
    train = replace(shaken(TRAIN), name="train")
    cell = Structures.build(
        [torch.zeros(1, 3).double()],
        [torch.tensor([7])],
        ids=["cell"],
        cell=torch.eye(3).double()[None],
        pbc=torch.ones(1, 3, dtype=torch.bool),
    )
    water = shaken(["H2O"]).structures
    both = Structures.concatenate([water, cell])
    test = with_graphs(Sample(name="test", structures=both), 3.0)
    found = diagnose(study(train, [Probe(sample=test)], 3.0), [None])
    told = found.samples[1]
    assert told.shift_reason == ""
    assert told.shift_labels["elements"] == 1
    assert told.shift_labels["connectivity"] == 0
    assert "force_norm" not in told.shift_labels
    told = " ".join(sentences(found))
    assert "1 of 2 structures carry connectivity is unknown (structure 'cell'" in told
    assert "2 of 2 structures carry force_norm is unknown" in told


def test_auroc_is_against_the_control_and_distance_against_training(
    diagnosis: Diagnosis,
) -> None:
    (result,) = (one for one in diagnosis.diagnostics if one.name == "force_norm_mean")
    hot = result.samples["hot"]
    assert hot.to_train is not None
    assert hot.to_train.other == "train"
    assert hot.to_control is not None
    assert hot.to_control.other == "id"
    assert hot.to_control.auroc is not None
    assert hot.to_control.auroc.value == 1
    assert hot.to_control.auroc.n == 24
    cold = result.samples["id"].to_control
    assert cold is not None
    assert cold.other == "train"
    assert result.samples["train"].to_train is None
    assert sum(hot.counts) == hot.summary.n == 12


def test_shift_labels_are_counted_per_structure(
    diagnosis: Diagnosis, found: Study
) -> None:
    counts = {sample.name: sample.shift_labels for sample in diagnosis.samples}
    assert counts["new"]["elements"] == 10
    assert counts["hot"]["force_norm"] == 12
    assert counts["id"]["elements"] == 0
    values = table(found, [None] * 3)
    labels = values.loc[values["split"] == "new", "shifts"]
    assert labels.str.contains("elements").all()
    assert values["force_mae"].isna().all()
    assert len(values) == 16 + 12 + 12 + 10


def test_without_predictions_nothing_is_ranked(found: Study) -> None:
    bare = diagnose(found, [None] * 3)
    assert bare.ranking == ()
    assert bare.worst_error is None
    assert all(one.curve == () for one in bare.diagnostics)


def test_what_is_missing_says_why(diagnosis: Diagnosis) -> None:
    reasons = {one.name: one.reason for one in diagnosis.diagnostics}
    assert reasons["prior_gap"]
    assert reasons["descriptor_knn"]
    assert not reasons["embedding_knn"]
    notes = " ".join(shift_table(diagnosis).notes)
    assert "prior_gap" in notes


def test_a_diagnosis_survives_the_disk(diagnosis: Diagnosis, tmp_path: Path) -> None:
    path = tmp_path / "diagnostics.json"
    diagnosis.write(path)
    assert Diagnosis.read(path) == diagnosis
    path.write_text(path.read_text()[:-20])
    with pytest.raises(StoreError, match="missing or broken"):
        Diagnosis.read(path)


def test_a_figure_is_a_small_png_and_always_the_same(diagnosis: Diagnosis) -> None:
    (result,) = (one for one in diagnosis.diagnostics if one.name == "embedding_knn")
    first = draw(diagnosis, result)
    assert first.startswith(b"\x89PNG")
    assert len(first) < 60_000
    assert draw(diagnosis, result) == first


def test_tables_name_every_diagnostic_that_was_measured(diagnosis: Diagnosis) -> None:
    measured = {one.name for one in diagnosis.diagnostics if one.samples}
    assert {row[0] for row in shift_table(diagnosis).rows} == measured
    assert {row[0] for row in ranking_table(diagnosis).rows} == measured
    pair = diagnosis.model_copy(update={"samples": diagnosis.samples[:2]})
    made = pair_table(pair)
    assert {row[1] for row in made.rows} == measured
    assert all(len(row) == len(made.columns) for row in made.rows)
    kinds = [row[0] == "alarm" for row in made.rows]
    assert kinds == sorted(kinds)


def test_one_seed_gives_one_diagnosis(found: Study, diagnosis: Diagnosis) -> None:
    predictions = [halved(probe.sample) for probe in found.tests]
    again = diagnose(found, predictions, model="half", mode="baseline")
    assert again == diagnosis
    assert np.isfinite(again.ranking[0].spearman.value)  # type: ignore[union-attr]
