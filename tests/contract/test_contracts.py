"""A model that keeps every promise, and for each promise one that breaks just that."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from mlffbench.contract.contracts import RULES, check_forcefield, sample_systems
from mlffbench.core.card import ALL_ELEMENTS, ModelCard, elements
from mlffbench.core.errors import ModelError
from mlffbench.core.forcefield import ForceField, HasCutoff, HasPriorHead
from mlffbench.core.graph import radius_graph
from mlffbench.core.labels import Labels

MAY = {"lattice", "cutoff", "clone", "heads", "charge", "spin"}
ALWAYS = {rule.name for rule in RULES} - MAY


class Springs:
    """E = ½ Σ_ij ½ (r_ij − 1.3)² (1 − (r_ij/r_c)²)³, forces by autograd; periodic."""

    name = "springs"
    elements = elements("H C N O")
    card = ModelCard(elements=elements, periodic=True, dtype="float64")
    dtype = torch.float64
    cutoff = 5.0

    def graph_of(self, structures):
        return radius_graph(structures, self.cutoff)

    def pair(self, vectors, structures, edges):
        r = vectors.norm(dim=1)
        return 0.25 * (r - 1.3) ** 2 * (1 - (r / self.cutoff) ** 2) ** 3

    def external(self, positions):
        return 0.0 * positions.sum(1)

    def labels_with_graph(self, structures):
        structures = structures.to(dtype=self.dtype)
        positions = structures.positions.clone().requires_grad_()
        moving = replace(structures, positions=positions)
        graph = self.graph_of(structures)
        pairs = self.pair(graph.vectors(moving), structures, graph.edges)
        energy = positions.new_zeros(structures.n_systems)
        energy = energy.index_add(0, structures.system[graph.edges[0]], pairs)
        energy = energy.index_add(0, structures.system, self.external(positions))
        (slope,) = torch.autograd.grad(energy.sum(), positions, create_graph=True)
        return Labels(energy=energy, forces=-slope, source=self.name)

    def predict(self, structures):
        labels = self.labels_with_graph(structures)
        return replace(
            labels, energy=labels.energy.detach(), forces=labels.forces.detach()
        )


class Truncated(Springs):
    """Springs whose cutoff can be changed."""

    cutoff_scope = "graph+envelope"

    def with_cutoff(self, cutoff):
        if cutoff > 5.0:
            raise ModelError("springs reach 5 Å")
        other = type(self)()
        other.cutoff = cutoff
        return other


class TwoHeaded(Springs, nn.Module):
    """Springs with a learned stiffness and a second head."""

    def __init__(self):
        super().__init__()
        self.stiffness = nn.Parameter(torch.tensor(1.1, dtype=torch.float64))
        self.scale = nn.ParameterDict(
            {head: nn.Parameter(torch.tensor(s).double()) for head, s in HEADS.items()}
        )
        self.head = "ref"

    def pair(self, vectors, structures, edges):
        pairs = super().pair(vectors, structures, edges)
        return self.scale[self.head] * self.stiffness * pairs

    def clone(self):
        twin = type(self)()
        twin.load_state_dict(self.state_dict())
        return twin

    def representation_parameters(self):
        return [self.stiffness]

    def forward(self, structures, head):
        self.head = head
        try:
            return self.labels_with_graph(structures)
        finally:
            self.head = "ref"

    def predict_prior(self, structures):
        labels = self.forward(structures, "prior")
        return replace(
            labels, energy=labels.energy.detach(), forces=labels.forces.detach()
        )


HEADS = {"ref": 2.0, "prior": 3.0}


def statuses(model, **more):
    return {promise.name: promise.status for promise in check_forcefield(model, **more)}


def broken(model):
    return {p.name: p.detail for p in check_forcefield(model) if p.status == "broken"}


# ---------------------------------------------------------------- models that are right


def test_the_good_models_have_their_capabilities():
    assert isinstance(Springs(), ForceField)
    assert isinstance(Truncated(), HasCutoff)
    assert isinstance(TwoHeaded(), HasPriorHead)


def test_a_good_model_keeps_every_promise():
    found = check_forcefield(Springs())
    assert [promise.name for promise in found] == [rule.name for rule in RULES]
    by_name = {promise.name: promise for promise in found}
    for name in ALWAYS | {"lattice"}:
        assert by_name[name].status == "kept", by_name[name]
    for name in ("cutoff", "clone", "heads"):
        assert by_name[name].status == "not applicable"
    assert "allowed" in by_name["gradient"].detail
    assert by_name["gradient"].promise == "forces are minus the gradient of the energy"


@pytest.mark.parametrize(
    ("model", "extra"), [(Truncated, {"cutoff"}), (TwoHeaded, {"clone", "heads"})]
)
def test_good_models_keep_the_promises_of_their_capabilities(model, extra):
    found = statuses(model())
    kept = {name for name, status in found.items() if status == "kept"}
    assert kept == ALWAYS | {"lattice"} | extra


def test_a_good_model_in_float32_passes():
    class Single(Springs):
        dtype = torch.float32

    assert not broken(Single())


def test_a_model_that_hides_float32_behind_float64_passes():
    class Hidden(Springs):
        dtype = torch.float32

        def predict(self, structures):
            labels = super().predict(structures)
            return replace(
                labels, energy=labels.energy.double(), forces=labels.forces.double()
            )

    found = {promise.name: promise for promise in check_forcefield(Hidden())}
    assert found["gradient"].status == "kept"
    assert "step 0.05" in found["gradient"].detail
    assert not broken(Hidden())


def test_a_model_that_refuses_float64_structures_passes_and_it_is_said():
    class Picky(Springs):
        dtype = torch.float32

        def predict(self, structures):
            if structures.positions.dtype != torch.float32:
                raise RuntimeError("expected Float but found Double")
            return super().predict(structures)

    found = {promise.name: promise for promise in check_forcefield(Picky())}
    assert not broken(Picky())
    assert "refuses float64 structures (RuntimeError: expected" in found["finite"].detail


def test_a_single_ended_noise_of_an_scf_code_passes_but_one_percent_does_not():
    class Wrong(Springs):
        factor = 1 + 1e-5

        def predict(self, structures):
            labels = super().predict(structures)
            return replace(labels, forces=self.factor * labels.forces)

    assert not broken(Wrong())
    Wrong.factor = 1.01
    assert set(broken(Wrong())) == {"gradient"}


def test_what_the_model_declares_as_a_failure_is_left_out_and_said():
    class NoHydrogen(Springs):
        def predict(self, structures):
            labels = super().predict(structures)
            small = (structures.sizes <= 2).nonzero().flatten().tolist()
            labels.energy[small] = torch.nan
            labels.forces[torch.isin(structures.system, torch.tensor(small))] = torch.nan
            return replace(labels, failures=dict.fromkeys(small, "no parameters"))

    found = {promise.name: promise for promise in check_forcefield(NoHydrogen())}
    assert not broken(NoHydrogen())
    assert (
        "left out, as the model asks: hydrogen (no parameters)" in found["finite"].detail
    )
    assert "declared as a failure: no parameters" in found["one-atom"].detail


def test_a_declared_non_conservative_model_is_not_asked_for_a_gradient():
    class Direct(Springs):
        card = replace(Springs.card, conservative=False)

        def predict(self, structures):
            labels = super().predict(structures)
            return replace(labels, forces=1.2 * labels.forces)

    by_name = {promise.name: promise for promise in check_forcefield(Direct())}
    assert by_name["gradient"].status == "not applicable"
    assert by_name["gradient"].detail == "declared non-conservative"
    assert not broken(Direct())


def test_other_elements_get_clusters():
    class Noble(Springs):
        elements = elements("Ar Kr")
        card = replace(Springs.card, elements=elements, periodic=False)

    assert not broken(Noble())
    assert statuses(Noble())["lattice"] == "not applicable"


def test_the_users_own_systems_are_used():
    systems = sample_systems(elements("H O")).select([1])
    found = {p.name: p for p in check_forcefield(Springs(), systems=systems)}
    assert found["finite"].detail == "1 structures"
    assert found["shapes"].detail == "energies (1,), forces (3, 3)"


def test_bonds_follow_when_atoms_change_place():
    class Bonded(Springs):
        """Reads elements from the SMILES by map number: they must fit the atoms."""

        def predict(self, structures):
            for index, smiles in enumerate(structures.smiles):
                numbers = structures.select([index]).numbers.tolist()
                parts = [part.split(":") for part in smiles.split("[")[1:]]
                for symbol, rest in parts:
                    place = int(rest.split("]")[0]) - 1
                    if elements(symbol) != {numbers[place]}:
                        msg = f"{smiles} does not fit {numbers}"
                        raise ValueError(msg)
            return super().predict(structures)

    assert not broken(Bonded())


@pytest.mark.parametrize(
    "supported",
    [elements("H"), elements("H O"), elements("Fe"), elements("C N"), ALL_ELEMENTS],
)
def test_sample_systems_are_sane(supported):
    systems = sample_systems(supported)
    assert set(systems.numbers.tolist()) <= supported
    assert systems.positions.dtype == torch.float64
    graph = radius_graph(systems, 3.0)
    lengths = graph.vectors(systems).norm(dim=1)
    assert lengths.min() > 0.7
    assert len(set(graph.edges[0].tolist())) == systems.n_atoms
    electrons = torch.zeros(systems.n_systems).long()
    electrons.index_add_(0, systems.system, systems.numbers)
    assert torch.equal((electrons + 1) % 2, systems.multiplicity % 2)


# ------------------------------------------- models that break one promise, and only one


class Nameless(Springs):
    name = ""


class NoElements(Springs):
    elements = frozenset()


class ListedElements(Springs):
    elements = (1, 6)


class ElementZero(Springs):
    elements = elements("X H C N O")


class StrangeCard(Springs):
    card = replace(Springs.card, dtype="bfloat16")


class NoCard(Springs):
    card = "an org-mode file"


class ExtraRow(Springs):
    def predict(self, structures):
        labels = super().predict(structures)
        return replace(labels, forces=torch.cat([labels.forces, labels.forces[:1]]))


class Tuple(Springs):
    def predict(self, structures):
        labels = super().predict(structures)
        return labels.energy, labels.forces


class Raising(Springs):
    def predict(self, structures):
        raise RuntimeError("CUDA error:\n  no kernel image")


class NaN(Springs):
    def predict(self, structures):
        labels = super().predict(structures)
        if structures.n_systems > 1:
            labels.forces[structures.n_atoms // 2] = torch.nan
        return labels


class CoarseEnergy(Springs):
    def predict(self, structures):
        labels = super().predict(structures)
        return replace(labels, energy=labels.energy.float())


class Attached(Springs):
    def predict(self, structures):
        return self.labels_with_graph(structures)


class Centring(Springs):
    def predict(self, structures):
        labels = super().predict(structures)
        structures.positions.sub_(structures.positions.mean(0))
        return labels


class Watching(Springs):
    def predict(self, structures):
        labels = super().predict(structures)
        structures.positions.requires_grad_()
        return labels


class Noisy(Springs):
    def predict(self, structures):
        labels = super().predict(structures)
        return replace(labels, energy=labels.energy + 1e-9 * torch.rand(()))


class Crowded(Springs):
    def predict(self, structures):
        labels = super().predict(structures)
        return replace(labels, energy=labels.energy + 0.1 * structures.n_systems)


class Ordered(Springs):
    def pair(self, vectors, structures, edges):
        starts = torch.cumsum(structures.sizes, 0) - structures.sizes
        place = edges - starts[structures.system[edges]]
        return super().pair(vectors, structures, edges) * (1 + 0.1 * place.sum(0))


class Oriented(Springs):
    def pair(self, vectors, structures, edges):
        return super().pair(vectors, structures, edges) * (1 + vectors[:, 0] ** 2)


class Trapped(Springs):
    def external(self, positions):
        return 0.1 * positions.square().sum(1)


class Open(Springs):
    """Declares periodic cells, but only sees the first image."""

    def graph_of(self, structures):
        return radius_graph(
            replace(structures, pbc=torch.zeros_like(structures.pbc)), self.cutoff
        )


class Stretched(Springs):
    def predict(self, structures):
        labels = super().predict(structures)
        return replace(labels, forces=1.05 * labels.forces)


class Squeezing(Springs):
    def predict(self, structures):
        labels = super().predict(structures)
        return replace(labels, forces=labels.forces.squeeze(0))


class Lonely(Springs):
    def predict(self, structures):
        if structures.n_atoms == 1:
            raise IndexError("index 0 is out of bounds")
        return super().predict(structures)


class Rounded(Truncated):
    """Keeps its cutoff in float32, so that the same cutoff is another one."""

    cutoff = 4.9

    def with_cutoff(self, cutoff):
        other = super().with_cutoff(cutoff)
        other.pair = lambda *given: (1 + 1e-12) * Truncated.pair(other, *given)
        return other


class Shared(Truncated):
    """Its copies share the radius."""

    state = {"cutoff": 5.0}  # noqa: RUF012 - the fault under test

    @property
    def cutoff(self):
        return self.state["cutoff"]

    def with_cutoff(self, cutoff):
        self.state["cutoff"] = cutoff
        return type(self)()


class Stubborn(Truncated):
    def with_cutoff(self, cutoff):
        return type(self)()


class Scopeless(Truncated):
    cutoff_scope = "everything"


class Shallow(TwoHeaded):
    def clone(self):
        twin = super().clone()
        twin.stiffness = self.stiffness
        return twin


class Forgetful(TwoHeaded):
    def clone(self):
        twin = super().clone()
        with torch.no_grad():
            twin.stiffness.mul_(1.001)
        return twin


class OtherHead(TwoHeaded):
    def forward(self, structures, head):
        return super().forward(structures, {"ref": "prior", "prior": "ref"}[head])


class DeafPrior(TwoHeaded):
    def representation_parameters(self):
        return [self.scale["ref"]]


class CutPrior(TwoHeaded):
    def forward(self, structures, head):
        labels = super().forward(structures, head)
        return replace(
            labels, energy=labels.energy.detach(), forces=labels.forces.detach()
        )


FAULTS = [
    (Nameless, "declared", "name is ''"),
    (NoElements, "declared", "elements is frozenset()"),
    (ListedElements, "declared", "elements is (1, 6)"),
    (ElementZero, "declared", "{0}: no atomic numbers"),
    (StrangeCard, "declared", "card.dtype is 'bfloat16'"),
    (NoCard, "declared", "card is a str"),
    (ExtraRow, "shapes", "forces of shape (24, 3), expected (5,) and (23, 3)"),
    (Tuple, "shapes", "returned a tuple, expected Labels"),
    (Raising, "shapes", "RuntimeError: CUDA error: no kernel image"),
    (NaN, "finite", "not finite: methane (no reason"),
    (CoarseEnergy, "dtype", "energies float32, forces float64"),
    (Attached, "detached", "energy and forces requires grad"),
    (Centring, "input-untouched", "predict changed positions"),
    (Watching, "input-untouched", "predict changed positions"),
    (Noisy, "deterministic", "not bit for bit"),
    (Crowded, "batch", "energies differ by 4.0e-01 eV"),
    (Ordered, "permutation", "allowed"),
    (Oriented, "rotation", "allowed"),
    (Trapped, "translation", "allowed"),
    (Open, "lattice", "allowed"),
    (Stretched, "gradient", "forces and slopes differ"),
    (Squeezing, "one-atom", "DataError: Labels.forces has shape (3,)"),
    (Lonely, "one-atom", "IndexError: index 0 is out of bounds"),
    (Rounded, "cutoff", "with_cutoff(4.9): not bit for bit"),
    (Shared, "cutoff", "cutoff was 5, is 4"),
    (Stubborn, "cutoff", "with_cutoff(4) has cutoff 5 Å"),
    (Scopeless, "cutoff", "cutoff_scope is 'everything'"),
    (Shallow, "clone", "the original, its clone changed"),
    (Forgetful, "clone", "a fresh clone"),
    (OtherHead, "heads", "head 'ref' against predict"),
    (DeafPrior, "heads", "0 of 1 representation parameters"),
    (CutPrior, "heads", "without autograd graph"),
]


@pytest.mark.parametrize(
    ("model", "promise", "words"), FAULTS, ids=[model.__name__ for model, *_ in FAULTS]
)
def test_a_broken_promise_is_named_and_no_other(model, promise, words):
    found = broken(model())
    assert set(found) == {promise}
    assert words in found[promise]
    assert "\n" not in found[promise]


def test_every_promise_has_a_model_that_breaks_it():
    reported_only = {"charge", "spin"}
    names = {rule.name for rule in RULES}
    assert {promise for _, promise, _ in FAULTS} == names - reported_only


def test_what_cannot_be_judged_says_so():
    by_name = {promise.name: promise for promise in check_forcefield(Raising())}
    assert by_name["rotation"].status == "not applicable"
    assert by_name["rotation"].detail == "cannot be judged while 'shapes' is broken"
    by_name = {promise.name: promise for promise in check_forcefield(NaN())}
    assert by_name["rotation"].detail == "cannot be judged while 'finite' is broken"
    assert by_name["detached"].status == "kept"


def test_later_promises_go_on_after_one_raises():
    class Boxed(Springs):
        def predict(self, structures):
            if structures.pbc.any():
                raise NotImplementedError("periodic cells")
            return super().predict(structures)

    found = check_forcefield(Boxed())
    (fault,) = [promise for promise in found if promise.status == "broken"]
    assert (fault.name, fault.detail) == (
        "lattice",
        "NotImplementedError: periodic cells",
    )
    (later,) = [promise for promise in found if promise.name == "one-atom"]
    assert later.status == "kept"


def test_the_model_is_left_as_it_was():
    model = Shallow()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    check_forcefield(model)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    assert all(parameter.grad is None for parameter in model.parameters())


# ------------------------------------------------- models that decline, leave or miscount


class Choosy(Springs):
    """Declines every structure of more than so many atoms."""

    most_atoms = 0

    def predict(self, structures):
        labels = super().predict(structures)
        large = (structures.sizes > self.most_atoms).nonzero().flatten().tolist()
        labels.energy[large] = torch.nan
        labels.forces[torch.isin(structures.system, torch.tensor(large))] = torch.nan
        return replace(labels, failures=dict.fromkeys(large, "too large"))


@pytest.mark.parametrize(("most_atoms", "n_declined"), [(0, 5), (3, 3), (4, 2), (5, 1)])
def test_more_than_half_of_the_ordinary_molecules_declined(most_atoms, n_declined):
    model = Choosy()
    model.most_atoms = most_atoms
    if n_declined <= 2:
        assert "finite" not in broken(model)
        return
    detail = broken(model)["finite"]
    assert f"declines {n_declined} of 5 ordinary molecules" in detail
    assert "ethanol (too large)" in detail


def test_structures_of_other_elements_may_all_be_declined():
    class OnlyHydrogen(Choosy):
        elements = elements("H")
        most_atoms = 2

    found = statuses(OnlyHydrogen(), systems=sample_systems(elements("H C N O")))
    assert found["finite"] == "kept"


@pytest.mark.parametrize("index", [-1, 5, 99, "water"])
def test_a_failure_out_of_range_is_no_shape(index):
    class Miscounting(Springs):
        def predict(self, structures):
            return replace(super().predict(structures), failures={index: "no"})

    detail = broken(Miscounting())["shapes"]
    assert f"Labels.failures names the structure {index!r}, expected 0 to 4" in detail


@pytest.mark.parametrize("leave", [SystemExit("bye"), RuntimeError("bye")])
def test_a_model_that_leaves_is_a_broken_promise(leave):
    class Leaving(Springs):
        def predict(self, structures):
            raise leave

    assert "bye" in broken(Leaving())["shapes"]
