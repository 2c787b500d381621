"""Cards of the force fields that are models only."""

from dataclasses import replace
from typing import Any

from mlffbench.core.card import ModelCard, elements


def _tblite(theory: str, citation: str) -> ModelCard:
    return ModelCard(
        elements=frozenset(range(1, 87)),
        charges=None,
        periodic=True,
        level_of_theory=theory,
        training_sets=("parametrised on DFT geometries, frequencies and interactions",),
        **_parameters_inside("tblite", "LGPL-3.0-or-later", citation),
    )


def _rdkit(theory: str, numbers: frozenset[int], fit: str, citation: str) -> ModelCard:
    return ModelCard(
        elements=numbers,
        charges=None,
        level_of_theory=theory,
        training_sets=(fit,),
        **_parameters_inside("rdkit", "BSD-3-Clause", citation),
    )


def _parameters_inside(package: str, licence: str, citation: str) -> dict[str, Any]:
    return {
        "licence": f"{licence} ({package})",
        "citation": citation,
        "dtype": "float64",
        "source": f"parameters inside {package}",
    }


GFN2_XTB = _tblite(
    "GFN2-xTB", "Bannwarth, Ehlert, Grimme, J. Chem. Theory Comput. 15, 1652 (2019)"
)
"""Semi-empirical tight binding with multipole electrostatics and D4 dispersion."""

GFN1_XTB = _tblite(
    "GFN1-xTB", "Grimme, Bannwarth, Shushkov, J. Chem. Theory Comput. 13, 1989 (2017)"
)
"""The first of its kind, with D3 dispersion and a halogen-bond term."""

MMFF94 = _rdkit(
    "MMFF94",
    elements("H Li C N O F Na Mg Si P S Cl K Ca Fe Cu Zn Br I"),
    "parametrised on HF and MP2 data of small organic molecules",
    "Halgren, J. Comput. Chem. 17, 490 (1996)",
)
"""Merck molecular force field: bonds are fixed; metals only as ions."""

UFF = _rdkit(
    "UFF",
    frozenset(range(1, 104)),
    "rules from element, hybridisation and connectivity",
    "Rappé et al., J. Am. Chem. Soc. 114, 10024 (1992)",
)
"""Universal force field: bonds are fixed; no electrostatics in rdkit."""

_EMT_CITATION = "Jacobsen, Stoltze, Nørskov, Surf. Sci. 366, 394 (1996)"
EMT = ModelCard(
    elements=elements("Al Ni Cu Pd Ag Pt Au"),
    periodic=True,
    level_of_theory="effective medium theory",
    training_sets=("fitted to bulk properties of seven fcc metals",),
    **_parameters_inside("ase", "LGPL-2.1-or-later", _EMT_CITATION),
)

ZERO = ModelCard(
    charges=None,
    level_of_theory="isolated atoms (wB97X/6-31G(d)); 0 eV beyond H B C N O F Si P S Cl",
    periodic=True,
    dtype="float64",
    licence="MIT (mlffbench)",
    citation="none: it is the floor",
)


def _yours(what: str, citation: str, source: str = "") -> ModelCard:
    """Return the card of a model that a user names by its path, any elements."""
    return ModelCard(
        periodic=True,
        level_of_theory=f"as the {what} was trained",
        licence=f"as the {what}",
        citation=citation,
        source=source or f"a {what} of yours; its own elements and cutoff count",
    )


