import warnings
from collections.abc import Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import h5py
import pytest
import torch
from ase.build import molecule
from processes import python
from torch import Tensor

from mlffbench.contract.contracts import check_forcefield
from mlffbench.core.errors import ModelError
from mlffbench.core.model_options import ModelOptions
from mlffbench.core.structures import Structures
from mlffbench.core.units import BOHR, HARTREE
from mlffbench.models.load import load_model

pytest.importorskip("torchani")
pytest.importorskip("pkg_resources")

TIGHT = 1e-9
"""In eV and eV/Å; both sides compute in float64."""
GOLDEN = {"CH4": (-40.499647, 0.1815), "CH3CH2OH": (-154.990145, 0.4154)}
"""Energy in hartree and largest |F| in eV/Å (component for ethanol), torchani 2.2.4."""


@pytest.fixture(scope="module")
def ani() -> Any:
    return load_model("ani-1x", ModelOptions())


@pytest.fixture(scope="module")
def plain() -> Any:
    """Return torchani's own ensemble in float64."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torchani
    folder = Path(torchani.__file__).parent / "resources" / "ani-1x_8x"
    load = torchani.neurochem
    constants = load.Constants(str(folder / "rHCNO-5.2R_16-3.5A_a4-8.params"))
    return torchani.models.BuiltinEnsemble(
        torchani.SpeciesConverter(constants.species),
        torchani.AEVComputer(**constants),
        load.load_model_ensemble(constants.species, str(folder / "train"), 8),
        load.load_sae(str(folder / "sae_linfit.dat")),
        constants.species_to_tensor,
        constants,
        {},
        periodic_table_index=True,
    ).double()


def embedded(every: int) -> Structures:
    """Return every n-th H C N O molecule of the embedded set, its first conformer."""
    positions, numbers, ids = [], [], []
    with h5py.File(str(files("mlffbench.datasets.sets.mini") / "mini.hdf5")) as file:
        for name, record in file.items():
            symbols = torch.tensor(record["atomic_numbers"][()]).long()
            if set(symbols.tolist()) <= {1, 6, 7, 8}:
                positions.append(torch.tensor(record["conformations"][0]).double() * BOHR)
                numbers.append(symbols)
                ids.append(name)
    chosen = slice(None, None, every)
    return Structures.build(positions[chosen], numbers[chosen], ids=ids[chosen])


def one_by_one(plain: Any, structures: Structures) -> tuple[Tensor, Tensor]:
    energies, forces = [], []
    for index in range(structures.n_systems):
        one = structures.select([index])
        positions = one.positions.double()[None].requires_grad_()
        energy = plain((one.numbers[None], positions)).energies
        (gradient,) = torch.autograd.grad(energy.sum(), positions)
        energies.append(energy.detach() * HARTREE)
        forces.append(-gradient[0] * HARTREE)
    return torch.cat(energies), torch.cat(forces)


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_published_numbers(ani: Any, name: str) -> None:
    atoms = molecule(name)
    labels = ani.predict(
        Structures.build(
            [torch.tensor(atoms.positions)], [torch.tensor(atoms.numbers)], ids=[name]
        )
    )
    energy, largest = GOLDEN[name]
    assert labels.energy.item() / HARTREE == pytest.approx(energy, abs=1e-6)
    found = labels.forces.norm(dim=1).max(), labels.forces.abs().max()
    assert min(abs(float(value) - largest) for value in found) < 5e-5


def test_a_batch_is_a_plain_torchani_loop(ani: Any, plain: Any) -> None:
    structures = embedded(every=3)
    assert structures.n_systems > 40
    energy, forces = one_by_one(plain, structures)
    labels = ani.predict(structures)
    assert labels.failures == {}
    assert labels.energy.dtype == labels.forces.dtype == torch.float64
    torch.testing.assert_close(labels.energy, energy, atol=TIGHT, rtol=0)
    torch.testing.assert_close(labels.forces, forces, atol=TIGHT, rtol=0)


def test_float32_is_near_but_not_near_enough(plain: Any) -> None:
    structures = embedded(every=10)
    single = load_model("ani-1x", ModelOptions(dtype="float32"))
    _, forces = one_by_one(plain, structures)
    deviation = float((single.predict(structures).forces - forces).abs().max())
    assert 1e-7 < deviation < 1e-4


def test_memory_is_bounded_without_changing_numbers(
    ani: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlffbench.models.pretrained import ani_model as module

    structures = embedded(every=10)
    whole = ani.predict(structures)
    monkeypatch.setattr(module, "MAX_PADDED_PAIRS", {"cpu": 300, "cuda": 300})
    assert len(list(ani._padded(structures, structures.positions))) > 5
    pieces = ani.predict(structures)
    torch.testing.assert_close(pieces.energy, whole.energy, atol=TIGHT, rtol=0)
    torch.testing.assert_close(pieces.forces, whole.forces, atol=TIGHT, rtol=0)


def test_what_it_was_not_made_for_fails_alone(ani: Any) -> None:
    good = embedded(every=60)
    strange = Structures.build(
        [torch.tensor([[0.0, 0, 0], [0, 0, 0.92]]).double()] * 3,
        [torch.tensor([9, 1]), torch.tensor([8, 1]), torch.tensor([8, 1])],
        ids=["hf", "oh-", "cell"],
        charge=[0, -1, 0],
        cell=torch.eye(3).double().expand(3, 3, 3) * 9,
        pbc=torch.tensor([[False] * 3, [False] * 3, [True] * 3]),
    )
    labels = ani.predict(Structures.concatenate([strange, good]))
    assert labels.failures == {
        0: "elements not supported: F",
        1: "charge -1 not supported",
        2: "periodic cells not supported",
    }
    assert torch.equal(labels.energy[3:], ani.predict(good).energy)
    with pytest.raises(ModelError, match="cannot treat 'hf'"):
        ani.embed(strange)


def test_embedding_is_the_atomic_environment(ani: Any, plain: Any) -> None:
    structures = embedded(every=25)
    vectors = ani.embed(structures)
    assert vectors.shape == (structures.n_atoms, 384)
    species = torch.tensor([-1, 0, -1, -1, -1, -1, 1, 2, 3])
    expected: Sequence[Tensor] = []
    for index in range(structures.n_systems):
        one = structures.select([index])
        inputs = species[one.numbers][None], one.positions.double()[None]
        expected = [*expected, plain.aev_computer(inputs)[1][0]]
    torch.testing.assert_close(vectors, torch.cat(list(expected)), atol=TIGHT, rtol=0)


def test_an_atom_alone_and_no_atom_at_all(ani: Any, plain: Any) -> None:
    atom = Structures.build([torch.zeros(1, 3)], [torch.tensor([7])], ids=["N"])
    energy, _ = one_by_one(plain, atom)
    labels = ani.predict(atom)
    torch.testing.assert_close(labels.energy, energy, atol=TIGHT, rtol=0)
    assert not labels.forces.any()
    nothing = ani.predict(atom.select([]))
    assert nothing.energy.shape == (0,)
    assert nothing.forces.shape == (0, 3)


def test_it_keeps_every_promise(ani: Any) -> None:
    promises = check_forcefield(ani)
    assert [(p.name, p.detail) for p in promises if p.status == "broken"] == []


def test_loading_says_nothing() -> None:
    code = (
        "from mlffbench.core.model_options import ModelOptions\n"
        "from mlffbench.models.pretrained.ani import load\n"
        "load(ModelOptions())\n"
    )
    done = python("-c", code)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def apart(distance: float) -> Structures:
    """Return a water molecule and a carbon atom, its distance from the oxygen given."""
    water = torch.tensor(molecule("H2O").positions)
    far = water[:1] + torch.tensor([[0.0, 0.0, distance]])
    return Structures.build(
        [torch.cat([water, far])], [torch.tensor([8, 1, 1, 6])], ids=["apart"]
    )


@pytest.mark.parametrize("radius", [4.6, 3.3, 2.5])
def test_both_envelopes_vanish_at_the_radius(ani: Any, radius: float) -> None:
    """The carbon leaves without a jump, and is far from felt once it has left."""
    narrow = ani.with_cutoff(radius)
    assert (narrow.cutoff, ani.cutoff) == (radius, 5.2)
    step = 1e-5
    inside, outside = (narrow.predict(apart(radius + by)) for by in (-step, step))
    torch.testing.assert_close(inside.energy, outside.energy, atol=1e-8, rtol=0)
    torch.testing.assert_close(inside.forces, outside.forces, atol=2e-4, rtol=0)
    alone = apart(30.0)
    beyond = narrow.predict(apart(radius + 1e-3))
    torch.testing.assert_close(beyond.forces, narrow.predict(alone).forces)
    felt = ani.predict(apart(radius + 1e-3)).forces - beyond.forces
    assert float(felt.abs().max()) > 1e-3


@pytest.mark.parametrize("radius", [5.0, 4.0, 3.0, 1.5])
def test_forces_at_a_radius_are_minus_the_slope(ani: Any, radius: float) -> None:
    narrow = ani.with_cutoff(radius)
    structures = embedded(every=60)
    direction = torch.randn(
        structures.positions.shape,
        generator=torch.Generator().manual_seed(0),
        dtype=torch.float64,
    )
    step = 1e-5
    up, down = (
        narrow.predict(replace(structures, positions=structures.positions + by)).energy
        for by in (step * direction, -step * direction)
    )
    work = structures.positions.new_zeros(structures.n_systems)
    forces = narrow.predict(structures).forces
    work.index_add_(0, structures.system, (forces * direction).sum(1))
    torch.testing.assert_close(-(up - down) / (2 * step), work, atol=1e-5, rtol=1e-5)


def test_the_trained_radius_gives_the_same_bits(ani: Any) -> None:
    structures = embedded(every=10)
    same, expected = ani.with_cutoff(5.2).predict(structures), ani.predict(structures)
    assert torch.equal(same.forces, expected.forces)
    assert torch.equal(same.energy, expected.energy)
    ani.with_cutoff(3.0).predict(structures)
    assert torch.equal(ani.predict(structures).forces, expected.forces)
    assert ani.with_cutoff(3.0).with_cutoff(5.2).cutoff == 5.2


@pytest.mark.parametrize("cutoff", [5.3, 0.0, -1.0, float("nan"), float("inf")])
def test_a_cutoff_that_cannot_work(ani: Any, cutoff: float) -> None:
    with pytest.raises(ModelError, match=r"above 0, and beyond the trained 5.2 Å"):
        ani.with_cutoff(cutoff)
