"""The extended-XYZ reader against ASE's own, and against files that are wrong."""

import pickle
from pathlib import Path

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from hypothesis import given
from hypothesis import strategies as st
from small_files import ATOM_LINES, COLUMNS, SEEDED, read_everything, write_xyz

from mlffbench.core.errors import DataError
from mlffbench.core.split import Source
from mlffbench.core.units import BOHR, HARTREE, KCAL_PER_MOL
from mlffbench.datasets.files.extxyz import ExtxyzFile

FULL = f"{COLUMNS} energy=-1.5"


def shaken(name: str, seed: int) -> Atoms:
    rng = np.random.default_rng(seed)
    atoms = molecule(name)
    atoms.positions += rng.normal(scale=0.1, size=atoms.positions.shape)
    return atoms


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Five frames by ASE's writer, plain keys through its calculator."""
    frames = [
        shaken(name, i) for i, name in enumerate(["H2O", "CH3OH", "H2O", "CH3", "OH"])
    ]
    for i, atoms in enumerate(frames):
        forces = np.random.default_rng(i).normal(size=(len(atoms), 3))
        atoms.calc = SinglePointCalculator(atoms, energy=-10.0 * i - 1, forces=forces)
    ase.io.write(tmp_path / "shaken.xyz", frames)
    return tmp_path / "shaken.xyz"


@SEEDED
@given(rows=st.lists(st.integers(0, 4), max_size=8))
def test_any_rows_equal_ases_own_reading(path: Path, rows: list[int]) -> None:
    frames = ase.io.read(path, ":")
    source: Source = ExtxyzFile(path, level_of_theory="made up")
    chosen = np.array(rows, dtype=np.int64)
    structures, labels = source.structures(chosen), source.labels(chosen)
    assert structures.ids == tuple(f"shaken/{row}" for row in rows)
    assert structures.positions.dtype == labels.energy.dtype == torch.float64
    assert labels.source == "made up, energies as in the file"
    for i, row in enumerate(rows):
        atoms = (structures.system == i).numpy()
        assert structures.numbers[atoms].tolist() == frames[row].numbers.tolist()
        assert (structures.positions.numpy()[atoms] == frames[row].positions).all()
        assert (labels.forces.numpy()[atoms] == frames[row].get_forces()).all()
        assert labels.energy[i].item() == frames[row].get_potential_energy()


def test_index_and_defaults(path: Path) -> None:
    index = ExtxyzFile(path).index
    assert list(index.groups) == ["H2O", "CH4O", "H2O", "CH3", "HO"]
    assert index.n_atoms.tolist() == [3, 6, 3, 4, 2]
    assert index.elements[1] == {1, 6, 8}
    assert index.charge.tolist() == [0] * 5
    assert index.multiplicity.tolist() == [1, 1, 1, 2, 2], "radicals are doublets"
    assert not index.periodic.any()
    assert ExtxyzFile(path).level_of_theory == "not stated"


def test_reader_survives_pickling(path: Path) -> None:
    source = ExtxyzFile(path)
    rows = np.array([4, 0])
    expected = source.labels(rows).forces
    assert torch.equal(pickle.loads(pickle.dumps(source)).labels(rows).forces, expected)


def test_units_are_converted_once(tmp_path: Path) -> None:
    path = write_xyz(
        tmp_path / "a.xyz", f'{FULL} Lattice="9 0 0 0 9 0 0 0 9" pbc="T T T"'
    )
    source = ExtxyzFile(path, energy_unit="hartree", length_unit="bohr")
    rows = np.array([0])
    structures, labels = source.structures(rows), source.labels(rows)
    assert structures.positions[1, 0].item() == pytest.approx(BOHR)
    assert structures.cell[0].diagonal().tolist() == pytest.approx([9 * BOHR] * 3)
    assert labels.energy.tolist() == pytest.approx([-1.5 * HARTREE])
    assert labels.forces[0].tolist() == pytest.approx(
        [value * HARTREE / BOHR for value in (0.3, 0.4, 0.5)]
    )
    molar = ExtxyzFile(path, energy_unit="kcal/mol").labels(rows)
    assert molar.forces[0, 0].item() == pytest.approx(0.3 * KCAL_PER_MOL)
    with pytest.raises(DataError, match="unknown unit of energy 'horsepower'"):
        ExtxyzFile(path, energy_unit="horsepower")