_MACE_CITATION = "Batatia et al., NeurIPS 2022, arXiv:2206.07697"
MACE = _yours("file", _MACE_CITATION)
MATGL = _yours(
    "folder",
    "Simeon, De Fabritiis, NeurIPS 2023, arXiv:2306.06482; "
    "Ko et al., npj Comput. Mater. 11, 253 (2025)",
)
ANI = replace(
    _yours("folder", "Smith et al., Chem. Sci. 8, 3192 (2017)"),
    periodic=False,
    dtype="float64",
)
SGDML = replace(
    _yours(
        "file",
        "Chmiela et al., Comput. Phys. Commun. 240, 38 (2019)",
        "a file of yours; it knows one molecule",
    ),
    periodic=False,
    dtype="float64",
)
ASE = replace(
    _yours(
        "calculator",
        "Larsen et al., J. Phys.: Condens. Matter 29, 273002 (2017)",
        "a Python package of yours",
    ),
    charges=None,
    level_of_theory="as the calculator",
    dtype="float64",
)
CHECKPOINT = replace(
    _yours("checkpoint", "as the checkpoint"),
    level_of_theory="as the checkpoint says",
    source="written by mlffbench train; its own elements and cutoff count",
)
ATTACHED = replace(
    _yours("pretrained model", "as the pretrained model"),
    charges=None,
    level_of_theory="as the pretrained model",
    source="written by mlffbench train --recipe attach-prior-head; the card of the "
    "pretrained model counts",
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
ANI_1CCX = replace(
    ANI_1X,
    level_of_theory="CCSD(T)*/CBS",
    training_sets=("ANI-1x (5M conformers)", "ANI-1ccx (500k conformers)"),
    citation="Smith et al., Nat. Commun. 10, 2903 (2019)",
    source="inside torchani 1.2 (ensemble of 8 networks)",
)
ANI_2X = replace(
    ANI_1X,
    elements=elements("H C N O F S Cl"),
    training_sets=("ANI-2x (8.9M conformers)",),
    licence="MIT (ani-model-zoo)",
    citation="Devereux et al., J. Chem. Theory Comput. 16, 4192 (2020)",
    cutoff=5.1,
    source="github.com/aiqm/ani-model-zoo, resources (ensemble of 8 networks)",
)

MACE_OFF23_LARGE = ModelCard(
    elements=elements("H C N O F P S Cl Br I"),
    periodic=True,
    level_of_theory="wB97M-D3(BJ)/def2-TZVPPD",
    training_sets=("SPICE 1 (neutral)", "QMugs subset", "water clusters"),
    licence="Academic Software License (no commercial use)",
    citation="Kovács et al., J. Am. Chem. Soc. 147, 17598 (2025), arXiv:2312.15211",
    cutoff=5.0,
    source="github.com/ACEsuit/mace-off, MACE-OFF23_large.model",
)
_OFF = "github.com/ACEsuit/mace-off, MACE-OFF23"
MACE_OFF23_MEDIUM = replace(MACE_OFF23_LARGE, source=f"{_OFF}_medium.model")
MACE_OFF23_SMALL = replace(MACE_OFF23_LARGE, source=f"{_OFF}_small.model", cutoff=4.5)

MACE_SPICE = replace(
    MACE_OFF23_LARGE,
    elements=elements("H Li C N O F Na Mg P S Cl K Ca Br I"),
    training_sets=("SPICE 1",),
    licence="MIT (openmm-ml)",
    citation="Eastman et al., Sci. Data 10, 11 (2023); weights: OpenMM-ML, 2022; "
    f"network: {_MACE_CITATION}",
    cutoff=4.5,
    source="ships in the package; github.com/openmm/openmm-ml fb5eb676, "
    "examples/mace/MACE_SPICE.model",
)
"""Which molecules of SPICE 1 it was trained on was not published."""

MACE_MP_0 = ModelCard(
    elements=frozenset({*range(1, 84), *range(89, 95)}),
    cutoff=6.0,
    periodic=True,
    level_of_theory="PBE+U (Materials Project)",
    training_sets=("MPtrj",),
    licence="MIT",
    citation="Batatia et al., J. Chem. Phys. 163, 184110 (2025), arXiv:2401.00096",
    source="github.com/ACEsuit/mace-mp, release mace_mp_0 (medium)",
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


MINI_MACE = _mini("mini-mace", _MACE_CITATION, prior=True)
MINI_MACE_SCRATCH = _mini("mini-mace-scratch", _MACE_CITATION, prior=False)
MINI_SCHNET = _mini(
    "mini-schnet", "Schütt et al., J. Chem. Phys. 148, 241722 (2018)", prior=True
)
MINI_GEMNET = _mini(
    "mini-gemnet", "Gasteiger et al., NeurIPS 2021, arXiv:2106.08903", prior=True
)

_NEAR_ALL = frozenset({*range(1, 84), *range(89, 95)})
_SEVENNET_CITATION = "Park et al., J. Chem. Theory Comput. 20, 4857 (2024)"
SEVENNET = _yours("checkpoint", _SEVENNET_CITATION)
SEVENNET_0 = ModelCard(
    elements=_NEAR_ALL,
    cutoff=5.0,
    periodic=True,
    level_of_theory="PBE+U (Materials Project)",
    training_sets=("MPtrj",),
    licence="GPL-3.0 (sevenn), weights as the package",
    citation=_SEVENNET_CITATION,
    source="inside sevenn 0.13.0 (checkpoint of 11 July 2024)",
)

_ORB_CITATION = "Rhodes et al., arXiv:2504.06231 (2025)"
ORB_V3 = ModelCard(
    elements=frozenset(range(1, 104)),
    cutoff=6.0,
    periodic=True,
    level_of_theory="PBE+U (OMat24, or MPtrj and Alexandria, as the name says)",
    training_sets=("OMat24, or MPtrj and Alexandria",),
    licence="Apache-2.0 (orb-models)",
    citation=_ORB_CITATION,
    source="downloaded by orb-models, or a file of yours",
)
ORB_OMOL = replace(
    ORB_V3,
    charges=None,
    periodic=False,
    level_of_theory="wB97M-V/def2-TZVPD",
    training_sets=("OMol25",),
)
"""OrbMol; it is told charge and spin."""

_AIMNET_CITATION = "Anstine, Zubatyuk, Isayev, Chem. Sci. 16, 10228 (2025)"
AIMNET = replace(
    _yours("file", _AIMNET_CITATION),
    charges=None,
    periodic=False,
)
AIMNET2 = ModelCard(
    elements=elements("H B C N O F Si P S Cl As Se Br I"),
    charges=None,
    level_of_theory="wB97M-D3(BJ)/def2-TZVPP",
    training_sets=("20M neutral and charged molecules of 14 elements",),
    licence="MIT (aimnet)",
    citation=_AIMNET_CITATION,
    cutoff=5.0,
    source="storage.googleapis.com/aimnetcentral, aimnet2_wb97m_d3_0.pt",
)

NEQUIP = _yours(
    "file",
    "Tan et al., arXiv:2504.16068 (2025); Batzner et al., Nat. Commun. 13, 2453 (2022); "
    "Musaelian et al., Nat. Commun. 14, 579 (2023)",
)

PET = _yours(
    "checkpoint",
    "Pozdnyakov, Ceriotti, NeurIPS 2023, arXiv:2305.19302; Mazitov et al., "
    "Nat. Commun. 16, 10653 (2025)",
)

FAIRCHEM = _yours(
    "checkpoint",
    "Wood et al., arXiv:2506.23971 (2025); Fu et al., arXiv:2502.12147 (2025)",
)

TORCHSIM = replace(
    ASE,
    level_of_theory="as the model",
    citation="Cohen et al., arXiv:2508.06628 (2025)",
    source="a Python package of yours, with TorchSim's ModelInterface",
)
