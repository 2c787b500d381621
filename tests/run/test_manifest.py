"""What decides a run, whether it is done, and that old runs are still known."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

import mlffbench
from mlffbench.core.errors import StoreError
from mlffbench.core.files import sha256_of
from mlffbench.core.model_options import ModelOptions
from mlffbench.models.environments.environment import ENVIRONMENTS
from mlffbench.models.load import card_of, load_model
from mlffbench.run.folder import HeldError, RunFolder
from mlffbench.run.manifest import begin, fingerprint_of, finish, is_finished, manifest_of
from mlffbench.run.provenance import PACKAGES, model_manifest
from mlffbench.run.request import Request, resolve

GOLDEN = "e3a802105306310b13861afe32c07481ab203a14f301abb5737a8f089f8e4652"
DECIDES = {"job": {"seed": 0}, "splits": [], "model": {"name": "zero"}, "mode": {}}


def made(**changes: Any) -> dict[str, Any]:
    return manifest_of({**DECIDES, **changes}, {"dtype": "float32"}, device="cpu")


def test_fingerprints_are_those_of_runs_made_before() -> None:
    """Golden: of a suite whose data have not changed since."""
    campaign = resolve(
        Request(
            suite="spice-sample",
            models=("zero",),
            modes=("baseline",),
            limit=3,
            batch_atoms=2000,
        )
    )
    (job,) = campaign.jobs
    work = campaign.kind.work(job, load_model("zero", ModelOptions()))
    decides = work.decides()
    assert list(decides) == ["job", "splits", "model", "mode"]
    assert set(decides["model"]) == {"name", "card", "files", "weights_sha256"}
    known = {name: decides[name] for name in ("job", "splits", "mode")}
    assert fingerprint_of(known) == GOLDEN


@pytest.mark.parametrize("home", ["/opt/python", "/home/me/venv"])
def test_where_weights_lie_does_not_decide(
    home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_model("mini-schnet", ModelOptions())
    here = model_manifest("mini-schnet", model, card_of(model))
    shipped = "mlffbench/models/twoheaded/shipped/mini-schnet.safetensors"
    assert here["card"]["weights"] == shipped
    assert here["weights_sha256"] == sha256_of(Path(card_of(model).source))
    monkeypatch.setattr(mlffbench, "__file__", f"{home}/mlffbench/__init__.py")
    there = replace(card_of(model), source=f"{home}/{shipped}")
    assert model_manifest("mini-schnet", model, there) == here
    own = replace(there, source=f"{home}/models/my.safetensors")
    told = model_manifest("mini-schnet", model, own)
    assert told["card"]["weights"] == "my.safetensors"
    assert home not in fingerprint_of(told) + str(told)


def test_a_run_is_done_once_and_for_all(tmp_path: Path) -> None:
    folder, manifest = RunFolder(tmp_path / "run"), made()
    assert not is_finished(folder, manifest, overwrite=False)
    begin(folder, manifest)
    assert folder.read_manifest()["status"] == "running"
    assert not is_finished(folder, manifest, overwrite=False)
    assert folder.parts.exists()
    finish(folder, manifest, {"wall_s": 1})
    assert not folder.parts.exists()
    stored = folder.read_manifest()
    assert (stored["status"], stored["wall_s"]) == ("complete", 1)
    assert {"fingerprint", "versions", "git", "hardware", "command", "started"} <= set(
        stored
    )
    assert is_finished(folder, made(), overwrite=False)
    assert not is_finished(folder, made(), overwrite=True)
    assert not folder.manifest_path.exists()


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_package_that_an_environment_is_for_is_stated(name: str) -> None:
    pinned = {
        key: {line.partition("==")[0] for line in one.lock.splitlines()}
        for key, one in ENVIRONMENTS.items()
    }
    others = set().union(*(pins for key, pins in pinned.items() if key != name))
    assert (pinned[name] - others) & set(PACKAGES)


def test_another_run_in_the_way_is_told_by_its_first_difference(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    begin(folder, made())
    other = made(job={"seed": 1})
    with pytest.raises(StoreError, match="job, seed: 0 there, 1 now"):
        is_finished(folder, other, overwrite=False)
    assert not is_finished(folder, other, overwrite=True)
    assert not folder.parts.exists()


def test_what_is_told_beside_does_not_decide() -> None:
    one = manifest_of(DECIDES, {"dtype": "float32"}, device="cpu")
    two = manifest_of(DECIDES, {"dtype": "float64"}, device="cpu")
    assert one["fingerprint"] == two["fingerprint"]
    assert made(job={"seed": 1})["fingerprint"] != one["fingerprint"]


def test_a_lock_does_not_stay_and_keeps_others_out(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    with folder.locked():
        with (
            pytest.raises(StoreError, match="another mlffbench is writing"),
            folder.locked(),
        ):
            pass
        assert [path.name for path in folder.path.iterdir()] == [".lock"]
    assert list(folder.path.iterdir()) == []
    with folder.locked():
        assert (folder.path / ".lock").exists()


def test_a_lock_on_a_file_that_was_removed_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder(tmp_path)
    acquire = FileLock.acquire

    def late(lock: FileLock) -> object:
        held = acquire(lock)
        (tmp_path / ".lock").unlink()  # whoever held it before has just finished
        return held

    monkeypatch.setattr(FileLock, "acquire", late)
    with (
        pytest.raises(StoreError, match="another mlffbench is writing"),
        folder.locked(),
    ):
        pass


def test_a_lock_that_is_removed_before_it_is_looked_at_is_held_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder(tmp_path)
    touch = Path.touch

    def early(path: Path) -> None:
        touch(path)
        path.unlink()  # whoever held it before has just finished

    monkeypatch.setattr(Path, "touch", early)
    with pytest.raises(HeldError), folder.locked():
        pass
    monkeypatch.undo()
    with folder.locked():
        assert (tmp_path / ".lock").exists()
