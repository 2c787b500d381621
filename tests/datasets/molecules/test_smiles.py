"""The SMILES parser against rdkit, which knows everything."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_files import SEEDED

from mlffbench.core.errors import DataError
from mlffbench.datasets.molecules.smiles import formal_charge, read_smiles
from mlffbench.datasets.sets.mini.splits import reference_source

Chem = pytest.importorskip("rdkit.Chem")

SMILES = """
C CC(=O)[O-] [NH4+] [Na+].[Cl-] [Fe+2] [Fe++] [Fe+3] [O--] [S-2] [2H]O[2H] [13CH4]
[13CH3-] C[C@H](N)C(=O)O C[C@@H](N)C(=O)O F[C@](Cl)(Br)I [C@@H](F)(Cl)Br
[NH3+]CC([O-])=O [O-][n+]1ccccc1 c1cc[nH]c1 C[n+]1ccccc1 [nH]1cccc1 [H][H] [H+] [H-]
[OH-] [OH2] [CH3-] [CH2-2] O=[N+]([O-])C [Cu+2].[O-]S(=O)(=O)[O-] [Ca++].[F-].[F-]
[Al+3] [Ti+4] [PH4+] C[Si](C)(C)C [SiH4] [se]1cccc1 [cH-]1cccc1 F/C=C/F C/C=C\\C
[Pt@SP1](F)(Cl)(Br)I S[As@TB1](F)(Cl)(Br)N C[Co@@](F)(Cl)(Br)(I)S OC(=[C@AL1]=C(F)Cl)Br
[U+6] [238U] [*] [*+] [235U+4] B(O)O [BH4-] [B-](F)(F)(F)F N#[N+][O-]
[H:3][C:1]#[C:2][H:4].[Na+:5] [O:1]([H:2])[H:3] [H:1][N+:2]([H:3])([H:4])[H:5]
[C:1]([H:2]) [Cl-:1] [Sc+3] [Hg+2] [Zn++] C(=O)([O-])[O-].[Mg+2] C[S+](C)C C1CC1
C%12CC%12 [CH]=O [O] [O-][O-] [te]1cccc1 [Cn] [Og] [Ag+] C[P+](C)(C)C [NH2-] [N-]=[N+]=N
[C-]#[O+] [I-] [Br-].[K+] [Li+]
""".split()


@pytest.mark.parametrize("smiles", SMILES)
def test_charge_is_rdkits(smiles: str) -> None:
    molecule = Chem.MolFromSmiles(smiles, sanitize=False)
    assert molecule is not None, "rdkit does not read it; the list is wrong"
    assert formal_charge(smiles) == Chem.GetFormalCharge(molecule)


@pytest.mark.parametrize("smiles", [s for s in SMILES if read_smiles(s).n_atoms])
def test_explicit_atom_count_is_rdkits(smiles: str) -> None:
    molecule = Chem.MolFromSmiles(smiles, sanitize=False)
    explicit = sum(1 + atom.GetNumExplicitHs() for atom in molecule.GetAtoms())
    assert read_smiles(smiles).n_atoms == explicit


def test_every_smiles_of_the_embedded_set_is_mapped_and_neutral() -> None:
    index = reference_source().index
    for smiles, n_atoms in zip(index.smiles, index.n_atoms, strict=True):
        assert read_smiles(smiles) == (0, n_atoms)


@st.composite
def bracket_atoms(draw: st.DrawFn) -> tuple[str, int, int]:
    """Return a bracket atom, its charge and its number of atoms."""
    isotope = draw(st.sampled_from(["", "2", "13", "235"]))
    symbol = draw(st.sampled_from("C N O Cl Fe c n se Si U *".split()))
    chirality = draw(st.sampled_from(["", "@", "@@", "@TH2", "@OH12"]))
    hydrogens = draw(st.integers(0, 4))
    count = {0: "", 1: "H"}.get(hydrogens, f"H{hydrogens}")
    charge = draw(st.integers(-15, 15))
    sign = "+" if charge > 0 else "-"
    doubled = draw(st.booleans())
    written = sign * abs(charge) if doubled or not charge else f"{sign}{abs(charge)}"
    atom_map = draw(st.sampled_from(["", ":0", ":7", ":999"]))
    atom = f"[{isotope}{symbol}{chirality}{count}{written}{atom_map}]"
    return atom, charge, 1 + hydrogens


@SEEDED
@given(atoms=st.lists(bracket_atoms(), max_size=4))
def test_bracket_atoms_of_the_grammar(atoms: list[tuple[str, int, int]]) -> None:
    smiles = ".".join(atom for atom, _, _ in atoms)
    charge, n_atoms = sum(a[1] for a in atoms), sum(a[2] for a in atoms)
    assert read_smiles(smiles) == (charge, n_atoms)


@pytest.mark.parametrize(
    "smiles", ["[NH4", "C]", "[]", "[12]", "[Qx+]", "[C+-]", "[C:x]", "[[C]]", "[C+100]"]
)
def test_what_is_no_smiles_is_named(smiles: str) -> None:
    with pytest.raises(DataError, match="SMILES"):
        formal_charge(smiles)


@SEEDED
@given(st.text(alphabet="[]CNOH+-@:123#=()aél\n ", max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        assert isinstance(formal_charge(text), int)
    except DataError as error:
        assert "SMILES" in str(error)
