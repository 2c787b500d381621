"""The names of the public API: complete, sorted, documented, lazy, and working."""

import doctest
import importlib
import inspect
import math
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from processes import new_python

import mlffbench

CALLABLES = sorted(set(mlffbench.__all__) - {"__version__"})
FUNCTIONS = [name for name in CALLABLES if name[0].islower()]
PACKAGES = {path.parent.name for path in Path(mlffbench.__file__).parent.glob("*/*.py")}


def members(kind: type) -> dict[str, object]:
    """Return the public members that a class defines itself."""
    return {n: m for n, m in vars(kind).items() if not n.startswith("_") and callable(m)}


def test_the_names_are_complete_and_sorted() -> None:
    # as ruff sorts: classes, then what is in lower case
    assert list(mlffbench.__all__) == sorted(mlffbench.__all__)
    assert dir(mlffbench) == sorted(mlffbench.__all__)
    assert set(mlffbench._HOMES) == set(CALLABLES)


def test_no_name_is_that_of_a_package() -> None:
    assert not PACKAGES & set(mlffbench.__all__)


def test_type_checkers_see_every_name_where_it_lives() -> None:
    source = inspect.getsource(mlffbench)
    for name, home in mlffbench._HOMES.items():
        lines = [line for line in source.splitlines() if f"from {home} import" in line]
        assert any(name in line for line in lines), name


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'screen'"):
        _ = mlffbench.screen  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", CALLABLES)
def test_every_name_is_documented(name: str) -> None:
    thing = getattr(mlffbench, name)
    assert inspect.getdoc(thing)
    if inspect.isclass(thing):
        for member in members(thing).values():
            assert inspect.getdoc(member), f"{name}.{member}"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_says_what_it_takes_returns_and_raises(name: str) -> None:
    function = getattr(mlffbench, name)
    text = inspect.getdoc(function) or ""
    for parameter in inspect.signature(function).parameters:
        assert f"{parameter}: " in text, parameter
    assert "Raises:" in text
    assert "Returns:" in text or text.startswith("Return ")


def test_the_examples_of_the_docstrings_work() -> None:
    for module in sorted({mlffbench._HOMES[name] for name in FUNCTIONS}):
        found = doctest.testmod(importlib.import_module(module))
        assert found.failed == 0, module


def test_importing_loads_nothing_heavy() -> None:
    code = (
        "import sys, mlffbench; dir(mlffbench); "
        "print({'torch', 'pandas', 'numpy', 'ase'} & set(sys.modules))"
    )
    assert new_python("-c", code).stdout.strip() == "set()"


def test_structures_and_labels_of_a_split_belong_together() -> None:
    source = "mini-ood:ood_elements"
    structures = mlffbench.load_structures(source, limit=4, seed=1)
    labels = mlffbench.load_labels(source, limit=4, seed=1)
    assert structures.n_systems == len(labels.energy) == 4
    assert len(structures.numbers) == len(labels.forces)
    again = mlffbench.load_structures(source, limit=4, seed=1)
    assert again.ids == structures.ids
    prediction = mlffbench.load_model("zero", device="cpu").predict(structures)
    assert torch.isfinite(prediction.energy).all()


def test_a_file_without_forces_has_structures_and_no_labels(tmp_path: Path) -> None:
    path = tmp_path / "bare.xyz"
    path.write_text("1\n\nH 0 0 0\n")
    assert mlffbench.load_structures(str(path)).n_systems == 1
    with pytest.raises(mlffbench.BenchError, match="has no reference forces"):
        mlffbench.load_labels(str(path))


def test_names_and_facts() -> None:
    assert "mini-ood" in mlffbench.list_names("suites")
    assert set(mlffbench.list_names("priors")) <= set(mlffbench.list_names("models"))
    facts = mlffbench.info("gfn2-xtb")
    assert list(facts.columns) == ["kind", "fact", "value"]
    assert set(facts["kind"]) == {"models", "priors"}
    with pytest.raises(mlffbench.BenchError, match="unknown kind 'modle'"):
        mlffbench.list_names("modle")
    with pytest.raises(mlffbench.BenchError, match=r"did you mean 'ani-1x' \(.*model"):
        mlffbench.info("ani1x")


