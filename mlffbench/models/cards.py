"""Cards of the force fields that are models only."""

from mlffbench.core.card import ALL_ELEMENTS, ModelCard, elements

GFN2_XTB = ModelCard(
    elements=frozenset(range(1, 87)),
    charges=None,
    periodic=True,
    level_of_theory="GFN2-xTB",
    training_sets=("parametrised on DFT geometries, frequencies and interactions",),
    licence="LGPL-3.0-or-later (tblite)",
    citation="Bannwarth, Ehlert, Grimme, J. Chem. Theory Comput. 15, 1652 (2019)",
    dtype="float64",
    source="parameters inside tblite",
)
"""Semi-empirical tight binding with multipole electrostatics and D4 dispersion."""

GFN1_XTB = ModelCard(
    elements=frozenset(range(1, 87)),
    charges=None,
    periodic=True,
    level_of_theory="GFN1-xTB",
    training_sets=("parametrised on DFT geometries, frequencies and interactions",),
    licence="LGPL-3.0-or-later (tblite)",
    citation="Grimme, Bannwarth, Shushkov, J. Chem. Theory Comput. 13, 1989 (2017)",
    dtype="float64",
    source="parameters inside tblite",
)
"""The first of its kind, with D3 dispersion and a halogen-bond term."""

MMFF94 = ModelCard(
    elements=elements("H Li C N O F Na Mg Si P S Cl K Ca Fe Cu Zn Br I"),
    charges=None,
    level_of_theory="MMFF94",
    training_sets=("parametrised on HF and MP2 data of small organic molecules",),
    licence="BSD-3-Clause (rdkit)",
    citation="Halgren, J. Comput. Chem. 17, 490 (1996)",
    dtype="float64",
    source="parameters inside rdkit",
)
"""Merck molecular force field: bonds are fixed; metals only as ions."""

UFF = ModelCard(
    elements=frozenset(range(1, 104)),
    charges=None,
    level_of_theory="UFF",
    training_sets=("rules from element, hybridisation and connectivity",),
    licence="BSD-3-Clause (rdkit)",
    citation="Rappé et al., J. Am. Chem. Soc. 114, 10024 (1992)",
    dtype="float64",
    source="parameters inside rdkit",
)
"""Universal force field: bonds are fixed; no electrostatics in rdkit."""


EMT = ModelCard(
    elements=elements("Al Ni Cu Pd Ag Pt Au"),
    periodic=True,
    level_of_theory="effective medium theory",
    training_sets=("fitted to bulk properties of seven fcc metals",),
    licence="LGPL-2.1-or-later (ase)",
    citation="Jacobsen, Stoltze, Nørskov, Surf. Sci. 366, 394 (1996)",
    dtype="float64",
    source="parameters inside ase",
)

SGDML = ModelCard(
    elements=ALL_ELEMENTS,
    level_of_theory="as the file was trained",
    licence="as the file",
    citation="Chmiela et al., Comput. Phys. Commun. 240, 38 (2019)",
    dtype="float64",
    source="a file of yours; it knows one molecule",
)


ZERO = ModelCard(
    elements=ALL_ELEMENTS,
    charges=None,
    periodic=True,
    level_of_theory="isolated atoms (wB97X/6-31G(d)); 0 eV beyond H B C N O F Si P S Cl",
    licence="MIT (mlffbench)",
    citation="none: it is the floor",
    dtype="float64",
)

ANI_1X = ModelCard(
    elements=elements("H C N O"),
    level_of_theory="wB97X/6-31G(d)",
    training_sets=("ANI-1x (5M conformers of H C N O molecules)",),
    licence="MIT (torchani)",
    citation="Smith et al., J. Chem. Phys. 148, 241733 (2018)",
    cutoff=5.2,
    # float32 differs from a one-by-one torchani loop by 7e-6 eV/Å, float64 by 2e-14.
    dtype="float64",
    source="inside torchani 2.2.4 (ensemble of 8 networks)",
)

ANI_1CCX = ModelCard(
    elements=elements("H C N O"),
    level_of_theory="CCSD(T)*/CBS",
    training_sets=("ANI-1x (5M conformers)", "ANI-1ccx (500k conformers)"),
    licence="MIT (torchani)",
    citation="Smith et al., Nat. Commun. 10, 2903 (2019)",
    cutoff=5.2,
    dtype="float64",
    source="inside torchani 1.2 (ensemble of 8 networks)",
)

ANI_2X = ModelCard(
    elements=elements("H C N O F S Cl"),
    level_of_theory="wB97X/6-31G(d)",
    training_sets=("ANI-2x (8.9M conformers)",),
    licence="MIT (ani-model-zoo)",
    citation="Devereux et al., J. Chem. Theory Comput. 16, 4192 (2020)",
    cutoff=5.1,
    dtype="float64",
    source="github.com/aiqm/ani-model-zoo, resources (ensemble of 8 networks)",
)

