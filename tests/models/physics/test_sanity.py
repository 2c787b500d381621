import torch
from ase.build import bulk, molecule

from mlffbench.core.structures import Structures
from mlffbench.models.physics.sanity import collapsed, impossible_spins


def pair(one: int, other: int, distance: float) -> Structures:
    positions = torch.tensor([[0.0, 0, 0], [0, 0, distance]], dtype=torch.float64)
    return Structures.build([positions], [torch.tensor([one, other])], ids=["pair"])


def test_half_of_the_covalent_radii_is_collapsed() -> None:
    assert collapsed(pair(6, 6, 0.75)) == {0: "collapsed: C–C at 0.75 Å"}
    assert collapsed(pair(6, 6, 0.77)) == {}
    assert collapsed(pair(1, 1, 0.32)) == {}
    assert collapsed(pair(1, 1, 0.0)) == {0: "collapsed: H–H at 0.00 Å"}


def test_only_the_collapsed_one_is_named() -> None:
    water, methane = molecule("H2O"), molecule("CH4")
    fine = Structures.build(
        [torch.tensor(atoms.positions) for atoms in (water, methane)],
        [torch.tensor(atoms.numbers) for atoms in (water, methane)],
        ids=["water", "methane"],
    )
    batch = Structures.concatenate([fine, pair(8, 1, 0.2), fine])
    assert list(collapsed(batch)) == [2]
    assert collapsed(fine.select([])) == {}


def test_periodic_images_count() -> None:
    copper = bulk("Cu")
    for scale, expected in ((1.0, 0), (0.5, 1)):
        structures = Structures.build(
            [torch.tensor(copper.positions)],
            [torch.tensor(copper.numbers)],
            ids=["cu"],
            cell=torch.tensor(copper.cell.array)[None] * scale,
            pbc=torch.ones(1, 3, dtype=torch.bool),
        )
        assert len(collapsed(structures)) == expected


def test_electrons_and_multiplicities() -> None:
    cases = [
        # number, charge, multiplicity, possible
        (1, 0, 2, True),
        (1, 0, 1, False),
        (1, 1, 1, True),
        (1, 0, 4, False),
        (8, 0, 3, True),
        (8, 0, 2, False),
        (8, -1, 2, True),
        (2, 0, 0, False),
    ]
    structures = Structures.build(
        [torch.zeros(1, 3)] * len(cases),
        [torch.tensor([number]) for number, *_ in cases],
        ids=[str(case) for case in cases],
        charge=[charge for _, charge, *_ in cases],
        multiplicity=[multiplicity for *_, multiplicity, _ in cases],
    )
    wrong = impossible_spins(structures)
    assert [index not in wrong for index in range(len(cases))] == [c[3] for c in cases]
    assert wrong[1] == "1 electrons cannot have multiplicity 1"