@pytest.fixture(scope="module")
def results(
    shared_suite_file: Path, shared_springs: str, tmp_path_factory: pytest.TempPathFactory
) -> mlffbench.Results:
    """Return two models on the small suite; nothing fails."""
    out = tmp_path_factory.mktemp("runs")
    models = ["zero", shared_springs]
    return mlffbench.run_suite(
        str(shared_suite_file), models=models, out=out, device="cpu", diagnose=False
    )


def test_a_run_gives_frames(results: mlffbench.Results) -> None:
    assert results.faults == results.notes == ()
    metrics = results.metrics
    chosen = metrics.query("split == 'id' and model == 'zero' and metric == 'forces_mae'")
    (row,) = chosen.to_dict("records")
    assert row["lowest"] <= row["value"] <= row["highest"]
    assert math.isnan(row["low"])  # three molecules have a range and no interval
    assert (row["unit"], row["n"], row["n_molecules"]) == ("eV/Å", 12, 3)
    structures = results.structures.query("split == 'id' and model == 'zero'")
    # every molecule counts by its atoms in the pooled error
    pooled = (structures["forces_mae"] * structures["n_atoms"]).sum()
    assert pooled / structures["n_atoms"].sum() == pytest.approx(row["value"])
    assert set(results.gaps["against"]) == {"id"}
    assert results.comparisons.empty
    assert list(results.comparisons.columns) == list(results.gaps.columns)


def test_what_is_missing_is_nan_and_counted(results: mlffbench.Results) -> None:
    springs = results.structures.query("split == 'ood' and model != 'zero'")
    skipped = springs["status"] == "skipped"
    assert skipped.sum() == 3  # ammonia: the model has no N
    assert springs["forces_mae"].isna().tolist() == skipped.tolist()
    (count,) = results.counts.query("split == 'ood' and model != 'zero'").to_dict(
        "records"
    )
    assert (count["evaluated"], count["skipped"]) == (6, 3)
    assert "element not supported: N" in count["reasons"]


def test_results_are_read_back(results: mlffbench.Results) -> None:
    again = mlffbench.read_results(results.folders[0].parents[2])
    pd.testing.assert_frame_equal(again.metrics, results.metrics)
    pd.testing.assert_frame_equal(again.structures, results.structures)
    assert mlffbench.read_results(results.folders).folders == results.folders


def test_two_models_are_compared_on_what_both_evaluated(
    results: mlffbench.Results,
) -> None:
    frame = mlffbench.compare(results.folders[1], results.folders[0])
    (row,) = frame.query("split == 'ood' and metric == 'forces_mae'").to_dict("records")
    both = results.structures.query("split == 'ood' and id != ''")
    there = both.pivot_table(index="id", columns="run", values="forces_mae").dropna()
    assert row["n"] == len(there) == 6
    assert row["against"] == str(results.folders[0])
    assert row["verdict"] == "cannot be judged"  # three molecules
    assert math.isnan(row["ratio_low"])
    assert (row["difference"] > 0) == (row["ratio"] > 1)
    same = mlffbench.compare(results.folders[0], results.folders[0])
    assert set(same["verdict"]) <= {"no difference", "cannot be judged"}


def test_where_no_run_is_there_is_advice(results: mlffbench.Results) -> None:
    for pair in (("runs/x", results.folders[0]), (results.folders[0], "runs/x")):
        with pytest.raises(mlffbench.BenchError, match="runs/x holds no run; give one"):
            mlffbench.compare(*pair)
    with pytest.raises(mlffbench.BenchError, match="read_results got no folder"):
        mlffbench.read_results([])
    for name, sentence in (
        ("mini-odd:ood_elements", "unknown suite or dataset 'mini-odd'. Did you mean 'm"),
        ("mini-ood:ood_elemnts", "ood_elements/test"),
        ("mini-ood", "mlffbench info mini-ood lists its splits"),
    ):
        with pytest.raises(mlffbench.BenchError, match=sentence):
            mlffbench.load_structures(name)


