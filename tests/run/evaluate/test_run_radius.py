"""Radius refinement from the command line's request to the files on disk."""

import hashlib
import importlib.util
import json
import re
from pathlib import Path

import pytest
from interrupted import StopsAfter, kill_again_and_again, pause
from mini_suites import write_mini_suite
from processes import mlffbench

from mlffbench.core.errors import BenchError
from mlffbench.core.spectrum import SpectralReference, spectra
from mlffbench.run.evaluate.evaluation_score import score_run
from mlffbench.run.folder import RunFolder
from mlffbench.run.loop import Done, run_campaign
from mlffbench.run.request import Campaign, Request, resolve

pytest.importorskip("torch_geometric")

MODEL = '''
import copy
import torch
from mlffbench.core.graph import radius_graph
from mlffbench.core.labels import Labels


class Pull:
    """A user's model: atoms pull with 1 eV/Å at those closer than the cutoff."""

    name, elements = "pull", frozenset({1, 6, 8})
    cutoff, cutoff_scope = CUTOFF, "graph"

    def with_cutoff(self, cutoff):
        twin = copy.copy(self)
        twin.cutoff = cutoff
        return twin

    def predict(self, structures):
        PAUSE
        graph = radius_graph(structures, self.cutoff)
        vectors = graph.vectors(structures)
        lengths = vectors.norm(dim=1, keepdim=True)
        centre = graph.edges[0]
        x = structures.positions
        energy = x.new_zeros(structures.n_systems)
        energy = energy.index_add(0, structures.system[centre], lengths[:, 0] / 2)
        forces = torch.zeros_like(x).index_add(0, centre, vectors / lengths)
        return Labels(energy=energy, forces=forces, source="model:pull")
'''


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLFFBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def write_suite(folder: Path, settings: str) -> str:
    modes = "[baseline, rr]"
    return str(write_mini_suite(folder, "radii", modes=modes, settings=settings))


def write_model(folder: Path, *, cutoff: float = 2.0) -> str:
    path = folder / "pull.py"
    text = MODEL.replace("PAUSE", pause(0.2)).replace("CUTOFF", str(cutoff))
    path.write_text(text)
    return f"{path}:Pull"


def with_settings(suite_file: Path, settings: str) -> str:
    """Return the suite, changed to run rr with these settings."""
    text = suite_file.read_text()
    suite_file.write_text(f"{text}settings: {{rr: {{{settings}}}}}\n")
    return str(suite_file)


def plan(folder: Path, suite: str, out: str, **changes: object) -> Campaign:
    return resolve(Request(suite=suite, out=folder / out, **changes))  # type: ignore[arg-type]


def digest(folder: RunFolder) -> str:
    names = ("predictions.parquet", "forces.npz")
    content = b"".join((folder.path / name).read_bytes() for name in names)
    return hashlib.sha256(content).hexdigest()


def finished(done: Done) -> list[RunFolder]:
    assert done.faults == done.notes == []
    return done.folders


# --- the trained cutoff alone -----------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "packages"),
    [
        ("mini-schnet", ()),
        ("mini-mace", ("mace",)),
        ("ani-1x", ("torchani", "pkg_resources")),
    ],
)
def test_only_the_trained_cutoff_is_the_baseline_byte_for_byte(
    tmp_path: Path, model: str, packages: tuple[str, ...]
) -> None:
    for package in packages:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"needs {package}")
    # a published grid that starts above the trained cutoff is inert
    inert = "{smallest: 8.5, n_radii: 2}"
    suite = write_suite(tmp_path, f"{{rr: {{n_radii: 1}}, rr-paper: {inert}}}")
    # the paper truncates, which the envelope of ani-1x does not allow
    papers = () if model == "ani-1x" else ("rr-paper",)
    modes = ("baseline", "rr", *papers)
    request = plan(tmp_path, suite, "r", limit=2, models=(model,), modes=modes)
    baseline, *refined = finished(run_campaign(request))
    expected = (baseline.path / "forces.npz").read_bytes()
    for folder in refined:
        assert (folder.path / "forces.npz").read_bytes() == expected
        tables = baseline.read_table(), folder.read_table()
        energies = [table["energy"].to_numpy().tobytes() for table in tables]
        assert energies[0] == energies[1]
        chosen = tables[1].loc[tables[1]["radius"].notna(), "envelope"]
        assert len(chosen) > 0
        assert set(chosen) == {"trained"}