def test_ref_keys_win_over_plain_ones(tmp_path: Path) -> None:
    atoms = shaken("OH", 0)
    plain, reference = np.ones((2, 3)), np.full((2, 3), 2.0)
    atoms.calc = SinglePointCalculator(atoms, energy=1.0, forces=plain)
    atoms.info["REF_energy"] = 2.0
    atoms.arrays["REF_forces"] = reference
    ase.io.write(tmp_path / "a.extxyz", atoms)
    labels = ExtxyzFile(tmp_path / "a.extxyz").labels(np.array([0]))
    assert labels.energy.tolist() == [2.0]
    assert (labels.forces == 2.0).all()


@pytest.mark.parametrize(
    ("comment", "charge", "multiplicity", "group"),
    [
        ("", 0, 2, "HO"),
        ("charge=-1", -1, 1, "HO"),
        ("total_charge=1 spin=3", 1, 3, "HO"),
        ("total_charge=-1.0 total_spin=1", -1, 1, "HO"),
        ('smiles="[O-:1][H:2]"', -1, 1, "[O-:1][H:2]"),
        ('smiles="[O-:1][H:2]" charge=-1', -1, 1, "[O-:1][H:2]"),
        ("mol_id=7 smiles=[OH]", 0, 2, "7"),
        ("mol_id=07 spin=2", 0, 2, "07"),
        ("smiles=[OH-]", -1, 1, "[OH-]"),
        ("group=g molecule=m", 0, 2, "g"),
        ("molecule=m SMILES=[OH]", 0, 2, "m"),
    ],
)
def test_charge_spin_and_group(
    tmp_path: Path, comment: str, charge: int, multiplicity: int, group: str
) -> None:
    source = ExtxyzFile(write_xyz(tmp_path / "a.xyz", f"{FULL} {comment}"))
    structures = source.structures(np.array([0]))
    assert structures.charge.tolist() == [charge]
    assert structures.multiplicity.tolist() == [multiplicity]
    assert structures.group == (group,)


@pytest.mark.parametrize(
    ("comment", "pbc"),
    [
        ("", [False] * 3),
        ('Lattice="9 0 0 0 9 0 0 0 9" pbc="F F F"', [False] * 3),
        ('Lattice="9 0 0 0 9 0 0 0 9" pbc="T T F"', [True, True, False]),
        ('Lattice="9 0 0 0 9 0 0 0 9"', [True] * 3),
        ('Lattice="9 0 0 0 9 0 0 0 0" pbc="T T F"', [True, True, False]),
    ],
)
def test_only_periodic_frames_have_a_cell(
    tmp_path: Path, comment: str, pbc: list[bool]
) -> None:
    source = ExtxyzFile(write_xyz(tmp_path / "a.xyz", f"{FULL} {comment}"))
    structures = source.structures(np.array([0]))
    assert structures.pbc.tolist() == [pbc]
    assert source.index.periodic.tolist() == [any(pbc)]
    assert bool(structures.cell.any()) == any(pbc)


def test_rows_of_a_lattice_are_its_vectors(tmp_path: Path) -> None:
    lattice = 'Lattice="9 1 2 0 8 0 0 0 7" pbc="T T T"'
    source = ExtxyzFile(write_xyz(tmp_path / "a.xyz", f"{FULL} {lattice}"))
    cell = source.structures(np.array([0])).cell[0]
    assert cell.tolist() == [[9, 1, 2], [0, 8, 0], [0, 0, 7]]


