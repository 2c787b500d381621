from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mlffbench.core.errors import DataError
from mlffbench.core.structures import Structures

few = settings(max_examples=30, deadline=None, derandomize=True)


def batch(sizes=(3, 1, 5), *, dtype=torch.float64, mark=""):
    """A batch whose every value tells which structure it is from."""
    n = len(sizes)
    return Structures.build(
        [torch.arange(3 * s, dtype=dtype).reshape(s, 3) + 100 * s for s in sizes],
        [torch.full((s,), s) for s in sizes],
        ids=[f"{mark}{i}" for i in range(n)],
        group=[f"molecule {s}" for s in sizes],
        smiles=[f"[He:{s}]" for s in sizes],
        charge=[s - 3 for s in sizes],
        multiplicity=[1 + s % 2 for s in sizes],
        cell=torch.arange(9 * n, dtype=dtype).reshape(n, 3, 3),
        pbc=torch.tensor([[s % 2 == 0] * 3 for s in sizes], dtype=torch.bool).reshape(
            n, 3
        ),
    )


def same(one, other):
    tensors = (
        "positions",
        "numbers",
        "system",
        "cell",
        "pbc",
        "charge",
        "multiplicity",
    )
    names = ("ids", "group", "smiles")
    return all(
        torch.equal(getattr(one, name), getattr(other, name)) for name in tensors
    ) and all(getattr(one, name) == getattr(other, name) for name in names)


def with_changes(**changes):
    good = batch()
    values = {name: getattr(good, name) for name in Structures.__slots__}
    return Structures(**(values | changes))


def test_build_lays_structures_end_to_end():
    structures = batch()
    assert structures.n_systems == 3
    assert structures.n_atoms == 9
    assert structures.system.tolist() == [0, 0, 0, 1, 2, 2, 2, 2, 2]
    assert structures.sizes.tolist() == [3, 1, 5]
    assert structures.numbers.tolist() == [3, 3, 3, 1, 5, 5, 5, 5, 5]
    assert structures.positions[3].tolist() == [100.0, 101.0, 102.0]


def test_build_fills_in_a_neutral_singlet_molecule():
    atom = Structures.build([torch.zeros(1, 3)], [torch.tensor([2])], ids=["He"])
    assert atom.charge.tolist() == [0]
    assert atom.multiplicity.tolist() == [1]
    assert not atom.cell.any()
    assert not atom.pbc.any()
    assert atom.group == ("He",)
    assert atom.smiles == ("",)
    assert atom.positions.dtype == atom.cell.dtype == torch.float32


def test_build_keeps_the_gradient_of_positions():
    positions = torch.rand((2, 3), requires_grad=True)
    built = Structures.build([positions], [torch.tensor([1, 1])], ids=["H2"])
    built.positions.sum().backward()
    assert positions.grad is not None


def test_build_counts_its_arguments():
    with pytest.raises(DataError, match="2 ids, 1 positions, 1 numbers"):
        Structures.build([torch.zeros(1, 3)], [torch.tensor([1])], ids=["a", "b"])


def test_an_empty_batch_is_legal():
    nothing = Structures.build([], [], ids=[])
    assert nothing.n_atoms == nothing.n_systems == 0
    assert nothing.sizes.tolist() == []


@few
@given(st.lists(st.lists(st.integers(0, 6), max_size=4), min_size=1, max_size=4))
def test_select_undoes_concatenate(parts):
    batches = [batch(sizes, mark=f"{i}:") for i, sizes in enumerate(parts)]
    together = Structures.concatenate(batches)
    assert together.n_systems == sum(len(sizes) for sizes in parts)
    first = 0
    for part in batches:
        again = together.select(range(first, first + part.n_systems))
        assert same(again, part)
        first += part.n_systems


def test_cut_is_select_of_consecutive_structures():
    structures = batch((3, 1, 5, 2))
    parts = list(structures.cut([1, 0, 3]))
    assert [part.n_systems for part in parts] == [1, 0, 3]
    for part, chosen in zip(parts, ([0], [], [1, 2, 3]), strict=True):
        assert same(part, structures.select(chosen))
    parts[0].positions[:] = 7.0
    assert not (structures.positions == 7.0).any(), "a batch is its own"


@few
@given(st.lists(st.integers(0, 5), min_size=1, max_size=6), st.randoms())
def test_select_takes_any_order_and_repeats(sizes, random):
    structures = batch(sizes)
    order = [random.randrange(len(sizes)) for _ in range(4)]
    chosen = structures.select(order)
    singles = [structures.select([index]) for index in order]
    assert same(chosen, Structures.concatenate(singles))
    assert chosen.sizes.tolist() == [sizes[index] for index in order]


def test_to_changes_floats_only():
    near = replace(batch(), positions=batch().positions / 32)
    single = near.to(dtype=torch.float32)
    assert single.positions.dtype == single.cell.dtype == torch.float32
    assert single.numbers.dtype == single.charge.dtype == torch.int64
    assert single.pbc.dtype == torch.bool
    assert same(single.to(dtype=torch.float64), near)


def test_fields_cannot_be_reassigned():
    with pytest.raises(AttributeError):
        batch().positions = torch.zeros(9, 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"positions": torch.zeros(9, 2).double()}, r"positions has shape \(9, 2\)"),
        (
            {"cell": torch.zeros(3, 3).double()},
            r"cell has shape \(3, 3\), not \(3, 3, 3\)",
        ),
        ({"charge": torch.zeros(2).long()}, r"charge has shape \(2,\), not \(3,\)"),
        ({"cell": torch.zeros(3, 3, 3)}, "cell is torch.float32, not torch.float64"),
        ({"numbers": torch.ones(9)}, "numbers is torch.float32, not torch.int64"),
        ({"pbc": torch.zeros(3, 3).long()}, "pbc is torch.int64, not torch.bool"),
        ({"group": ("a",)}, "must name all 3 structures"),
        ({"smiles": ()}, "must name all 3 structures"),
        ({"system": torch.tensor([1, 1, 1, 0, 2, 2, 2, 2, 2])}, "must be ascending"),
        ({"system": torch.full((9,), 3)}, "points outside the 3 structures"),
        ({"system": torch.full((9,), -1)}, "points outside the 3 structures"),
    ],
)
def test_what_does_not_fit_is_refused(changes, message):
    with pytest.raises(DataError, match=message):
        with_changes(**changes)


def test_integer_positions_are_refused():
    with pytest.raises(DataError, match=r"positions is torch.int64, not a float type"):
        with_changes(positions=torch.ones(9, 3).long(), cell=torch.ones(3, 3, 3).long())


def test_concatenate_needs_something_of_one_kind():
    with pytest.raises(DataError, match="nothing to concatenate"):
        Structures.concatenate([])
    with pytest.raises(
        DataError, match=r"torch.float32 on cpu with torch.float64 on cpu"
    ):
        Structures.concatenate([batch(), batch(dtype=torch.float32)])
