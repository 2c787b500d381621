"""One word for one thing, whatever its number, and suggestions instead of catalogues."""

import logging
import re
from pathlib import Path

import pytest
from click.testing import Result
from processes import new_python
from typer.testing import CliRunner

from mlffbench.api.catalogues import Kind, all_rows, kind_named
from mlffbench.cli.app import app
from mlffbench.cli.shared import completion
from mlffbench.core.errors import BenchError


def invoke(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.mark.parametrize("kind", Kind)
def test_singular_and_plural_are_one_word(kind: Kind) -> None:
    assert kind_named(kind.value) is kind
    assert kind_named(kind.value.removesuffix("s").upper()) is kind


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("modles", "unknown kind 'modles'. Did you mean 'mod"),
        ("refiners", "refinements are called modes"),
        ("Suites!", "Did you mean 'suites'"),
    ],
)
def test_a_kind_that_is_none_is_told(word: str, sentence: str) -> None:
    assert sentence in str(invoke("list", word).exception)


def test_a_list_shows_one_kind() -> None:
    told = invoke("list", "mode")
    assert told.exit_code == 0
    assert told.stdout.startswith("modes")
    assert "rr+ttt" in told.stdout
    assert "suites" not in told.stdout


@pytest.mark.parametrize(
    ("name", "hint"),
    [("nosuch!!", ""), ("mini-mase", "did you mean 'mini-mace' (model)"),
     ("tttt", "did you mean 'ttt' (mode)"),
     ("mini_ood", "did you mean 'mini-ood' (suite)")],
)  # fmt: skip
def test_info_of_nothing_prints_suggestions_only(name: str, hint: str) -> None:
    told = str(invoke("info", name).exception)
    assert told.startswith(f"nothing is called {name!r}; {hint}")
    assert told.endswith("mlffbench list prints every name")
    assert len(told) < 200


def test_info_takes_a_part_as_download_does() -> None:
    told = invoke("info", "md17/aspirin").stdout
    assert "md17_aspirin.npz" in told
    assert "benzene" not in told
    assert "…" not in told
    assert "mlffbench download md17/aspirin" in told
    assert "Did you mean 'md17/aspirin'" in str(invoke("info", "md17/asprin").exception)


def test_nothing_to_verify_is_not_damage(tmp_path: Path) -> None:
    words = ("download", "md17/aspirin", "--verify-only", "--data-dir", tmp_path)
    told = str(invoke(*words).exception)
    assert told.startswith("nothing of md17/aspirin is in")
    assert told.endswith("type: mlffbench download md17/aspirin")


def test_info_lists_the_settings_of_a_mode() -> None:
    told = " ".join(invoke("info", "ttt").stdout.split())
    assert "--set ttt.NAME=VALUE" in told
    assert (
        "steps None (a whole number): Looks at a unit, or at a batch of it, at most"
        in told
    )
    assert "gate 'training' ('training' or 'off'): " in told
    assert "settings none" in " ".join(invoke("info", "baseline").stdout.split())


def test_info_of_a_metric_says_where_it_is_shown() -> None:
    told = " ".join(invoke("info", "forces_cosine").stdout.split())
    assert "in tables a column of the force table (score --wide, report)" in told


def test_plan_resolves_settings_and_dtype_and_says_what_is_thinned(
    suite_file: Path,
) -> None:
    words = ("--suite", suite_file, "--model", "zero,mini-schnet", "--limit", 2)
    told = invoke("plan", *words, "--mode", "baseline,ttt", "--set", "ttt.steps=7")
    assert told.exit_code == 0, told.exception
    text = " ".join(told.stdout.split())
    assert "settings of ttt: prior=gfn2-xtb, unit=group" in text
    assert "steps=7" in text
    assert "settings of baseline: none" in text
    assert re.search(r"mini-schnet\W+baseline\W+float32", text)
    chosen_later = re.compile("(learning_rate|optimizer)=None")
    assert "None" not in chosen_later.sub("", text)
    assert "a trial of 2 structures per split (2 of 6 of train" in text
    assert "runs/toy--limit-2/zero/baseline" in told.stdout
    helps = (" ".join(invoke(name, "--help").stdout.split()) for name in ("plan", "run"))
    assert [("as run --dry-run" in one, "The same as mlffbench plan" in one)
            for one in helps] == [(True, False), (False, True)]  # fmt: skip


BAD = """
class Bad:
    name, elements = "bad", frozenset({1, 6, 7, 8})

    def predict(self, structures):
        return structures.positionss
"""


@pytest.fixture
def trial(suite_file: Path, tmp_path: Path) -> tuple[str, ...]:
    """Return the words of a trial run of a model that raises."""
    (tmp_path / "bad.py").write_text(BAD)
    words = ("--suite", str(suite_file), "--model", f"{tmp_path}/bad.py:Bad")
    return ("run", *words, "--limit", "2", "--out", str(tmp_path / "out"))


def test_an_exception_of_a_model_has_its_line_and_the_model_one_name(
    trial: tuple[str, ...],
) -> None:
    told = invoke(*trial)
    assert told.exit_code == 1
    assert "AttributeError" in told.output
    assert "(bad.py, line 6)" in told.output
    assert "Traceback" not in told.output
    assert "'bad'" not in told.output.replace("bad.py:Bad'", "")
    assert "toy v1, test half, 2 per split: force MAE" in told.output


def test_debug_shows_the_traceback_once(
    trial: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    logger = logging.getLogger("mlffbench")
    try:
        told = invoke("--debug", *trial)
    finally:
        logger.handlers = []
        logger.setLevel(logging.NOTSET)
    text = told.output + capsys.readouterr().err
    assert text.count("Traceback (most recent call last)") == 1
    assert "return structures.positionss" in text


def words(found: list[completion.Item]) -> list[str]:
    return [word for word, _ in found]


def test_a_shell_completes_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("")
    (tmp_path / "mine.py").write_text("")
    assert words(completion.complete_suite("mini-o")) == ["mini-ood"]
    assert "mine.yaml" in words(completion.complete_suite("mi"))
    assert words(completion.complete_model("zero,mini-s")) == ["zero,mini-schnet"]
    assert "mine.py" in words(completion.complete_model("mi"))
    assert words(completion.complete_mode("rr+")) == ["rr+ttt"]
    assert "spice" in " ".join(words(completion.complete_dataset("spi")))
    assert "spice-1" in words(completion.complete_download("spice-1"))
    assert "gfn2-xtb" in words(completion.complete_prior("gfn"))
    assert completion.complete_kind("mo") == ["models", "modes"]
    every = {name for rows in all_rows().values() for name in rows}
    assert set(words(completion.complete_name(""))) == every


def test_a_broken_package_does_not_break_the_shell(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken() -> None:
        raise BenchError("a name that is taken")

    monkeypatch.setattr(completion, "all_rows", broken)
    assert completion.complete_suite("min") == []


COMPLETE = """
import os, sys
os.environ.update(_MLFFBENCH_COMPLETE="complete_bash", COMP_CWORD="3",
                  COMP_WORDS="mlffbench run --model mini-m")
sys.argv = ["mlffbench"]
from mlffbench.cli.app import app
try:
    app(prog_name="mlffbench")
except SystemExit:
    pass
heavy = {"torch", "ase", "pandas", "scipy", "h5py"} & set(sys.modules)
assert not heavy, heavy
"""


def test_completion_imports_no_torch() -> None:
    done = new_python("-c", COMPLETE)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["mini-mace", "mini-mace-scratch"]
