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

ADDED: Final[Mapping[str, tuple[str, ...]]] = {
    "mini id molecules": tuple(
        """
        CCC(C)=O C=CC(C)=C CCNC CC(C)C=O COCCO CCOC=O CC=CC=O C=CN C1CCNCC1
        C1CCOCC1 C1=CCCC1 c1cncnc1 c1cn[nH]c1 Cc1ncc[nH]1 O=C1CCCC1 NCC=O
        OCC(O)CO COCOC CCC(N)=O CC(C)CO CC(C)(C)O CCN(C)C
        """.split()
    ),
    "mini elements": tuple(
        """
        C=CF CF ClCCl CSC CC(=O)Cl NC=S OBO NP C[SiH2]O CSSC OCCCl FC#C
        """.split()
    ),
    FORCE_NORM: tuple(
        """
        CCC CO COC C=C CC#N CCN NC=O OC=O C=CC=O CC(C)=O
        """.split()
    ),
    "mini connectivity": tuple(
        """
        C1CN1 C1=CC1 C1=CCC1 C1CNC1 C=C1CC1 C1CC12CC2 O=C1CCN1 O=C1CCO1 CC1CC1
        CC1CO1 C1=CC2C=CC1C2 C1CC2CCC1O2 C1CC2CCC12 C1CC2CC2C1 O=C1CCC1 C1NN1
        C1C=N1
        """.split()
    ),
    DIMERS: tuple(
        """
        CO.O CN.O N.N CC#N.O CCO.O C#N.C#N CO.N C#C.N NO.O C=O.C=O OO.O C=C.O
        CNC.O
        """.split()
    ),
    "mini extreme": tuple(
        """
        COc1ccccc1 C=Cc1ccccc1 N#Cc1ccccc1 O=Cc1ccccc1 NC(=O)c1ccccc1
        OC(=O)c1ccccc1 CC(=O)c1ccccc1 c1ccc2[nH]ccc2c1 c1ccc2occc2c1
        c1ccc2ncccc2c1 Cc1ccccc1O Cc1ccc(C)cc1 Nc1ccc(O)cc1 Oc1ccccc1O
        Oc1ccc(O)cc1 OCc1ccccc1 NCc1ccccc1 CNc1ccccc1 O=[N+]([O-])c1ccccc1
        CCc1ccccc1 C#Cc1ccccc1 c1ccc2[nH]cnc2c1 Nc1ccccc1N Cc1ccccc1N Cc1ccncc1
        Cc1cccc(O)c1 Oc1ccc(O)cc1O
        """.split()
    ),
    "mini composition": tuple(
        """
        CCCCCC CCCCCCC CCCCCO CCCCO CCCCCN CCCCC=O CCCCC#N CCCCC(O)=O C=CCCCC
        CCCOCCC CC#CCCC CCCCOC OCC[N+](=O)[O-] COC(=O)CN COCC(C)=O N#CCC(O)=O
        N#CCC(N)=O C#CC(N)=O C=C[N+](=O)[O-] NNC(C)=O ONC(C)=O C#CCOC C#CCN
        N#CCOC O=CCC(O)=O CC(=O)CC#N CC(=O)OC=C NC(=O)C[N+](=O)[O-] C#CCC(O)=O
        CN(C)CC#N
        """.split()
    ),
    "mini radicals": tuple(
        """
        [CH3] C[CH2] C[CH]C C=C[CH2] C=[CH] [CH2]O [NH2] C[NH] [CH2]N [CH2]C=O
        C[C]=O [CH]=O [CH2]C#N C#C[CH2] O[O] CO[O] C[CH]O CC[CH2] C[C](C)C
        [CH2]OC [CH2]CO [CH2]C(N)=O N[NH] C[N]C C=C([CH2])C C1CC[CH]C1 CC[C]=O
        CC[O] [CH2]C(O)=O [CH2]NC C[CH]N
        """.split()
    ),
}
"""Molecules of version 2 of the set, which gave every shift enough of them to be judged.

Two subsets are new. In ``mini composition`` chains are longer than trained ones, or
groups that are trained apart stand in one molecule; ``mini radicals`` are doublets.
"""


def group_name(subset: str, smiles: str) -> str:
    """Return the name of a molecule's HDF5 group.

    Args:
        subset: A key of `MOLECULES` or of `ADDED`.
        smiles: One of its molecules.

    Example:
        >>> group_name("mini force norm", "CCO")
        'CCO|force-norm'
    """
    return smiles + FORCE_NORM_SUFFIX if subset == FORCE_NORM else smiles