def test_files_without_labels_can_be_read_on_request(tmp_path: Path) -> None:
    path = write_xyz(
        tmp_path / "a.xyz",
        "energy=-1.0",
        "",
        atoms="O 0 0 0\nH 0 0 1\n",
    )
    with pytest.raises(DataError, match=r"frame 0 of .* has no forces; .*\(REF_forces\)"):
        ExtxyzFile(path).index  # noqa: B018 - reading is the point
    labels = ExtxyzFile(path, forces_required=False).labels(np.array([0, 1]))
    assert labels.energy[0].item() == -1.0
    assert torch.isnan(labels.energy[1])
    assert torch.isnan(labels.forces).all()
    assert dict(labels.failures) == {1: "the file has no labels for it"}


def test_blank_lines_between_frames_and_line_ends_do_not_matter(tmp_path: Path) -> None:
    frame = f"2\n{FULL}\n{ATOM_LINES}"
    text = f"\n{frame}\n\n{frame.rstrip()}".replace("\n", "\r\n")
    (tmp_path / "a.xyz").write_bytes(text.encode())
    source = ExtxyzFile(tmp_path / "a.xyz")
    assert source.index.n_structures == 2
    labels = source.labels(np.array([0, 1]))
    assert labels.energy.tolist() == [-1.5, -1.5]


ATOM_FAULTS = {
    "position not finite": ("-0.2", "inf", "'a/1' has a posi"),
    "column missing": (" 0.5", "", "6 columns in the line of at"),
    "column too many": ("0.5", "0.5 1", "8 columns in the line"),
    "no element": ("O ", "Qq ", "frame 1 .* has an atom 'Qq'"),
    "element 0": ("O ", "X ", "frame 1 .* has an atom 'X'"),
    "number a word": ("0.5", "x", "frame 1 .* cannot be parsed"),
}
"""What is replaced in the lines of atoms, by what, and what is said of it."""
FAULTS = {
    "no energy": (COLUMNS, ATOM_LINES, "frame 1 of .* has no energy; expected 'REF_en"),
    "energy a word": (
        f"{COLUMNS} energy=low",
        ATOM_LINES,
        "frame 1 .* no numbers: 'low'",
    ),
    "two energies": (f'{COLUMNS} energy="1 2"', ATOM_LINES, r"frame 1 .* shape \(2,\)"),
    "forces flat": (
        "Properties=species:S:1:pos:R:3:forces:R:1:other:R:2 energy=1",
        ATOM_LINES,
        r"frame 1 .* has forces of shape \(2,\); expected \(2, 3\)",
    ),
    "no species": (
        "Properties=name:S:1:pos:R:3:forces:R:3 energy=1",
        ATOM_LINES,
        "frame 1 .* has the columns name, pos, forces; expected one named species",
    ),
    "columns of no width": (
        "Properties=species:S:1:pos:R:3:forces:R:0 energy=1",
        ATOM_LINES,
        "frame 1 .* cannot be parsed",
    ),
    "lattice short": (
        f'{FULL} Lattice="1 2 3"',
        ATOM_LINES,
        "cannot be parsed .*Lattice",
    ),
    "no lattice": (
        f'{FULL} pbc="T T T"',
        ATOM_LINES,
        "periodic, but not along a lattice",
    ),
    "half a charge": (
        f"{FULL} charge=0.5",
        ATOM_LINES,
        "charge = '0.5'; expected a whole",
    ),
    "charge a word": (
        f"{FULL} charge=plus",
        ATOM_LINES,
        "charge = 'plus'; expected a wh",
    ),
    "charge nonsense": (
        f"{FULL} charge=1e30",
        ATOM_LINES,
        "charge = '1e[+]30'; expected",
    ),
    "spin of the wrong parity": (
        f"{FULL} spin=1",
        ATOM_LINES,
        "impossible for 9 electrons",
    ),
    "spin zero": (f"{FULL} spin=0", ATOM_LINES, "spin 0; expected the multiplicity 2S"),
    "smiles broken": (f'{FULL} smiles="[O"', ATOM_LINES, "frame 1 of .*: SMILES '.O'"),
}
FAULTS |= {
    fault: (FULL, ATOM_LINES.replace(old, new), message)
    for fault, (old, new, message) in ATOM_FAULTS.items()
}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_names_its_frame(tmp_path: Path, fault: str) -> None:
    comment, atoms, message = FAULTS[fault]
    good = write_xyz(tmp_path / "a.xyz", FULL).read_text()
    bad = write_xyz(tmp_path / "a.xyz", comment, atoms=atoms).read_text()
    (tmp_path / "a.xyz").write_text(good + bad)
    with pytest.raises(DataError, match=message) as caught:
        read_everything(ExtxyzFile(tmp_path / "a.xyz"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", ["nan", "-inf", "1e300"])
def test_a_label_that_is_none_fails_its_frame_alone(tmp_path: Path, value: str) -> None:
    good = write_xyz(tmp_path / "a.xyz", FULL).read_text()
    energy = good.replace("energy=-1.5", f"energy={value}")
    force = good.replace("0.5", value, 1)
    assert good not in {energy, force}
    (tmp_path / "a.xyz").write_text(good + energy + good + force)
    labels = ExtxyzFile(tmp_path / "a.xyz").labels(np.arange(4))
    assert dict(labels.failures) == dict.fromkeys([1, 3], "reference label is not finite")
    assert labels.energy.isfinite().tolist() == [True, False, True, True]
    assert int((~labels.forces.isfinite()).sum()) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hello\n", "frame 0 of .* begins with 'hello'; expected its number of atoms"),
        ("0\n\n", "begins with '0'"),
        ("-3\n\n", "begins with '-3'"),
        ("9" * 5000 + "\n", "begins with '999"),
        (f"2\n{FULL}\nO 0 0 0 0 0 0\n", "frame 0 of .* is cut off after 1 of 2 atoms"),
        ("2", "frame 0 of .* is cut off after 0 of 2 atoms"),
        ("\xff\xfe\n", "begins with"),
    ],
)
def test_what_is_no_xyz_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.xyz").write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=message):
        read_everything(ExtxyzFile(tmp_path / "a.xyz"))