def test_an_empty_frame_is_of_the_same_types(results: mlffbench.Results) -> None:
    empty = replace(results, inventory=replace(results.inventory, runs=()))
    for name in ("metrics", "comparisons", "gaps", "counts"):
        full, none = getattr(results, name), getattr(empty, name)
        assert none.empty
        filled = full.dropna(axis="columns", how="all").dtypes
        assert (none.dtypes[filled.index] == filled).all()
        assert list(none.columns) == list(full.columns)
    # these runs are baselines alone: nothing is compared with them
    assert results.comparisons.empty
    assert not results.gaps.empty
    told = results.gaps.dropna(axis="columns", how="all").dtypes
    assert (results.comparisons.dtypes[told.index] == told).all()


def test_runs_of_other_structures_are_not_compared(
    results: mlffbench.Results, shared_suite_file: Path, tmp_path: Path
) -> None:
    few = mlffbench.run_suite(
        str(shared_suite_file), models="zero", limit=2, out=tmp_path, diagnose=False
    )
    with pytest.raises(mlffbench.BenchError, match="saw no split of the same structures"):
        mlffbench.compare(results.folders[0], few.folders[0])


def test_a_report_and_a_notebook(results: mlffbench.Results, tmp_path: Path) -> None:
    for suffix, start in ((".html", "<!doctype html"), (".md", "# "), (".csv", "suite,")):
        path = results.report(tmp_path / f"report{suffix}")
        assert path.read_text(encoding="utf-8").lower().startswith(start)
    with pytest.raises(mlffbench.BenchError, match=r"suffix '\.pdf'; expected \.html"):
        results.report(tmp_path / "report.pdf")
    with pytest.raises(mlffbench.BenchError, match="units='eV': expected 'meV' or"):
        results.report(tmp_path / "report.md", units="eV")  # type: ignore[arg-type]
    assert not (tmp_path / "report.md.tmp").exists()
    assert "<table>" in results._repr_html_()
    assert "zero baseline" in repr(results)


def test_one_model_that_fails_does_not_stop_the_others(
    shared_suite_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "none.py").write_text("import nowhere_at_all")
    found = mlffbench.run_suite(
        str(shared_suite_file),
        models=("zero", f"{tmp_path}/none.py:Model"),
        out=tmp_path,
        diagnose=False,
    )
    assert len(found.folders) == len(found.faults) == 1
    assert "cannot be imported" in found.faults[0]
    assert "cannot be imported" in found._repr_html_()
    with pytest.raises(mlffbench.BenchError, match="cannot be imported"):
        mlffbench.run_suite(
            str(shared_suite_file), models=f"{tmp_path}/none.py:Model", out=tmp_path
        )


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"limit": 0}, "limit=0: Input should be greater than 0"),
        ({"limit": "3"}, "limit='3': Input should be a valid integer"),
        ({"seed": -1}, "seed=-1: Input should be greater than or equal to 0"),
        ({"settings": {"baseline": 3}}, "settings.baseline=3: Input should be a valid d"),
        ({"models": ["zero", 3]}, "models.1=3: Input should be a valid string"),
        ({"batch_atoms": 0}, "batch_atoms=0: Input should be greater than 0"),
        ({"half": "train"}, "half='train': Input should be 'test' or 'val'"),
        ({"dtype": "float16"}, "dtype='float16': Input should be 'float32' or"),
        ({"models": "no_file.py:Model"}, "there is no file no_file.py"),
        ({"modes": "ttt", "settings": {"ttt": {"prior": "x"}}}, "unknown model 'x'"),
        ({"device": "gpu"}, "unknown device 'gpu'"),
        ({"modes": "ttta"}, "unknown mode 'ttta'. Did you mean 'ttt'"),
    ],
)
def test_what_is_wrong_is_told_before_anything_runs(
    options: dict[str, object], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(mlffbench.BenchError, match=sentence):
        mlffbench.run_suite("mini-ood", out=tmp_path / "runs", **options)  # type: ignore[arg-type]
    assert not (tmp_path / "runs").exists()