# --- interrupted ------------------------------------------------------------------------


def test_interrupted_and_continued_is_byte_identical(tmp_path: Path) -> None:
    suite = write_suite(tmp_path, "{rr: {n_radii: 3}}")
    options = {"limit": 3, "batch_atoms": 20, "modes": ("rr",)}
    [whole] = finished(run_campaign(plan(tmp_path, suite, "whole", **options)))
    for batches in (1, 3):
        with pytest.raises(KeyboardInterrupt):
            run_campaign(plan(tmp_path, suite, "cut", **options), StopsAfter(batches))
    [resumed] = finished(run_campaign(plan(tmp_path, suite, "cut", **options)))
    assert digest(resumed) == digest(whole)
    assert not resumed.parts.exists()


def test_killed_twice_is_byte_identical(suite_file: Path, tmp_path: Path) -> None:
    suite_file.write_text(
        suite_file.read_text() + "settings: {rr: {radii: '1.85,1.6,1.2'}}\n"
    )
    words = ["run", "--suite", str(suite_file), "--mode", "rr", "--no-diagnose"]
    model = write_model(tmp_path)
    words += ["--model", model, "--batch-atoms", "12"]
    kill_again_and_again(words, tmp_path / "killed", times=2)
    options = {"models": (model,), "modes": ("rr",), "batch_atoms": 12}
    killed, whole = (
        finished(run_campaign(plan(tmp_path, str(suite_file), to, **options)))[0]
        for to in ("killed", "whole")
    )
    assert digest(killed) == digest(whole)
    assert killed.read_table()["graph_changed"].dropna().any()


# --- a model of the user's --------------------------------------------------------------


def test_a_users_model_is_refined_with_the_training_split_as_reference(
    suite_file: Path, tmp_path: Path, cache: Path
) -> None:
    suite = with_settings(suite_file, "radii: '1.85,1.6,1.2'")
    model = write_model(tmp_path)
    words = ["run", "--suite", suite, "--model", model, "--mode", "baseline,rr"]
    done = mlffbench(*words, "--wide", "--no-diagnose", "--out", str(tmp_path / "first"))
    assert done.returncode == 0, done.stderr
    assert "radius Å" in done.stdout
    assert "graph changed" in done.stdout
    folder = RunFolder(next((tmp_path / "first").rglob("rr/run.json")).parent)
    settings = folder.read_manifest()["mode"]["settings"]
    assert "cannot be given a prior head" in settings.pop("prior_head")
    assert settings == {
        "gate": "off",
        "criterion": "padded-l2",
        "envelope": "truncate",
        "radii": "2, 1.85, 1.6, 1.2",
        "unit": "structure",
        "prior": None,
        "reference": "6 structures of toy/train",
    }
    splits = {s.name: s for s in resolve(Request(suite=str(suite_file))).splits}
    reference = SpectralReference.of(splits["train"].structures, 2.0)
    table = folder.read_table()
    for name in ("id", "ood"):
        structures = splits[name].structures
        distances = reference.padded_l2(spectra(structures, [2.0, 1.85, 1.6, 1.2]))
        rows = table[table["split"] == name].reset_index(drop=True)
        for place, row in rows[rows["status"] == "ok"].iterrows():
            best = int(distances[:, place].argmin())  # type: ignore[call-overload]
            assert row["radius"] == [2.0, 1.85, 1.6, 1.2][best]
            assert row["padded-l2_trained"] == pytest.approx(float(distances[0, place]))  # type: ignore[index]
    [kept] = (cache / "spectra").iterdir()
    # the second run reads what the first has kept: other content gives other distances
    kept.write_text(
        json.dumps(SpectralReference.of(splits["id"].structures, 2.0).as_json())
    )
    options = {"models": (model,), "modes": ("rr",)}
    again = plan(tmp_path, str(suite_file), "second", **options)
    [second] = finished(run_campaign(again))
    distances = second.read_table()["padded-l2_trained"].dropna()
    assert not (distances == table["padded-l2_trained"].dropna()).any()
    assert len(list((cache / "spectra").iterdir())) == 1


