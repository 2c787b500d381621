"""The molecules of the mini OOD set: the SMILES of every subset, as data.

Read off the embedded ``mini.hdf5``. A dimer is two SMILES joined by a dot. The force-norm
subset reuses molecules of ``mini train``; its HDF5 groups carry a suffix, so that both
geometries of one molecule fit in one file.
"""

from collections.abc import Mapping
from typing import Final

TRAIN: Final = "mini train"
DIMERS: Final = "mini dimers"
FORCE_NORM: Final = "mini force norm"
FORCE_NORM_SUFFIX: Final = "|force-norm"

MOLECULES: Final[Mapping[str, tuple[str, ...]]] = {
    TRAIN: tuple(
        """
        C#C C#N C1CCCC1 C1CCNC1 C1CCOC1 C1COCO1 C=C C=C=C C=C=O C=CC#N C=CC=C C=CC=O
        C=CO C=NO C=O CC CC#C CC#CC CC#N CC(=O)C(C)=O CC(=O)C=C CC(=O)NC CC(C)=C CC(C)=O
        CC(C)C CC(C)O CC(N)=O CC(O)=O CC=C CC=CC CC=N CC=O CCC CCC#N CCC(O)=O CCC=O CCCC
        CCCCC CCCN CCCO CCN CCO CCOC CN CN(C)C CN(C)C=O CNC CNC=O CNN CO COC COC(C)=O
        COC=O CON C[N+](=O)[O-] Cc1ccco1 N NC(N)=O NC=O NCC(=O)O NCC(N)=O NCCN NCCO NN
        NO Nc1ccccc1 O O=C1CCCN1 O=CC=O OC=O OCC(O)=O OCC=O OCCO OO Oc1ccccc1 c1cc[nH]c1
        c1ccccc1 c1ccncc1 c1ccoc1 c1cnc[nH]1 c1cnccn1 c1cocn1
        """.split()
    ),
    "mini id molecules": tuple(
        """
        C=CCO CC(C)N CC(N)C(=O)O CC(O)C=O CCC=C CNC(C)=O COCC=O Cc1cc[nH]c1 N#CCO OCCN
        c1ccnnc1
        """.split()
    ),
    "mini elements": tuple(
        """
        C=CCl CB(C)C CC(=O)F CC(=O)S CCS CCl CP CP(C)C CS CS(C)=O C[SiH2]C C[SiH3]
        ClCC=O FC(F)F FCC(=O)O NC(N)=S N[SiH3] OB(O)O O[SiH3] c1ccsc1
        """.split()
    ),
    "mini connectivity": tuple(
        """
        C12C3C1C23 C12C3C4C1C5C2C3C45 C1=CC2C=CC1C=C2 C1C2CC12 C1C2CC1C2 C1CC1
        C1CC2C=CC1C2 C1CC2CC12 C1CC2CCC1C2 C1CCC1 C1CN2CCN1CC2 C1CO1 C1COC1
        C1N2CN3CN1CN(C2)C3
        """.split()
    ),
    DIMERS: tuple(
        """
        C#C.C=O C#N.O C=C=C.N C=O.O CC#N.CC#N CC(C)=O.O CC=O.O CCC.CO CN.CO CO.CO COC.O
        N.O NC=O.NC=O NC=O.O O.O OC=O.O OC=O.OC=O c1ccoc1.O
        """.split()
    ),
    "mini extreme": tuple(
        """
        Cc1ccccc1 OC(=O)c1ccccc1O c1ccc2ccccc2c1
        """.split()
    ),
    FORCE_NORM: tuple(
        """
        C#N C1CCNC1 CC#CC CC(=O)C(C)=O CC(C)=C CC(N)=O CC=C CC=O CCO CC CN(C)C=O CNC
        COC(C)=O C[N+](=O)[O-] NCC(=O)O NCCN NN O=CC=O OCCO Oc1ccccc1 c1ccoc1 c1cnccn1
        """.split()
    ),
}


def group_name(subset: str, smiles: str) -> str:
    """Return the name of a molecule's HDF5 group.

    Args:
        subset: A key of `MOLECULES`.
        smiles: One of its molecules.

    Example:
        >>> group_name("mini force norm", "CCO")
        'CCO|force-norm'
    """
    return smiles + FORCE_NORM_SUFFIX if subset == FORCE_NORM else smiles
