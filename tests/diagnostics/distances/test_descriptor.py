import pytest
import torch
from diagnostic_samples import shaken

from mlffbench.core.structures import Structures
from mlffbench.diagnostics.diagnostic import Sample
from mlffbench.diagnostics.distances.descriptor import describe
from mlffbench.diagnostics.distances.neighbours import descriptor_distance
from mlffbench.diagnostics.evidence import with_descriptors

pytest.importorskip("dscribe")


def test_the_descriptor_ignores_rotation_and_is_normalised() -> None:
    structures = shaken(["CH3OH"]).structures
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(1)))
    turned = Structures.build(
        [structures.positions @ turn.Q.double()], [structures.numbers], ids=["turned"]
    )
    a, b = (describe(one, [1, 6, 8]).values for one in (structures, turned))
    assert torch.allclose(a, b, atol=1e-8)
    assert torch.allclose(a.norm(dim=1), torch.ones(len(a)).double())


def test_a_periodic_image_is_seen() -> None:
    place, number = torch.zeros(1, 3).double(), torch.tensor([6])
    loose = Structures.build([place], [number], ids=["loose"])
    bulk = Structures.build(
        [place],
        [number],
        ids=["bulk"],
        cell=2.0 * torch.eye(3).double()[None],
        pbc=torch.ones(1, 3, dtype=torch.bool),
    )
    a, b = (describe(one, [6]).values for one in (loose, bulk))
    assert float((a - b).norm()) > 0.1


def test_hotter_molecules_are_further_away() -> None:
    train = shaken(["CH3OH"] * 20)
    tests = [shaken(["CH3OH"] * 5, seed=9, scale=scale) for scale in (0.05, 0.15)]
    samples = with_descriptors([train, *tests])
    fitted = descriptor_distance(samples[0])
    cold, hot = (fitted.measure(one).values.mean() for one in samples[1:])
    assert hot > 1.5 * cold
    assert fitted.train.values.mean() == pytest.approx(cold, rel=0.5)


def test_a_position_that_is_not_finite_has_a_reason() -> None:
    structures = shaken(["CH3OH", "H2O"]).structures
    positions = structures.positions.clone()
    positions[0] = torch.nan
    broken = Structures.build(
        list(torch.split(positions, structures.sizes.tolist())),
        list(torch.split(structures.numbers, structures.sizes.tolist())),
        ids=structures.ids,
    )
    features = describe(broken, [1, 6, 8])
    assert features.reasons == {0: "positions are not finite"}
    (sample,) = with_descriptors([Sample(name="s", structures=structures)])
    assert sample.descriptor is not None
    assert torch.allclose(features.values[6:], sample.descriptor.values[6:])