# --- what cannot be refined -------------------------------------------------------------


def test_a_model_without_cutoff_is_one_sentence(suite_file: Path, tmp_path: Path) -> None:
    words = ["run", "--suite", str(suite_file), "--out", str(tmp_path / "r")]
    done = mlffbench(*words, "--model", "zero", "--mode", "rr")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    [sentence] = [line for line in done.stderr.splitlines() if line.startswith("error")]
    assert "model 'zero' has no graph cutoff that can be changed" in sentence


def test_a_mode_of_the_suite_is_left_out_where_it_cannot_work(
    suite_file: Path, tmp_path: Path
) -> None:
    suite_file.write_text(suite_file.read_text() + "modes: [baseline, rr]\n")
    done = run_campaign(plan(tmp_path, str(suite_file), "r"))
    assert [folder.path.name for folder in done.folders] == ["baseline"]
    assert done.faults == []
    [note] = done.notes
    assert "zero rr: model 'zero' has no graph cutoff" in note


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ("radii: '9'", "9 Å cannot be tried, give one above 0 and up to the trained 2 Å"),
        ("radii: -1", "-1 Å cannot be tried"),
        ("radii: .nan", "nan Å cannot be tried"),
        ("radii: 0", "0 Å cannot be tried"),
        ("radii: wide", "'wide' must be numbers in Å"),
        ("envelope: rescale", "only with truncate"),
        ("criterion: prior-guided", "needs a prior head"),
    ],
)
def test_settings_that_cannot_be_are_one_sentence(
    suite_file: Path, tmp_path: Path, settings: str, sentence: str
) -> None:
    options = {"models": (write_model(tmp_path),), "modes": ("rr",)}
    suite = with_settings(suite_file, settings)
    done = run_campaign(plan(tmp_path, suite, "r", **options))
    assert done.folders == []
    [fault] = done.faults
    assert sentence in fault


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ("n_radii: 2.5", "'n_radii' of mode 'rr' is 2.5, expected a whole number"),
        ("smallest: -3", "smallest must be above 0"),
        ("criterion: quantile, envelope: either", "do not tell envelopes apart"),
        ("speed: 3", "mode 'rr' has no setting 'speed'; its settings: criterion=None, "),
    ],
)
def test_settings_that_no_model_could_take_are_told_before_one_is_loaded(
    suite_file: Path, tmp_path: Path, settings: str, sentence: str
) -> None:
    suite = with_settings(suite_file, settings)
    with pytest.raises(BenchError, match=re.escape(sentence)):
        plan(tmp_path, suite, "r", modes=("rr",))


# --- the records ------------------------------------------------------------------------


def test_records_say_what_was_chosen(tmp_path: Path) -> None:
    suite = write_suite(tmp_path, "{rr: {n_radii: 3}}")
    campaign = plan(tmp_path, suite, "r", limit=2)
    baseline, refined = finished(run_campaign(campaign))
    assert all(record.radius is None for record in score_run(baseline).records)
    records = score_run(refined).records
    table = refined.read_table()
    for record in records:
        rows = table[(table["split"] == record.split) & (table["role"] == record.role)]
        assert record.radius is not None
        assert record.radius.n == len(rows) == 2
        assert record.radius.smallest == rows["radius"].min()
        assert record.radius.largest == rows["radius"].max()
        assert record.radius.n_refined == (rows["radius"] < 4.5).sum()
        assert record.radius.n_changed == rows["graph_changed"].astype(bool).sum()
        assert record.radius.n_changed <= record.radius.n_refined
        assert record.radius.headroom is record.radius.captured is None
        assert record.provenance["setting_criterion"] == "prior-guided"
    assert sum(record.radius.n_refined for record in records if record.radius) > 0
    train = table[table["role"] == "train"]
    assert train["radius"].isna().all()
