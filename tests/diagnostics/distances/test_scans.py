"""Scans: jumps, forces without an energy, and holes show; smooth surfaces are silent."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from diagnostic_samples import shaken
from pair_fields import Strings

from mlffbench.core.errors import BenchError
from mlffbench.core.labels import Labels
from mlffbench.core.structures import Structures
from mlffbench.diagnostics.diagnostic import Sample, only
from mlffbench.diagnostics.distances.bond_scan import UNBONDED, bond_scan
from mlffbench.diagnostics.distances.diatomics import diatomic_hole
from mlffbench.diagnostics.distances.jacobian_asymmetry import UNMOVED, jacobian_asymmetry
from mlffbench.run.diagnose.instruments import NOT_SCANNED, Instruments

NAMES = ["CH3OH", "H2O", "C2H6"]


def wells(
    structures: Structures,
    *,
    power: int = -6,
    jump: float = 0.0,
    share: float = 1.0,
    at: float = 1.2,
) -> Labels:
    """Return r^power of all pairs, a jump at a distance, and a share of the forces."""
    energies, forces = [], []
    for place in range(structures.n_systems):
        x = structures.select([place]).positions.double().requires_grad_()
        n = len(x)
        first, second = torch.triu_indices(n, n, 1)
        lengths = (x[first] - x[second]).norm(dim=1)
        energy = (lengths**power).sum()
        (slope,) = torch.autograd.grad(energy, x)
        energies.append(energy.detach() + jump * (lengths.detach() < at).sum())
        forces.append(-share * slope)
    return Labels(energy=torch.stack(energies), forces=torch.cat(forces), source="wells")


def asked(scan: Callable[[Structures], Labels]) -> Sample:
    return replace(shaken(NAMES), scan=scan)


def test_a_bond_scan_finds_a_jump_with_its_size() -> None:
    train = shaken(NAMES)
    smooth = bond_scan(train).measure(asked(wells)).values
    assert smooth.max() < 1e-3
    found = bond_scan(train).measure(asked(lambda s: wells(s, jump=0.1, at=1.1)))
    assert found.values[0] == pytest.approx(0.1, abs=2e-3)  # a C–H bond crosses 1.1 Å
    weak = bond_scan(train).measure(asked(lambda s: wells(s, share=0.9)))
    assert weak.values.max() > 100 * smooth.max()


def test_the_jacobian_of_a_gradient_is_symmetric_and_that_is_said() -> None:
    train = shaken(NAMES)
    found = jacobian_asymmetry(train).measure(asked(wells))
    assert found.values.max() < 1e-3
    assert found.notes[0].startswith("not applicable: at most ")

    def spun(structures: Structures) -> Labels:
        labels = wells(structures)
        x = structures.positions.double()
        whirl = torch.stack([-x[:, 1], x[:, 0], 0 * x[:, 0]], 1)
        return replace(labels, forces=whirl)

    pure = jacobian_asymmetry(train).measure(asked(spun))
    assert pure.values == pytest.approx(1.0)  # J is antisymmetric
    assert not pure.notes


def test_a_hole_is_as_deep_as_atoms_fall() -> None:
    train = shaken(NAMES)
    assert diatomic_hole(train).measure(asked(wells)).values.tolist() == [0, 0, 0]
    found = diatomic_hole(train).measure(asked(lambda s: wells(s, power=2)))
    ends = np.array([0.4, 0.7]) * 2 * 0.76  # C–C, the longest pair of C2H6
    assert found.values[2] == pytest.approx(ends[1] ** 2 - ends[0] ** 2)
    assert found.notes[0].startswith("not repulsive all the way: C–C (")


def test_what_cannot_be_scanned_has_its_reason() -> None:
    alone = Structures.build(
        [torch.zeros(1, 3).double()], [torch.tensor([2])], ids=["He"]
    )
    sample = Sample(name="one atom", structures=alone, scan=wells)
    assert bond_scan(sample).measure(sample).reasons == {
        0: "no two atoms of it are bonded"
    }
    assert jacobian_asymmetry(sample).measure(sample).reasons == {0: UNMOVED}
    assert diatomic_hole(sample).measure(sample).reasons == {0: "it has no two atoms"}

    one = torch.zeros(2, 3).double()
    met = Structures.build([one], [torch.tensor([1, 1])], ids=["at one place"])
    sample = replace(sample, structures=met)
    assert bond_scan(sample).measure(sample).reasons == {0: UNBONDED}

    def failing(structures: Structures) -> Labels:
        labels = wells(structures)
        why = dict.fromkeys(range(structures.n_systems), "no SCF")
        return replace(labels, energy=labels.energy * torch.nan, failures=why)

    for row in (bond_scan, jacobian_asymmetry, diatomic_hole):
        found = row(sample).measure(asked(failing))
        assert np.isnan(found.values).all()
        assert found.reasons[0] == "no SCF"
        assert row(sample).train.reasons[0].startswith("a scan asks the model alone")


def test_a_pair_that_the_model_refuses_is_no_silence() -> None:
    def without_oxygen(structures: Structures) -> Labels:
        rows = structures.numbers == 8
        refused = structures.system[rows].unique().tolist()
        failures = dict.fromkeys(refused, "elements not supported: O")
        return replace(wells(structures), failures=failures)

    found = diatomic_hole(shaken(NAMES)).measure(asked(without_oxygen))
    assert np.isnan(found.values).tolist() == [True, True, False]
    assert found.reasons == dict.fromkeys((0, 1), "elements not supported: O")


class Seeing(Strings):
    """Pairs that pull at each other up to a cutoff; it tells atoms apart by element."""

    def embed(self, structures: Structures) -> torch.Tensor:
        return structures.numbers[:, None].double()


def test_instruments_scan_where_asked_at_the_cutoff_of_the_graphs() -> None:
    bare = Sample(name="x", structures=shaken(NAMES[:2]).structures)
    told = Instruments.of(Seeing()).examine([bare])[0]
    assert told.why_absent("scan") == NOT_SCANNED
    found = [
        Instruments.of(Seeing(), cutoff=cutoff, dtype="float64", scans=True)
        for cutoff in (None, 1.0)
    ]
    whole, narrow = (one.examine([bare])[0] for one in found)
    assert bond_scan(bare).measure(whole).values.max() < 1e-3
    # bonded atoms jump out, and take an energy of their distance along
    assert bond_scan(bare).measure(narrow).values.max() > 0.5
    assert only(whole, ("prior",)).scan is None


def test_labels_are_not_seen_by_a_scan() -> None:
    sample = asked(wells)
    assert only(sample, ("scan",)).reference is None
    with pytest.raises(BenchError, match="--scans asks a model of moved structures"):
        _instruments_without_a_model()


def _instruments_without_a_model() -> None:
    from mlffbench.cli.diagnose import _instruments
    from mlffbench.cli.shared.options import Device, Dtype

    machine = Device.cpu, Dtype.auto
    _instruments(None, None, None, (None, None), machine, scans=True, trust=False)