ANI = ModelCard(
    elements=ALL_ELEMENTS,
    level_of_theory="as the folder was trained",
    licence="as the folder",
    citation="Smith et al., Chem. Sci. 8, 3192 (2017)",
    dtype="float64",
    source="a folder of yours; its own elements and cutoff count",
)

_OFF_CITATION = "Kovács et al., J. Am. Chem. Soc. 147, 17598 (2025), arXiv:2312.15211"


def _mace_off(size: str, cutoff: float) -> ModelCard:
    return ModelCard(
        elements=elements("H C N O F P S Cl Br I"),
        periodic=True,
        level_of_theory="wB97M-D3(BJ)/def2-TZVPPD",
        training_sets=("SPICE 1 (neutral)", "QMugs subset", "water clusters"),
        licence="Academic Software License (no commercial use)",
        citation=_OFF_CITATION,
        cutoff=cutoff,
        source=f"github.com/ACEsuit/mace-off, MACE-OFF23_{size}.model",
    )


MACE_OFF23_SMALL = _mace_off("small", 4.5)
MACE_OFF23_MEDIUM = _mace_off("medium", 5.0)
MACE_OFF23_LARGE = _mace_off("large", 5.0)

MACE_SPICE = ModelCard(
    elements=elements("H Li C N O F Na Mg P S Cl K Ca Br I"),
    periodic=True,
    level_of_theory="wB97M-D3(BJ)/def2-TZVPPD",
    training_sets=("SPICE 1",),
    licence="MIT (openmm-ml)",
    citation="Eastman et al., Sci. Data 10, 11 (2023); weights: OpenMM-ML, 2022; "
    "network: Batatia et al., NeurIPS 2022, arXiv:2206.07697",
    cutoff=4.5,
    source="ships in the package; github.com/openmm/openmm-ml fb5eb676, "
    "examples/mace/MACE_SPICE.model",
)
"""Which molecules of SPICE 1 it was trained on was not published."""

MACE_MP_0 = ModelCard(
    elements=frozenset({*range(1, 84), *range(89, 95)}),
    periodic=True,
    level_of_theory="PBE+U (Materials Project)",
    training_sets=("MPtrj",),
    licence="MIT",
    citation="Batatia et al., J. Chem. Phys. 163, 184110 (2025), arXiv:2401.00096",
    cutoff=6.0,
    source="github.com/ACEsuit/mace-mp, release mace_mp_0 (medium)",
)

MACE = ModelCard(
    elements=ALL_ELEMENTS,
    periodic=True,
    level_of_theory="as the file was trained",
    licence="as the file",
    citation="Batatia et al., NeurIPS 2022, arXiv:2206.07697",
    source="a file of yours; its own elements and cutoff count",
)

MATGL = ModelCard(
    elements=ALL_ELEMENTS,
    periodic=True,
    level_of_theory="as the folder was trained",
    licence="as the folder",
    citation="Simeon, De Fabritiis, NeurIPS 2023, arXiv:2306.06482; "
    "Ko et al., npj Comput. Mater. 11, 253 (2025)",
    source="a folder of yours; its own elements and cutoff count",
)

ASE = ModelCard(
    elements=ALL_ELEMENTS,
    charges=None,
    periodic=True,
    level_of_theory="as the calculator",
    licence="as the calculator",
    citation="Larsen et al., J. Phys.: Condens. Matter 29, 273002 (2017)",
    dtype="float64",
    source="a Python package of yours",
)


def _mini(network: str, citation: str, *, prior: bool) -> ModelCard:
    return ModelCard(
        elements=elements("H B C N O F Si P S Cl"),
        periodic=True,
        level_of_theory="wB97X/6-31G(d)",
        training_sets=(
            "mini (train)",
            *(("mini-geometries (GFN2-xTB)",) if prior else ()),
        ),
        licence="MIT, as the package",
        citation=citation,
        cutoff=4.5,
        source=f"ships in the package ({network}; trained on H C N O)",
    )


_MACE_CITATION = "Batatia et al., NeurIPS 2022, arXiv:2206.07697"
MINI_MACE = _mini("mini-mace", _MACE_CITATION, prior=True)
MINI_MACE_SCRATCH = _mini("mini-mace-scratch", _MACE_CITATION, prior=False)
MINI_SCHNET = _mini(
    "mini-schnet", "Schütt et al., J. Chem. Phys. 148, 241722 (2018)", prior=True
)

CHECKPOINT = ModelCard(
    elements=ALL_ELEMENTS,
    periodic=True,
    level_of_theory="as the checkpoint says",
    licence="as the checkpoint",
    citation="as the checkpoint",
    source="written by mlffbench train; its own elements and cutoff count",
)

ATTACHED = ModelCard(
    elements=ALL_ELEMENTS,
    charges=None,
    periodic=True,
    level_of_theory="as the pretrained model",
    licence="as the pretrained model",
    citation="as the pretrained model",
    source="written by mlffbench train --recipe attach-prior-head; the card of the "
    "pretrained model counts",
)
