"""What was typed is checked whole before a file of structures is opened."""

import re
from pathlib import Path

import pytest
from processes import new_python

from mlffbench.core.errors import BenchError
from mlffbench.dynamics.presets import PRESETS
from mlffbench.refine.modes import load_refiner
from mlffbench.run import suite_splits
from mlffbench.run.names import check_names
from mlffbench.run.request import (
    AnyRequest,
    CurveRequest,
    Request,
    SimulationRequest,
    resolve,
)
from mlffbench.run.settings import check_settings, parameters_of


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make opening any file of structures a failure of the test."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a file was opened")

    monkeypatch.setattr(suite_splits, "open_source", refuse)


@pytest.mark.usefixtures("closed")
@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("role: train", "role: trian", "'trian', expected 'train', 'id_val'"),
        ("file: ood.xyz", "control: nowhere, file: ood.xyz", "the control 'nowhere'"),
        (", shift: {kind: elements, rule: has N}", "", "and only they, state a shift"),
        ("name: id, role: id_test", "name: test, role: id_test", "not be called 'test'"),
        ("{name: ood,", "{name: id, role: id_test, file: a.xyz}\n  - {name: ood,",
         "split 'id' appears twice with role 'id_test'"),
        ("models: [zero]", "models: [zeroo]", "Did you mean 'zero'"),
        ("models: [zero]", "models: [zero]\nmodes: [rrr]", "unknown mode 'rrr'"),
        ("models: [zero]", "models: [zero]\nsettings: {rr: {radius: 3}}",
         "mode 'rr' has no setting 'radius' (did you mean 'radii'?); its settings: "),
        ("models: [zero]", "modles: [zero]",
         'is not legal: has no "models"; has "modles" in line '),
        ("models: [zero]", "modles: [zero]",
         ', which is not a key (did you mean "models"?)'),
        ("version: 1", "version: one", "in line 3 is 'one', expected a whole number"),
        ("version: 1", "version: 0", "expected at least 1"),
        ("models: [zero]", "models: []", "is empty, expected at least one"),
        ("models: [zero]", "models: [zero]\nsettings: {rr: {gate: [1]}}",
         "is a list, expected text or a whole number or a number or true or false"),
        ("models: [zero]", "models: [zero]\ndataset: mini",
         "give either 'dataset' or 'splits'"),
        ("summary: three", "summary three", "line 4"),
        ("file: ood.xyz", "file: gone.xyz", "gone.xyz does not exist; check the path"),
    ],
)  # fmt: skip
def test_a_broken_suite_is_told_before_a_file_is_opened(
    suite_file: Path, old: str, new: str, sentence: str
) -> None:
    text = suite_file.read_text()
    assert old in text
    suite_file.write_text(text.replace(old, new))
    with pytest.raises(BenchError, match=re.escape(sentence)):
        resolve(Request(suite=str(suite_file)))


@pytest.mark.usefixtures("closed")
@pytest.mark.parametrize(
    ("request_of", "values", "sentence"),
    [
        (Request, {"half": "val"}, "has no split in its val half"),
        (Request, {"models": ("zeroo",)}, "Did you mean 'zero'"),
        (Request, {"modes": ("baslin",)}, "Did you mean 'baseline'"),
        (Request, {"settings": {"rr": {"n_radii": 4}}}, "mode 'rr', which is not run"),
        (Request, {"modes": ("ttt",), "settings": {"ttt": {"steps": 0}}},
         "steps and batch must be at least 1"),
        (Request, {"settings": {"baseline": {"steps": 1}}},
         "mode 'baseline' has no setting 'steps'; it has none"),
        (SimulationRequest, {"preset": PRESETS["quick"], "splits": ("odd",)},
         "no split 'odd' to simulate; it has: id, ood"),
        (CurveRequest, {"splits": ("odd",)}, "has no OOD split 'odd'"),
        (CurveRequest, {"modes": ("rr",)}, "leaves no weights to fine-tune from"),
        (CurveRequest, {"sizes": (-1,)}, "at -1 labels"),
        (CurveRequest, {"sizes": ()}, "give --sizes"),
    ],
)  # fmt: skip
def test_a_wrong_request_is_told_before_a_file_is_opened(
    suite_file: Path,
    request_of: type[AnyRequest],
    values: dict[str, object],
    sentence: str,
) -> None:
    with pytest.raises(BenchError, match=re.escape(sentence)):
        resolve(request_of(suite=str(suite_file), **values))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("mode", "name", "value", "expected"),
    [
        ("ttt", "steps", "abc", "'abc', expected a whole number; its settings: prior='g"),
        ("ttt", "steps", True, "True, expected a whole number"),
        ("ttt", "learning_rate", "fast", "'fast', expected a number"),
        ("ttt", "prior", 3, "3, expected text"),
        ("rr", "smallest", "3 Å", "'3 Å', expected a number"),
        ("rr", "gate", "nope", "'nope', expected 'training' or 'off'; its settings"),
        ("ttt", "unit", 3, "3, expected 'structure' or 'group' or 'split'"),
    ],
)
def test_a_value_of_another_type_says_which_is_expected(
    mode: str, name: str, value: str | int, expected: str
) -> None:
    sentence = f"setting {name!r} of mode {mode!r} is {expected}"
    with pytest.raises(BenchError, match=re.escape(sentence)):
        check_settings(mode, {name: value})


