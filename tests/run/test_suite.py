from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mlffbench.core.errors import BenchError, DataError, SuiteError, UnknownNameError
from mlffbench.run.catalog import suite_rows, suites_folder
from mlffbench.run.request import Request, resolve
from mlffbench.run.suite import load_suite, needs, parse_suite
from mlffbench.run.suite_splits import load_splits

LEGAL = {
    "name": "toy",
    "version": 1,
    "summary": "a suite",
    "dataset": "mini",
    "models": ["zero"],
}


@pytest.mark.parametrize("name", suite_rows())
def test_every_shipped_suite_loads_and_plans(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFFBENCH_DATA", str(tmp_path))
    if needs(name):  # its splits have tests of their own, on files of the true layout
        with pytest.raises(DataError, match="mlffbench download"):
            resolve(Request(suite=name))
        return
    campaign = resolve(Request(suite=name))
    assert campaign.suite.name == name
    assert campaign.jobs
    roles = {split.role for split in campaign.splits}
    assert {"train", "id_test", "ood_test"} <= roles


def test_every_suite_file_says_in_its_first_line_what_it_is() -> None:
    for path in suites_folder().glob("*.yaml"):
        assert path.read_text(encoding="utf-8").startswith("# ")


def test_a_size_is_for_datasets_that_come_in_sizes() -> None:
    suite = parse_suite(yaml.safe_dump({**LEGAL, "size": "10k"}), "toy.yaml")
    with pytest.raises(SuiteError, match="comes in one size; remove 'size'"):
        load_splits(suite, Path())
    with pytest.raises(SuiteError, match="is 'much', expected 10k, 500 or full"):
        parse_suite(yaml.safe_dump({**LEGAL, "size": "much"}), "toy.yaml")


def test_unknown_suite_gets_a_suggestion() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'mini-ood'"):
        load_suite("mini_ood")


def test_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match=r"cannot read the suite .*nope\.yaml"):
        load_suite(str(tmp_path / "nope.yaml"))


def test_unknown_key_is_named() -> None:
    with pytest.raises(SuiteError, match="modles"):
        parse_suite(yaml.safe_dump({**LEGAL, "modles": ["zero"]}), "x.yaml")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"version": 0}, "version"),
        ({"name": "../up"}, "name"),
        ({"models": []}, "models"),
        ({"dataset": None}, "dataset"),
        ({"splits": [{"name": "a", "role": "test", "file": "a.xyz"}]}, "role"),
        ({"settings": {"ttt": {"steps": [1]}}}, "steps"),
    ],
)
def test_illegal_value_is_named(change: dict[str, object], named: str) -> None:
    with pytest.raises(SuiteError, match=named):
        parse_suite(yaml.safe_dump({**LEGAL, **change}), "x.yaml")


def test_missing_data_file_is_named(suite_file: Path) -> None:
    (suite_file.parent / "ood.xyz").unlink()
    with pytest.raises(DataError, match=r"ood\.xyz"):
        load_splits(*load_suite(str(suite_file)))


def test_a_suite_has_something_to_evaluate(tmp_path: Path) -> None:
    splits = [{"name": "a", "role": "train", "file": "a.xyz"}]
    path = tmp_path / "toy.yaml"
    path.write_text(yaml.safe_dump({**LEGAL, "dataset": None, "splits": splits}))
    with pytest.raises(SuiteError, match="nothing to evaluate; add one with role"):
        load_suite(str(path))


def test_trained_molecule_in_a_test_split_is_a_leak(suite_file: Path) -> None:
    text = suite_file.read_text().replace("file: id.xyz", "file: train.xyz")
    suite_file.write_text(text)
    with pytest.raises(DataError, match="in train"):
        load_splits(*load_suite(str(suite_file)))


def test_control_must_be_a_split(suite_file: Path) -> None:
    text = suite_file.read_text().replace("file: ood.xyz", "control: no, file: ood.xyz")
    suite_file.write_text(text.replace("control: no", "control: elsewhere"))
    with pytest.raises(SuiteError, match="elsewhere"):
        load_splits(*load_suite(str(suite_file)))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text(max_size=200))
def test_any_text_is_a_suite_or_one_sentence(text: str) -> None:
    try:
        parse_suite(text, "x.yaml")
    except BenchError as error:
        assert "x.yaml" in str(error)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.dictionaries(st.sampled_from([*LEGAL, "splits", "modes", "other"]), JSON))
def test_any_mapping_is_a_suite_or_one_sentence(changes: dict[str, object]) -> None:
    try:
        parse_suite(yaml.safe_dump({**LEGAL, **changes}, allow_unicode=True), "x.yaml")
    except SuiteError as error:
        assert "x.yaml" in str(error)
