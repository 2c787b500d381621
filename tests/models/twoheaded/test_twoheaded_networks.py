"""Partition, physics, heads, clones and cutoffs of the two-headed networks."""

import math
import re
import sys
from dataclasses import replace
from typing import get_args

import pytest
import torch
from pydantic import ValidationError

from mlffbench.contract import promises
from mlffbench.contract.trial import Trial
from mlffbench.core.errors import MissingExtraError, ModelError
from mlffbench.core.forcefield import ForceField, HasCutoff, HasEmbedding, HasPriorHead
from mlffbench.core.structures import Structures
from mlffbench.models.twoheaded.architecture import Architecture, Depth
from mlffbench.models.twoheaded.model import TwoHeaded
from mlffbench.models.twoheaded.networks import make_backbone
from mlffbench.models.twoheaded.partition import PARTS, side

ELEMENTS = (1, 6, 7, 8, 16)
ATOMIC_ENERGIES = {
    "prior": {1: -10.0, 6: -50.0},
    "ref": {1: -13.6, 6: -1030.0, 8: -2040.0},
}
SCALE = {"prior": 1.5, "ref": 0.7}
SMALL = {
    "mace": {"channels": 4, "radial_widths": (8, 8)},
    "schnet": {"hidden": 8, "filters": 8, "gaussians": 12},
    "gemnet": {"atom": 8, "edge": 8, "triplet": 4, "projected": 4},
}
DEPTHS = get_args(Depth)


def small(network, **options):
    arguments = {"elements": ELEMENTS, network: SMALL[network]} | options
    return Architecture(network=network, **arguments)


def built(network, dtype="float64", **options):
    return TwoHeaded.build(
        small(network, **options),
        atomic_energies=ATOMIC_ENERGIES,
        scale=SCALE,
        seed=3,
        dtype=dtype,
    )


@pytest.fixture(scope="module", params=["mace", "schnet"])
def model(request):
    return built(request.param)


@pytest.fixture(scope="module")
def systems():
    generator = torch.Generator().manual_seed(5)
    grid = torch.cartesian_prod(*[torch.arange(3.0)] * 3).double() * 1.3
    sizes = (7, 12, 9)
    noise = [0.2 * torch.rand((n, 3), generator=generator) for n in sizes]
    places = [torch.randperm(27, generator=generator)[:n] for n in sizes]
    numbers = [torch.randint(0, 5, (n,), generator=generator) for n in sizes]
    return Structures.build(
        [grid[place] + move for place, move in zip(places, noise, strict=True)],
        [torch.tensor(ELEMENTS)[index] for index in numbers],
        ids=["a", "b", "c"],
    )


def pair(distance, numbers=(6, 8)):
    positions = torch.tensor([[0.0, 0, 0], [distance, 0, 0]], dtype=torch.float64)
    return Structures.build([positions], [torch.tensor(numbers)], ids=["pair"])


def same(one, other):
    return torch.equal(one.energy, other.energy) and torch.equal(one.forces, other.forces)


@pytest.mark.parametrize("network", ["mace", "schnet", "gemnet"])
def test_an_empty_batch_has_features_of_the_same_width(network):
    model, whole = built(network), pair(1.2)
    for read in (model.embed, model.features_graph):
        assert read(whole.select([])).shape == (0, read(whole).shape[1])


@pytest.mark.parametrize("network", ["mace", "schnet"])
def test_every_parameter_has_exactly_one_owner_at_every_depth(network):
    names = dict(make_backbone(small(network), seed=0).named_parameters())
    for depth in DEPTHS:
        architecture = small(network, depth=depth)
        sides = {name: side(architecture, name) for name in names}  # raises unless one
        assert set(sides.values()) == {"shared", "owned"}
    model = built(network)
    heads = model.parameters_of("prior"), model.parameters_of("ref")
    assert heads[0].keys() == heads[1].keys()
    assert model.parameters_of("shared").keys() | heads[0].keys() == names.keys()
    assert not model.parameters_of("shared").keys() & heads[0].keys()
    everything = [
        p for o in ("shared", "prior", "ref") for p in model.parameters_of(o).values()
    ]
    assert len({id(p) for p in everything}) == len(everything)


