import ase.units
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlffbench.core.errors import DataError
from mlffbench.core.units import energy_factor, force_factor, length_factor

CODATA = ase.units.create_units("2018")
ENERGIES = {
    "eV": 1.0,
    "meV": 1e-3,
    "hartree": CODATA["Hartree"],
    "Ha": CODATA["Hartree"],
    "rydberg": CODATA["Rydberg"],
    "kcal/mol": CODATA["kcal"] / CODATA["mol"],
    "kJ/mol": CODATA["kJ"] / CODATA["mol"],
}
LENGTHS = {"angstrom": 1.0, "Å": 1.0, "bohr": CODATA["Bohr"], "nm": CODATA["nm"]}


@pytest.mark.parametrize("unit", ENERGIES)
def test_energies_are_those_of_ase(unit):
    assert energy_factor(unit) == pytest.approx(ENERGIES[unit], rel=1e-9)


@pytest.mark.parametrize("unit", LENGTHS)
def test_lengths_are_those_of_ase(unit):
    assert length_factor(unit) == pytest.approx(LENGTHS[unit], rel=1e-9)


@pytest.mark.parametrize("energy", ENERGIES)
@pytest.mark.parametrize("length", LENGTHS)
def test_forces_are_energies_over_lengths(energy, length):
    expected = ENERGIES[energy] / LENGTHS[length]
    assert force_factor(f"{energy}/{length}") == pytest.approx(expected, rel=1e-9)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.sampled_from(sorted(ENERGIES)), st.sampled_from(["", " "]), st.booleans())
def test_case_and_blanks_do_not_matter(unit, blank, upper):
    written = blank + (unit.upper() if upper else unit.lower()) + blank
    # Case does not matter, so mega and milli cannot both be meant: MEV is meV.
    assert energy_factor(written) == energy_factor(unit)


def test_an_unknown_unit_is_named_beside_the_known():
    with pytest.raises(
        DataError, match=r"unknown unit of energy 'erg'; known: .*kcal/mol"
    ):
        energy_factor("erg")
    with pytest.raises(DataError, match=r"unknown unit of length 'mile'; known: .*bohr"):
        length_factor("mile")


def test_a_force_needs_a_length():
    with pytest.raises(DataError, match="expected energy/length"):
        force_factor("eV")
    with pytest.raises(DataError, match="expected energy/length"):
        force_factor("kcal/mol")
    with pytest.raises(DataError, match="unknown unit of length 'mile'"):
        force_factor("kcal/mol/mile")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("kcal mol-1", "kcal/mol"),
        ("kcal mol^-1", "kcal/mol"),
        ("kcal.mol-1", "kcal/mol"),
        ("kcal_per_mol", "kcal/mol"),
        ("kilojoule_per_mole", "kJ/mol"),
        ("Hartrees", "hartree"),
        ("Eh", "hartree"),
        ("a.u.", "hartree"),
        ("atomic units", "hartree"),
        ("electronvolt", "eV"),
    ],
)
def test_energies_in_other_words(written, meant):
    assert energy_factor(written) == pytest.approx(ENERGIES[meant], rel=1e-9)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("kcal/(mol*A)", "kcal/mol/angstrom"),
        ("kcal mol-1 Å-1", "kcal/mol/angstrom"),
        ("kcal/A/mol", "kcal/mol/angstrom"),
        ("kJ mol^{-1} nm^{-1}", "kJ/mol/nm"),
        ("kilojoule_per_mole / nanometer", "kJ/mol/nm"),
        ("Eh/a0", "hartree/bohr"),
        ("au", "hartree/bohr"),
        ("eV·Å⁻¹", "eV/angstrom"),
        ("eV/Ang", "eV/angstrom"),
    ],
)
def test_forces_in_other_words(written, meant):
    assert force_factor(written) == force_factor(meant)


def test_lengths_in_other_words():
    assert length_factor("Angstroms") == length_factor("A") == 1.0
    assert length_factor("a.u.") == length_factor("Bohr") == pytest.approx(CODATA["Bohr"])
    assert length_factor("pm") == pytest.approx(0.01)