def test_file_without_frames_is_empty(tmp_path: Path) -> None:
    (tmp_path / "a.xyz").write_text("\n")
    assert ExtxyzFile(tmp_path / "a.xyz").index.n_structures == 0


@SEEDED
@given(data=st.data())
def test_truncated_or_scrambled_text_is_read_or_refused(
    tmp_path: Path, data: st.DataObject
) -> None:
    comment = f'{FULL} charge=0 spin=2 Lattice="9 0 0 0 9 0 0 0 9" pbc="F F F"'
    raw = write_xyz(tmp_path / "a.xyz", comment, FULL).read_bytes()
    places = st.integers(0, len(raw) - 1)
    scrambled = bytearray(raw)
    for place in data.draw(st.lists(places, max_size=6)):
        scrambled[place] = data.draw(st.integers(0, 255))
    scrambled = scrambled[: data.draw(st.one_of(st.just(len(raw)), places))]
    (tmp_path / "a.xyz").write_bytes(scrambled)
    try:
        read_everything(ExtxyzFile(tmp_path / "a.xyz"))
    except DataError as error:
        assert str(tmp_path) in str(error) or "structure 'a/" in str(error)


@SEEDED
@given(
    positions=st.lists(
        st.tuples(*[st.floats(-1e3, 1e3, width=32)] * 6), min_size=1, max_size=5
    ),
    energy=st.floats(-1e6, 1e6),
    charge=st.integers(-5, 5),
)
def test_what_ase_writes_is_what_is_read(
    tmp_path: Path, positions: list[tuple[float, ...]], energy: float, charge: int
) -> None:
    table = np.array(positions)
    atoms = Atoms(["C"] * len(table), table[:, :3], info={"charge": charge})
    atoms.info["REF_energy"] = energy
    atoms.arrays["REF_forces"] = table[:, 3:]
    ase.io.write(tmp_path / "a.xyz", atoms, format="extxyz")
    source = ExtxyzFile(tmp_path / "a.xyz")
    structures, labels = source.structures(np.array([0])), source.labels(np.array([0]))
    np.testing.assert_allclose(structures.positions.numpy(), table[:, :3], atol=1e-8)
    np.testing.assert_allclose(labels.forces.numpy(), table[:, 3:], atol=1e-8)
    assert labels.energy.item() == energy
    assert structures.charge.tolist() == [charge]