@pytest.mark.parametrize("network", ["mace", "schnet"])
def test_deeper_sharing_shares_more_and_never_a_readout(network):
    names = list(dict(make_backbone(small(network), seed=0).named_parameters()))
    blocks = 4
    shared = [
        {
            name
            for name in names
            if side(small(network, depth=depth, **{network: {"blocks": blocks}}), name)
            == "shared"
        }
        for depth in DEPTHS
    ]
    assert shared[0] <= shared[1] <= shared[2] < set(names)
    assert not any("readout" in name for name in shared[2])
    assert [
        small(network, depth=d, **{network: {"blocks": 4}}).shared_blocks for d in DEPTHS
    ] == [
        1,
        3,
        4,
    ]


def test_every_row_of_the_partition_claims_something():
    for network, rows in PARTS.items():
        names = list(dict(make_backbone(small(network), seed=0).named_parameters()))
        for pattern, _ in rows:
            assert any(re.fullmatch(pattern, name) for name in names), pattern


def test_a_parameter_nobody_claims_is_refused():
    with pytest.raises(ModelError, match="0 rows of the partition of 'mace' claim"):
        side(small("mace"), "interactions.0.new_layer.weight")


@pytest.mark.parametrize("depth", DEPTHS)
def test_weights_of_an_element_are_shared_at_every_depth(depth, systems):
    for network in ("mace", "schnet"):
        model = built(network, depth=depth)
        before = {h: model.forward(systems, h).energy.detach() for h in ("prior", "ref")}
        carbon = pair(1.4, (6, 6))
        fresh = {head: model.forward(carbon, head) for head in before}
        with torch.no_grad():
            for slices in model._backbone.element_slices(model.parameters_of("shared")):
                slices[4] += 0.3  # sulfur's
        has_sulfur = torch.zeros(3, dtype=torch.bool)
        has_sulfur[systems.system[systems.numbers == 16]] = True
        assert has_sulfur.any()
        for head, energy in before.items():
            moved = (model.forward(systems, head).energy - energy).abs() > 1e-9
            assert torch.equal(moved, has_sulfur)
            assert same(model.forward(carbon, head), fresh[head])


def test_owned_parameters_move_their_head_only_shared_ones_move_both(model, systems):
    before = {head: model.forward(systems, head) for head in ("prior", "ref")}
    for owner, moving in (
        ("prior", {"prior"}),
        ("ref", {"ref"}),
        ("shared", {"prior", "ref"}),
    ):
        for name in model.parameters_of(owner):
            twin = model.clone()
            with torch.no_grad():
                twin.parameters_of(owner)[name].add_(0.1)
            moved = {h for h in before if not same(twin.forward(systems, h), before[h])}
            assert moved == moving, name


def test_every_parameter_gets_a_gradient_of_a_force_loss(model, systems):
    batch = model.prepare(systems)
    for head in ("prior", "ref"):
        labels = model.forward(batch, head)
        loss = labels.energy.sum() + labels.forces.square().sum()
        mine = model.parameters_of("shared") | model.parameters_of(head)
        slopes = torch.autograd.grad(loss, list(mine.values()))
        silent = [n for n, g in zip(mine, slopes, strict=True) if not bool(g.any())]
        assert not silent


@pytest.mark.parametrize("promise", [
    promises.shapes, promises.dtype, promises.detached, promises.untouched,
    promises.deterministic, promises.batched, promises.permutation, promises.rotation,
    promises.translation, promises.lattice, promises.gradient, promises.one_atom,
    promises.cutoff, promises.clone, promises.heads, promises.declared, promises.finite,
])  # fmt: skip
def test_promises_are_kept(model, systems, promise):
    finding = promise(Trial.begin(model, systems))
    assert finding.status == "kept", finding.detail


