"""Wrong units, gradients and other zeros of energy are named; good labels are not."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from ase.build import molecule

from mlffbench.core.labels import Labels
from mlffbench.core.structures import Structures
from mlffbench.core.units import BOHR, HARTREE, KCAL_PER_MOL, KJ_PER_MOL
from mlffbench.metrics.plausibility import (
    ATOMS,
    judge_data,
    judge_predictions,
    length_unit,
    slope_of,
)

NAMES = ["H2O", "CH4", "CH3OH", "CH3CH2OH", "NH3", "C2H6", "CH3OCH3", "HCN"]


def sample() -> Structures:
    rng = np.random.default_rng(1)
    shaken = [molecule(name) for name in NAMES]
    for atoms in shaken:
        atoms.positions += rng.normal(scale=0.05, size=atoms.positions.shape)
    return Structures.build(
        [torch.tensor(atoms.positions) for atoms in shaken],
        [torch.tensor(atoms.numbers) for atoms in shaken],
        ids=NAMES,
    )


def springs(structures: Structures, stiffness: float) -> torch.Tensor:
    """Return forces of springs between all atoms: no net force, no torque."""
    x = structures.positions
    same = structures.system[:, None] == structures.system[None, :]
    vector = x[:, None] - x[None, :]
    length = vector.norm(dim=-1).clamp(min=1e-9)
    pull = torch.where(same & (length > 1e-6), length - 1.5, torch.zeros_like(length))
    return -stiffness * (pull[..., None] * vector / length[..., None]).sum(1)


def labels(structures: Structures, stiffness: float, share: float) -> Labels:
    """Return springs, and a share of the isolated atoms' energy less 4 eV per atom."""
    atoms = torch.tensor([ATOMS[z] * HARTREE for z in structures.numbers.tolist()])
    energy = torch.zeros(structures.n_systems, dtype=torch.float64)
    energy.index_add_(0, structures.system, share * atoms.double() - 4)
    return Labels(energy=energy, forces=springs(structures, stiffness), source="springs")


STRUCTURES = sample()
GOOD = labels(STRUCTURES, 1.1, 1.0)
CHEAP = labels(STRUCTURES, 1.0, 0.05)


def told(energy: float = 1.0, forces: float = 1.0, *, per_atom: bool = False) -> str:
    wrong = replace(GOOD, energy=GOOD.energy * energy, forces=GOOD.forces * forces)
    if per_atom:
        wrong = replace(wrong, energy=wrong.energy / STRUCTURES.sizes)
    return "; ".join(judge_data(STRUCTURES, wrong, CHEAP))


def test_good_labels_are_silent() -> None:
    assert told() == ""
    assert judge_data(STRUCTURES, CHEAP, CHEAP) == []  # labels of the cheap model itself
    assert length_unit(STRUCTURES) == ""


HA, KCAL, KJ = 1 / HARTREE, 1 / KCAL_PER_MOL, 1 / KJ_PER_MOL
CASES = [
    (KCAL, KCAL, "total energies in kcal/mol", "forces in kcal/mol/Å"),
    (KJ, KJ, "total energies in kJ/mol", "forces in kJ/mol/Å"),
    (1e3, 1e3, "total energies in meV", "forces in meV/Å"),
    (HA, HA, "total energies in hartree", "forces in hartree/Å"),
    (HA, HA * BOHR, "total energies in hartree", "forces in hartree/bohr"),
    (1, HA * BOHR, "", "forces in hartree/bohr"),
    (1, BOHR, "", "forces in eV/bohr"),
    (1, -1, "", "gradients: their sign is turned"),
    (KCAL, -KCAL, "total energies in kcal/mol", "gradients in kcal/mol/Å"),
    (KCAL_PER_MOL, KCAL_PER_MOL, "as if they were kcal/mol,", "were kcal/mol/Å"),
    (HARTREE, HARTREE / BOHR, "as if they were hartree,", "were hartree/bohr"),
    (-1, 1, "total energies with the sign turned in eV", ""),
    (0, 1, "all energies are exactly zero", ""),
    (1, 0, "", "all forces are exactly zero"),
]


@pytest.mark.parametrize(("energy", "forces", "of_energy", "of_forces"), CASES)
def test_a_wrong_unit_is_named(
    energy: float, forces: float, of_energy: str, of_forces: str
) -> None:
    found = told(energy, forces)
    assert of_energy in found
    assert of_forces in found
    assert found.count(";") == bool(of_energy) + bool(of_forces) - 1


def test_another_zero_of_energy_is_named() -> None:
    assert "total energies per atom in eV" in told(per_atom=True)
    bound = labels(STRUCTURES, 1.1, 0.0)
    (found,) = judge_data(STRUCTURES, bound, CHEAP)
    assert found.startswith("energies look like atomisation or formation energies (-4 eV")


def test_positions_in_bohr_are_named() -> None:
    longer = replace(STRUCTURES, positions=STRUCTURES.positions / BOHR)
    assert length_unit(longer) == "bohr"
    shorter = replace(STRUCTURES, positions=STRUCTURES.positions * BOHR)
    assert length_unit(shorter).startswith("Å that were converted")


def test_forces_of_other_geometries_are_named() -> None:
    rng = np.random.default_rng(3)
    noise = torch.tensor(rng.normal(size=(STRUCTURES.n_atoms, 3)))
    found = "; ".join(judge_data(STRUCTURES, replace(GOOD, forces=noise), CHEAP))
    assert "the net force of 8 of 8 molecules" in found
    assert "forces do not belong to these geometries" in found


def test_missing_labels_are_no_finding() -> None:
    nan = replace(
        GOOD,
        energy=torch.full_like(GOOD.energy, torch.nan),
        forces=torch.full_like(GOOD.forces, torch.nan),
    )
    assert judge_data(STRUCTURES, nan, CHEAP) == []
    assert judge_data(STRUCTURES, GOOD, nan) == []


def test_predictions_in_another_unit_are_named() -> None:
    def of(factor: float) -> list[str]:
        return judge_predictions(replace(GOOD, forces=GOOD.forces * factor), GOOD)

    assert of(1.0) == of(0.0) == of(0.6) == of(1.7) == []
    assert "look like kcal/mol/Å" in of(KCAL)[0]
    assert "look like gradients" in of(-1.0)[0]


def test_the_slope_treats_both_sides_alike() -> None:
    one = np.array([[1.0, 2.0, 3.0]])
    slope = slope_of(-2 * one, one)
    assert slope.value == pytest.approx(-2)
    assert slope.correlation == pytest.approx(-1)