def test_values_of_the_right_type_pass() -> None:
    check_settings("ttt", {"steps": 3, "learning_rate": 1, "unit": "split"})
    check_settings("rr", {"radii": 3, "criterion": "quantile"})
    check_settings("rr", {"radii": "3.0,3.5"})


def test_what_the_source_says_is_what_the_signature_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from mlffbench.refine.catalog import REFINERS
    from mlffbench.run import settings

    for mode in REFINERS.names():
        module, _, name = REFINERS.entry(mode).target.partition(":")
        read = settings._read(module, name)
        with monkeypatch.context() as patch:
            patch.setattr(settings, "_read", lambda *_: None)
            inspected = parameters_of(mode)
        assert read is not None
        assert inspected is not None
        for said in ("default", "choices", "about"):
            assert {n: getattr(p, said) for n, p in read.items()} == {
                n: getattr(p, said) for n, p in inspected.items()
            }


TYPOS = """
import sys
from mlffbench.core.errors import BenchError
from mlffbench.run.names import check_names
for suite, settings in (
    ("mini-ood", {{"ttt": {{"stepz": 3}}}}),
    ("mini-ood", {{"ttt": {{"steps": "abc"}}}}),
    ("mini-ood", {{"ttt": {{"gate": "nope"}}}}),
    ("mini_ood", {{}}),
    ({suite!r}, {{}}),
    ({gone!r}, {{}}),
    ({unknown!r}, {{}}),
):
    try:
        check_names(suite, settings=settings, modes=("ttt",))
    except BenchError as error:
        print(error)
assert not {{"torch", "ase", "pandas", "scipy", "h5py"}} & set(sys.modules)
"""


def test_typos_are_told_without_torch(suite_file: Path) -> None:
    text = suite_file.read_text()
    gone, unknown = (suite_file.with_name(name) for name in ("gone.yaml", "set.yaml"))
    gone.write_text(text.replace("file: ood.xyz", "file: gone.xyz"))
    start = text.index("splits:")
    unknown.write_text(text[:start] + "dataset: minni\nmodels: [zero]\n")
    suite_file.write_text(text.replace("models: [zero]", "modles: [zero]"))
    code = TYPOS.format(suite=str(suite_file), gone=str(gone), unknown=str(unknown))
    done = new_python("-c", code)
    assert done.returncode == 0, done.stderr
    told = done.stdout.splitlines()
    assert told[0].startswith("mode 'ttt' has no setting 'stepz' (did you mean 'steps'?)")
    assert "steps=None, " in told[0]
    for line, sentence in zip(
        told[1:],
        (
            "is 'abc', expected a whole number",
            "is 'nope', expected 'training' or 'off'",
            "Did you mean 'mini-ood'",
            'did you mean "models"?',
            "gone.xyz does not exist; check the path",
            "unknown dataset 'minni'. Did you mean 'mini'",
        ),
        strict=True,
    ):
        assert sentence in line


def test_settings_typed_go_before_those_of_the_suite(suite_file: Path) -> None:
    suite_file.write_text(
        suite_file.read_text() + "settings: {rr: {n_radii: 4, smallest: 2.0}}\n"
    )
    names = check_names(str(suite_file), modes=["rr"], settings={"rr": {"n_radii": 5}})
    assert names.settings == {"rr": (("n_radii", 5), ("smallest", 2.0))}
    assert names.models == ("zero",)


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Add modes of another package: a class, an heir without settings, a function."""
    from mlffbench.core.registry import Entry
    from mlffbench.refine.catalog import REFINERS

    (tmp_path / "far_away.py").write_text(
        """
import os
from mlffbench.refine.baseline import Baseline

HERE = os.name


class Mine(Baseline):
    def __init__(self, *, speed: float, loud: bool = False, where: str = HERE):
        if speed < 0:
            raise ValueError("too slow")


class Heir(Mine):
    pass


def anything(**settings):
    return Mine(**settings)
"""
    )
    monkeypatch.syspath_prepend(tmp_path)
    rows = {
        name: Entry(f"far_away:{name}", "of another one", package="far-away 1.0")
        for name in ("Mine", "Heir", "anything")
    }
    monkeypatch.setattr(REFINERS, "_rows", {**REFINERS.rows(), **rows})


@pytest.mark.usefixtures("outside")
def test_modes_of_other_packages_are_checked_alike() -> None:
    for mode in ("Mine", "Heir"):
        known = parameters_of(mode)
        assert known is not None
        assert {name: one.default for name, one in known.items()} == {
            "speed": "", "loud": "False", "where": "'posix'",
        }  # fmt: skip
        with pytest.raises(BenchError, match="expected true or false; its settings: s"):
            check_settings(mode, {"loud": 1})
        with pytest.raises(BenchError, match=r"no setting 'sped' .did you mean 'speed'"):
            check_settings(mode, {"sped": 1})
        check_settings(mode, {"speed": 1, "loud": True})
        with pytest.raises(BenchError, match="ValueError: too slow"):
            load_refiner(mode, {"speed": -1})
    check_settings("anything", {"sped": 1})
    with pytest.raises(BenchError, match="mode 'anything' raised TypeError"):
        load_refiner("anything", {"sped": 1})


def test_a_limit_that_thins_train_is_said(suite_file: Path) -> None:
    said = resolve(Request(suite=str(suite_file), limit=2)).warnings
    assert said[-1].startswith(
        "the limit of 2 structures is one of train too: energies are aligned on 2 of 6"
    )
    assert resolve(Request(suite=str(suite_file), limit=6)).warnings == ()