def test_forces_of_both_heads_are_minus_the_slope_under_a_narrower_envelope(
    model, systems
):
    narrow = model.with_cutoff(3.1, scope="graph+envelope")
    assert promises.gradient(Trial.begin(narrow, systems)).status == "kept"
    step = 1e-4
    for head in ("prior", "ref"):
        forces = narrow.forward(systems, head).forces.detach()
        for atom, axis in ((0, 0), (9, 1), (20, 2)):
            ends = []
            for sign in (1, -1):
                positions = systems.positions.clone()
                positions[atom, axis] += sign * step
                moved = replace(systems, positions=positions)
                ends.append(narrow.forward_energy(moved, head).sum().detach())
            slope = (ends[0] - ends[1]) / (2 * step)
            assert float(forces[atom, axis]) == pytest.approx(-float(slope), abs=1e-5)


def test_protocols_are_satisfied(model):
    for protocol in (ForceField, HasCutoff, HasPriorHead, HasEmbedding):
        assert isinstance(model, protocol)


def test_float32_agrees_with_float64(systems):
    for network in ("mace", "schnet"):
        wide, narrow = built(network), built(network, "float32")
        found, expected = narrow.predict(systems), wide.predict(systems)
        assert found.energy.dtype == torch.float64
        torch.testing.assert_close(found.energy, expected.energy, rtol=1e-7, atol=1e-4)
        torch.testing.assert_close(
            found.forces.double(), expected.forces, rtol=1e-3, atol=1e-3
        )


def test_energies_of_atoms_are_head_zeros_and_unfitted_elements_count_nothing(model):
    atoms = Structures.build(
        [torch.zeros((1, 3), dtype=torch.float64)] * 2,
        [torch.tensor([6]), torch.tensor([16])],
        ids=["C", "S"],
    )
    shifted = TwoHeaded(
        model.architecture,
        model._backbone,
        atomic_energies={head: {} for head in SCALE},
        scale=SCALE,
        device=model.device,
        dtype=model.dtype,
    )
    shifted.load_state(model.state())
    for head, energies in ATOMIC_ENERGIES.items():
        difference = (
            model.forward(atoms, head).energy - shifted.forward(atoms, head).energy
        )
        assert difference.tolist() == pytest.approx([energies[6], 0.0], abs=1e-9)
        assert not model.forward(atoms, head).forces.any()


def test_structures_outside_the_table_fail_alone(model, systems):
    strange = Structures.concatenate([systems, pair(1.3, (6, 9))])
    labels = model.predict(strange)
    assert labels.failures == {3: "elements not supported: F"}
    torch.testing.assert_close(labels.energy[:3], model.predict(systems).energy)
    alone = model.predict(strange.select([3]))
    assert alone.energy.isnan().all()
    assert alone.forces.isnan().all()
    with pytest.raises(ModelError, match=r"no weights for the elements F; it knows H C"):
        model.forward(strange, "prior")


def test_a_prepared_batch_gives_the_same_bits(model, systems):
    batch = model.prepare(systems)
    for head in ("prior", "ref"):
        assert same(model.forward(batch, head), model.forward(systems, head))
    with pytest.raises(ModelError, match="prepared for"):
        model.with_cutoff(3.0).forward(batch, "ref")


def test_features_are_those_of_the_shared_part(systems):
    for network, width in (("mace", 4), ("schnet", 8)):
        for depth in DEPTHS:
            model = built(network, depth=depth)
            features = model.embed(systems)
            assert features.shape == (systems.n_atoms, width)
            assert not features.requires_grad
            for parameter in model.parameters_of("ref").values():
                parameter.data.add_(0.2)
            assert torch.equal(model.embed(systems), features)


def test_trained_cutoff_reproduces_the_model_under_both_scopes(model, systems):
    for scope in ("graph", "graph+envelope"):
        twin = model.with_cutoff(model.cutoff, scope=scope)
        assert twin.cutoff_scope == scope
        assert same(twin.predict(systems), model.predict(systems))
        assert twin.with_cutoff(3.0).cutoff_scope == scope
    assert model.cutoff_scope == "graph"


def test_envelope_is_smooth_at_the_cutoff_where_truncation_jumps(model):
    radius, step = 3.0, 1e-6
    jumps = {}
    for scope in ("graph", "graph+envelope"):
        narrow = model.with_cutoff(radius, scope=scope)
        inside = narrow.predict(pair(radius - step))
        outside = narrow.predict(pair(radius + step))
        jumps[scope] = [
            float((inside.energy - outside.energy).abs()),
            float((inside.forces - outside.forces).abs().max()),
        ]
    assert min(jumps["graph"]) > 1e-4
    assert max(jumps["graph+envelope"]) < 1e-5


