"""Checkpoints of two-headed models: round trip, bytes, and everything refused."""

import hashlib
import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from mlffbench.core.errors import ModelError, StoreError
from mlffbench.core.model_options import ModelOptions
from mlffbench.core.structures import Structures
from mlffbench.models.twoheaded import checkpoint
from mlffbench.models.twoheaded.architecture import Architecture
from mlffbench.models.twoheaded.loading import from_checkpoint, mini_mace
from mlffbench.models.twoheaded.model import TwoHeaded

SMALL = {
    "mace": {"channels": 4, "radial_widths": (8, 8)},
    "schnet": {"hidden": 8, "filters": 8, "gaussians": 12},
}
HISTORY = {
    "level_of_theory": "ωB97X/6-31G(d)",
    "training_sets": ["mini"],
    "charges": [0, 1],
    "spectrum": [0.0, 1.25],
}


def built(network="schnet", **options):
    return TwoHeaded.build(
        Architecture(
            network=network, elements=(1, 6, 8), **{network: SMALL[network]}, **options
        ),
        atomic_energies={
            "prior": {1: -0.1, 6: 1 / 3},
            "ref": {1: -13.6, 6: -1030.1, 8: 2e3},
        },
        scale={"prior": 0.1, "ref": 1.7},
        seed=1,
    )


@pytest.fixture
def stem(tmp_path):
    return tmp_path / "my-model.v1"


@pytest.fixture
def water():
    positions = torch.tensor([[0.0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
    return Structures.build([positions], [torch.tensor([8, 1, 1])], ids=["water"])


@pytest.mark.parametrize("network", ["mace", "schnet"])
def test_round_trip_is_bit_identical(network, stem, water):
    model = built(network, depth="max")
    digest = checkpoint.save(model, stem, HISTORY)
    for path in (
        stem,
        stem.with_name("my-model.v1.json"),
        stem.with_name("my-model.v1.safetensors"),
    ):
        twin = checkpoint.load(path)
        for head in ("prior", "ref"):
            found, expected = twin.forward(water, head), model.forward(water, head)
            assert torch.equal(found.energy, expected.energy)
            assert torch.equal(found.forces, expected.forces)
    assert twin.weights_sha256 == digest
    assert twin.name == "my-model.v1"
    assert twin.architecture == model.architecture
    assert twin.history == HISTORY
    assert twin.card.level_of_theory == "ωB97X/6-31G(d)"
    assert twin.card.charges == {0, 1}
    assert checkpoint.read_manifest(stem).untrained == {"prior": [8], "ref": []}


def test_same_model_same_bytes(stem, tmp_path):
    checkpoint.save(built(), stem, HISTORY)
    checkpoint.save(built(), tmp_path / "again", dict(reversed(HISTORY.items())))
    for suffix in checkpoint.SUFFIXES:
        first = (tmp_path / f"my-model.v1{suffix}").read_bytes()
        assert first == (tmp_path / f"again{suffix}").read_bytes()


def test_a_narrowed_model_stores_its_trained_cutoff(stem):
    checkpoint.save(built().with_cutoff(3.0), stem, {})
    assert checkpoint.load(stem).cutoff == 4.5


def test_catalogue_functions(stem, water):
    model = built()
    checkpoint.save(model, stem, {})
    found = from_checkpoint(ModelOptions(argument=str(stem), dtype="float64"))
    assert found.dtype == torch.float64
    torch.testing.assert_close(found.predict(water).energy, model.predict(water).energy)
    with pytest.raises(ModelError, match="write checkpoint:PATH"):
        from_checkpoint(ModelOptions())
    with pytest.raises(ModelError, match="unknown device"):
        mini_mace(ModelOptions(device="toaster"))


def json_of(stem):
    return stem.with_name(f"{stem.name}.json")


def weights_of(stem):
    return stem.with_name(f"{stem.name}.safetensors")


def edit(stem, **changes):
    content = json.loads(json_of(stem).read_text())
    json_of(stem).write_text(json.dumps(content | changes))


def forge(stem, tensors):
    """Replace the weights and make the JSON vouch for them."""
    save_file(tensors, weights_of(stem))
    edit(stem, weights_sha256=hashlib.sha256(weights_of(stem).read_bytes()).hexdigest())


def missing_weights(stem):
    weights_of(stem).unlink()


def missing_json(stem):
    json_of(stem).unlink()


def cut_weights(stem):
    weights_of(stem).write_bytes(weights_of(stem).read_bytes()[:-10])


def flipped_bit(stem):
    content = bytearray(weights_of(stem).read_bytes())
    content[-5] ^= 1
    weights_of(stem).write_bytes(content)


def cut_json(stem):
    json_of(stem).write_text(json_of(stem).read_text()[:200])


def foreign_json(stem):
    json_of(stem).write_text('{"model_type": "bert"}')


def other_format(stem):
    edit(stem, format="another")


def future_version(stem):
    edit(stem, schema_version=99)


def one_head(stem):
    edit(stem, scale={"ref": 1.0})


def other_shape(stem):
    content = json.loads(json_of(stem).read_text())["architecture"]
    content["schnet"]["hidden"] = 16
    edit(stem, architecture=content)


def other_depth(stem):
    content = json.loads(json_of(stem).read_text())["architecture"]
    edit(stem, architecture=content | {"depth": "max"})


def not_safetensors(stem):
    weights_of(stem).write_bytes(b"PK\x03\x04 a pickle in a zip")
    edit(stem, weights_sha256=hashlib.sha256(weights_of(stem).read_bytes()).hexdigest())


def not_finite(stem):
    tensors = load_file(weights_of(stem))
    tensors["ref.readout.2.bias"] *= torch.nan
    forge(stem, tensors)


def unknown_weights(stem):
    forge(stem, load_file(weights_of(stem)) | {"shared.surprise": torch.zeros(1)})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (missing_weights, "cannot read the checkpoint .*safetensors: No such file"),
        (missing_json, "cannot read the checkpoint .*json: No such file"),
        (cut_weights, "damaged, cut short, or from another checkpoint"),
        (flipped_bit, "damaged, cut short, or from another checkpoint"),
        (cut_json, "no checkpoint of a two-headed model: Invalid JSON"),
        (foreign_json, "no checkpoint of a two-headed model: format: Field required"),
        (other_format, "is 'another' version 1, expected 'mlffbench-two-headed'"),
        (future_version, "version 99, expected"),
        (one_head, "lacks the E0s or the scale of a head"),
        (other_shape, "does not fit the architecture in its JSON: weights .* have shape"),
        (other_depth, "does not fit the architecture in its JSON: weights .* unknown to"),
        (not_safetensors, "is not a safetensors file"),
        (not_finite, "weights 'ref.readout.2.bias' are not finite"),
        (unknown_weights, "weights 'shared.surprise' are unknown to"),
    ],
)
def test_damaged_and_foreign_checkpoints_are_refused_in_one_sentence(
    stem, damage, message
):
    checkpoint.save(built(), stem, HISTORY)
    damage(stem)
    with pytest.raises(ModelError, match=message) as refusal:
        checkpoint.load(stem)
    assert "\n" not in str(refusal.value)


def test_facts_that_are_no_json_are_refused_and_nothing_is_written(stem):
    for history in ({"loss": float("nan")}, {"model": object()}):
        with pytest.raises(ModelError, match="cannot be stored as JSON"):
            checkpoint.save(built(), stem, history)
    with pytest.raises(StoreError, match="cannot write"):
        checkpoint.save(built(), stem / "no" / "folder", {})
    assert not list(stem.parent.iterdir())
