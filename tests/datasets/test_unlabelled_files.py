"""Structures without labels: SMILES, SDF, folders, and labels that are not shown."""

from pathlib import Path

import numpy as np
import pytest
import torch
from ase.build import molecule
from ase.io import write

from mlffbench.core.errors import DataError
from mlffbench.datasets.unlabelled.unlabelled_file import open_unlabelled

pytest.importorskip("rdkit")
SDF = """{name}
  test

  3  2  0  0  0  0  0  0  0  0999 V2000
    0.0000    0.0000    0.1200 O   0  0
    0.0000    0.7600   -0.4800 H   0  0
    0.0000   -0.7600   -0.4800 H   0  0
  1  2  1  0
  1  3  1  0
M  END
$$$$
"""


def names(path: Path, conformers: int = 1) -> list[str]:
    index = open_unlabelled(path, conformers=conformers).index
    return index.ids(np.arange(index.n_structures))


def test_smiles_become_conformers_of_one_molecule(tmp_path: Path) -> None:
    path = tmp_path / "some.smi"
    path.write_text("CCCO propanol\n\n# a remark\nC[NH3+]\n[CH3] radical\n")
    found = open_unlabelled(path, conformers=2)
    assert names(path, 2)[:3] == ["propanol/0", "propanol/1", "line-4/0"]
    held = found.structures(np.arange(6))
    assert held.charge.tolist() == [0, 0, 1, 1, 0, 0]
    assert held.multiplicity.tolist() == [1, 1, 1, 1, 2, 2]
    assert held.group[0] == held.group[1] == "CCCO"
    assert not torch.equal(held.select([0]).positions, held.select([1]).positions)
    again = open_unlabelled(path, conformers=2)
    assert torch.equal(again.structures(np.arange(6)).positions, held.positions)
    assert found.sha256 == again.sha256 != open_unlabelled(path).sha256
    assert torch.isnan(found.labels(np.arange(6)).energy).all()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("nonsense x\n", "line 1 (nonsense) is no SMILES that rdkit can read"),
        ("", "it is empty"),
        ("C1#CC1 strained\n", "line 1 (C1#CC1) cannot be embedded: rdkit finds no"),
    ],
)
def test_what_cannot_be_embedded_is_told(
    tmp_path: Path, text: str, sentence: str
) -> None:
    path = tmp_path / "bad.smi"
    path.write_text(text)
    with pytest.raises(DataError, match="holds no SMILES that can be used") as raised:
        open_unlabelled(path)
    assert sentence in str(raised.value)


def test_a_bad_line_does_not_take_the_others_along(tmp_path: Path) -> None:
    path = tmp_path / "mixed.smi"
    path.write_text("O water\nxyz bad\n")
    (remark,) = open_unlabelled(path).remarks
    assert remark.endswith("left out: line 2 (xyz) is no SMILES that rdkit can read")


def test_molecules_of_one_name_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "twice.sdf"
    path.write_text(SDF.format(name="water") * 2)
    assert names(path) == ["water-1/0", "water-2/0"]
    assert open_unlabelled(path).index.groups[0] == "O"


def test_a_drawing_is_no_structure(tmp_path: Path) -> None:
    path = tmp_path / "flat.sdf"
    from rdkit import Chem
    from rdkit.Chem.rdDepictor import Compute2DCoords

    with Chem.SDWriter(str(path)) as writer:
        drawn = Chem.AddHs(Chem.MolFromSmiles("CC"))
        Compute2DCoords(drawn)
        writer.write(drawn)
    with pytest.raises(DataError, match="molecule 0 is a drawing in two dimensions"):
        open_unlabelled(path)


def test_labels_of_a_file_are_not_shown(tmp_path: Path) -> None:
    atoms = molecule("CH4")
    atoms.info["REF_energy"] = -1.0
    atoms.arrays["REF_forces"] = np.ones((5, 3))
    write(tmp_path / "labelled.xyz", atoms)
    found = open_unlabelled(tmp_path / "labelled.xyz")
    assert found.has_labels
    assert "holds labels; they are ignored" in found.remarks[-1]
    assert torch.isnan(found.labels(np.arange(1)).forces).all()


def test_a_folder_is_all_its_files_and_names_stay_apart(tmp_path: Path) -> None:
    for name in ("a.xyz", "b.xyz"):
        write(tmp_path / name, molecule("H2O"))
    (tmp_path / "c.smi").write_text("C methane\n")
    (tmp_path / "notes.txt").write_text("nothing")
    assert names(tmp_path) == ["a/0", "b/0", "methane/0"]
    (tmp_path / "d").mkdir()
    with pytest.raises(DataError, match="holds no file that is read"):
        open_unlabelled(tmp_path / "d")


def test_a_name_that_two_files_use_gets_a_number(tmp_path: Path) -> None:
    (tmp_path / "a.smi").write_text("C same\n")
    (tmp_path / "b.smi").write_text("O same\n")
    assert names(tmp_path) == ["same-1/0", "same-2/0"]
    (remark,) = open_unlabelled(tmp_path).remarks
    assert "structures share the name 'same'; each got a number" in remark


def test_a_placeholder_an_empty_file_and_a_flat_water_are_refused(tmp_path: Path) -> None:
    flat = SDF.format(name="w").replace("  test\n", f"{'  test':20}2D\n")
    for name, text, sentence in (
        ("a.smi", "CC* rest\n", "has a placeholder"),
        ("b.smi", "CCO,ethanol\n", "expected a SMILES, a blank and a name per line"),
        ("c.sdf", "", "is empty; expected an SDF file"),
        ("d.sdf", flat, "is a drawing in two dimensions"),
        ("e.txt", "CCO ethanol\n", "may also be .smi"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(DataError, match=sentence):
            open_unlabelled(tmp_path / name)


def test_names_are_told_apart_to_the_end_and_files_not_read_are_told(
    tmp_path: Path,
) -> None:
    (tmp_path / "mine.smi").write_text("C a\nN a\nO a-1\n")
    (tmp_path / "mine.pdb").write_text("ATOM\n")
    found = open_unlabelled(tmp_path)
    assert len(set(names(tmp_path))) == 3
    told = " ".join(found.remarks)
    assert "share the name 'a'; each got a number" in told
    assert "not read, being of another kind: mine.pdb" in told