@pytest.mark.parametrize("radius", [0.0, -1.0, math.nan, math.inf, 4.6])
def test_cutoffs_that_cannot_work_are_refused(model, radius):
    for scope in ("graph", "graph+envelope"):
        with pytest.raises(ModelError, match=r"no radius|above the trained 4.5 Å"):
            model.with_cutoff(radius, scope=scope)


def test_a_clone_is_independent_and_keeps_what_is_frozen(model, systems):
    frozen = model.clone()
    for parameter in frozen.parameters_of("prior").values():
        parameter.requires_grad_(False)
    twin = frozen.clone()
    assert not any(p.requires_grad for p in twin.parameters_of("prior").values())
    assert all(p.requires_grad for p in twin.representation_parameters())
    before = model.predict(systems)
    for owner in ("shared", "prior", "ref"):
        for parameter in twin.parameters_of(owner).values():
            parameter.data.mul_(1.2)
    assert same(model.predict(systems), before)
    assert not same(twin.predict(systems), before)


def test_heads_and_elements_can_be_copied(model, systems):
    twin = model.clone()
    for parameter in twin.parameters_of("prior").values():
        parameter.data.add_(0.1)
    twin.copy_head("prior", "ref")
    prior, ref = twin.parameters_of("prior"), twin.parameters_of("ref")
    assert all(torch.equal(prior[name], ref[name]) for name in prior)
    twin.copy_elements({16: 8})
    thio, oxo = (twin.predict(pair(1.3, (6, z))) for z in (16, 8))
    assert torch.equal(thio.forces, oxo.forces)
    with pytest.raises(ModelError, match="no weights for F to copy"):
        twin.copy_elements({16: 9})


@pytest.mark.parametrize("network", ["mace", "schnet"])
def test_element_noise_goes_from_alike_to_independent(network):
    spread = []
    for noise in (0.0, 0.1, 1.0):
        model = built(network, element_noise=noise)
        views = model._backbone.element_slices(model.parameters_of("shared"))
        slices = [view.detach() for view in views]
        spread.append(max(float(part.std(0).max()) for part in slices))
        assert all(part.shape[0] == len(ELEMENTS) for part in slices)
        assert 0.3 < float(slices[0].std()) < 3
    assert spread[0] < 1e-12 < spread[1] < 0.3 * spread[2]


def test_building_is_seeded_and_leaves_the_random_state_alone(systems):
    before = torch.get_rng_state()
    first, again = built("schnet"), built("schnet")
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_default_dtype() == torch.float32
    assert same(first.predict(systems), again.predict(systems))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"network": "painn"}, "'mace', 'schnet' or 'gemnet'"),
        ({"elements": ()}, "at least 1"),
        ({"elements": (1, 119)}, r"no atomic numbers: \[119\]"),
        ({"cutoff": -1.0}, "greater than 0"),
        ({"cutoff": math.inf}, "finite"),
        ({"schnet": {}}, "a mace has no shape of a schnet"),
        ({"mace": {"blocks": 1}}, "greater than or equal to 2"),
        ({"channels": 3}, "Extra inputs"),
    ],
)
def test_architectures_that_make_no_sense_are_refused(change, message):
    with pytest.raises(ValidationError, match=message):
        Architecture(**({"network": "mace", "elements": ELEMENTS} | change))


def test_a_missing_library_is_named(monkeypatch):
    for name in [n for n in sys.modules if n.partition(".")[0] == "mace"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mace", None)
    with pytest.raises(MissingExtraError, match=r"pip install .*\[mace\]'"):
        make_backbone(small("mace"), seed=0)


def test_unknown_zero_energies_are_refused():
    energies = {"prior": {9: 1.0}, "ref": {}}
    with pytest.raises(ModelError, match="E0 of the head 'prior' for F"):
        TwoHeaded.build(small("schnet"), atomic_energies=energies, scale=SCALE, seed=0)
