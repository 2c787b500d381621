"""What a file names runs no code unless the user says so."""

import json
import re
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import save

from mlffbench.core.errors import BenchError, ModelError
from mlffbench.core.model_options import ModelOptions
from mlffbench.models.load import load_model
from mlffbench.models.model_spec import check_not_typed, runs_code, split_settings
from mlffbench.models.twoheaded.architecture import Architecture
from mlffbench.run.names import check_names

SPY = "import pathlib; pathlib.Path('{path}').touch()\nclass M: name = 'm'\n"


@pytest.mark.parametrize(
    ("spec", "runs"),
    [
        ("zero", False),
        ("mace:my.model?head=a", False),
        ("checkpoint:a/b.json", False),
        ("attached:a/b.json", False),
        ("ase:os:system?command=touch x", True),
        ("a/b.py:f", True),
        ("b.py", True),
    ],
)
def test_runs_code(spec: str, runs: bool) -> None:
    assert runs_code(spec) is runs


def test_a_question_mark_of_a_name_and_one_of_settings(tmp_path: Path) -> None:
    odd, plain = tmp_path / "a?b.pt", tmp_path / "a"
    for path in (odd, plain):
        path.touch()
    assert split_settings(str(odd)) == (odd, {})
    assert split_settings(f"{odd}?t=x?y&u=c+d") == (odd, {"t": "x?y", "u": "c+d"})
    assert split_settings(f"{plain}?t=") == (plain, {"t": ""})
    assert split_settings("gone?t=1?2") == (Path("gone"), {"t": "1?2"})
    long = "t" * 300  # longer than a name of a file may be
    assert split_settings(f"{plain}?t={long}") == (plain, {"t": long})
    (tmp_path / "a?t=x").touch()
    with pytest.raises(ModelError, match=r"'\S+/a\?t=x' and '\S+/a' are both there"):
        split_settings(f"{plain}?t=x")


def test_the_users_word_is_enough() -> None:
    check_not_typed("a.py:f", "s.yaml", trust=True)
    with pytest.raises(ModelError, match=r"s\.yaml names the mode 'a\.py:f'.*--trust"):
        check_not_typed("a.py:f", "s.yaml", trust=False, what="mode")


@pytest.mark.parametrize(
    "line",
    [
        'models: ["ase:subprocess:getoutput?cmd=touch ran"]',
        "models: [spy.py:M]",
        "models: [zero]\nmodes: [baseline, spy.py:M]",
        "models: [zero]\nsettings: {spy.py:M: {steps: 1}}",
        "models: [zero]\nmodes: [ttt]\nsettings: {ttt: {prior: spy.py:M}}",
    ],
)
def test_a_suite_file_runs_nothing(
    suite_file: Path, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = suite_file.parent
    monkeypatch.chdir(folder)
    (folder / "spy.py").write_text(SPY.format(path=folder / "ran"))
    suite_file.write_text(suite_file.read_text().replace("models: [zero]", line))
    with pytest.raises(ModelError, match=r"toy\.yaml names the .* --trust"):
        check_names(str(suite_file))
    assert not (folder / "ran").exists()


def test_what_is_typed_stands_for_what_the_file_names(suite_file: Path) -> None:
    text = suite_file.read_text().replace("[zero]", "[spy.py:M]\nmodes: [spy.py:N]")
    suite_file.write_text(text)
    names = check_names(str(suite_file), models=["zero"], modes=["baseline"])
    assert names.models == ("zero",)
    with pytest.raises(BenchError, match=r"there is no file spy\.py"):
        check_names(str(suite_file), modes=["baseline"], trust=True)


@pytest.mark.parametrize("base", ["ase:subprocess:getoutput?cmd=touch ran", "spy.py:M"])
def test_the_base_of_a_prior_head_runs_nothing(
    tmp_path: Path, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import hashlib

    monkeypatch.chdir(tmp_path)
    (tmp_path / "spy.py").write_text(SPY.format(path=tmp_path / "ran"))
    weights = save({"centre": torch.zeros(1)})
    (tmp_path / "head.safetensors").write_bytes(weights)
    content = {"base": base, "base_weights": "", "scale": 1.0, "atomic_energies": {}}
    content |= {"weights_sha256": hashlib.sha256(weights).hexdigest(), "facts": {}}
    (tmp_path / "head.json").write_text(json.dumps(content))
    said = re.escape(f"head.json names the model {base!r}, which runs code")
    with pytest.raises(ModelError, match=said):
        load_model("attached:head.json", ModelOptions())
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "target", ["os:system?command=touch ran", "subprocess:Popen?args=touch ran"]
)
def test_an_ase_name_is_checked_before_anything_is_called(
    tmp_path: Path, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match="it was not called"):
        load_model(f"ase:{target}", ModelOptions())
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["filters", "hidden", "gaussians", "blocks"])
def test_no_network_is_built_as_large_as_a_file_likes(name: str) -> None:
    with pytest.raises(ValidationError, match="less than or equal to"):
        Architecture.model_validate(
            {"network": "schnet", "elements": [1], "schnet": {name: 2**62}}
        )
