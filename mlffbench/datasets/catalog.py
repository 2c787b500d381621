"""The datasets, one row each; listing them imports nothing."""

from mlffbench.core.card import DataCard, elements
from mlffbench.core.registry import Entry, Registry

_SPICE = "mlffbench.datasets.sets.spice"
_SPICE_THEORY = "wB97M-D3(BJ)/def2-TZVPPD, Psi4"
_SPICE_PAPERS = (
    "Eastman et al., Sci. Data 10, 11 (2023), https://doi.org/10.1038/s41597-022-01882-6;"
    " J. Chem. Theory Comput. 20, 8583 (2024), https://doi.org/10.1021/acs.jctc.4c00794"
)
_SPICE_RULE = (
    "train: SPICE 1.1.4 by MACE-OFF's rule (neutral; H C N O F P S Cl Br I; no ion "
    "pairs), 95 % of the molecules",
    "labels that are not finite or beyond 1 hartree/bohr are left out, as SPICE does",
)
_RDKIT = ("rdkit",)
_KCAL = "Å, kcal/mol, kcal/mol/Å"

BENCHMARKS = {
    "spice-id": Entry(
        f"{_SPICE}:identical",
        "SPICE 1.1.4, and molecules of it that were held out",
        extra="rdkit",
        requires=_RDKIT,
        card=DataCard(
            level_of_theory=_SPICE_THEORY,
            elements=elements("H C N O F P S Cl Br I"),
            licence="CC0 1.0",
            citation=_SPICE_PAPERS,
            source="https://doi.org/10.5281/zenodo.8222043",
            size="1.1 million structures in the file, 16 GB",
            notes=_SPICE_RULE,
            downloads=("spice-1",),
        ),
    ),
    "spice-ood": Entry(
        f"{_SPICE}:shifted",
        "SPICE 1.1.4, and what SPICE 2.0.1 added, by shift",
        extra="rdkit",
        requires=_RDKIT,
        card=DataCard(
            level_of_theory=_SPICE_THEORY,
            elements=elements("H Li B C N O F Na Mg Si P S Cl K Ca Br I"),
            licence="CC0 1.0",
            citation=_SPICE_PAPERS,
            source="https://doi.org/10.5281/zenodo.8222043, "
            "https://doi.org/10.5281/zenodo.10975225",
            size="3.1 million structures in the files, 54 GB",
            charges="0 in train; ions among the OOD molecules",
            notes=(
                *_SPICE_RULE,
                "OOD: molecules of 2.0.1 whose canonical SMILES and geometries are not "
                "in 1.1.4",
            ),
            downloads=("spice-1", "spice-2"),
        ),
    ),
    "md17-extreme": Entry(
        "mlffbench.datasets.sets.md17:extreme",
        "MD17: aspirin, benzene, uracil against toluene and naphthalene",
        card=DataCard(
            level_of_theory="PBE+vdW-TS, FHI-aims",
            elements=elements("H C N O"),
            licence="not stated by its authors",
            citation="Chmiela et al., Sci. Adv. 3, e1603015 (2017), "
            "https://doi.org/10.1126/sciadv.1603015",
            source="http://www.sgdml.org/#datasets",
            size="six trajectories",
            units=_KCAL,
            downloads=tuple(
                f"md17/{molecule}"
                for molecule in (
                    "aspirin",
                    "benzene",
                    "uracil",
                    "toluene",
                    "naphthalene",
                    "salicylic-acid",
                )
            ),
        ),
    ),
    "md22-force-norm": Entry(
        "mlffbench.datasets.sets.md22:force_norm",
        "MD22: calm frames against hot ones of the same large molecules",
        card=DataCard(
            level_of_theory="PBE+MBD, FHI-aims",
            elements=elements("H C N O"),
            licence="not stated by its authors",
            citation="Chmiela et al., Sci. Adv. 9, eadf0873 (2023), "
            "https://doi.org/10.1126/sciadv.adf0873",
            source="http://www.sgdml.org/#datasets",
            size="three trajectories, 182,134 frames by the source page",
            units=_KCAL,
            downloads=("md22/stachyose", "md22/dha", "md22/ac-ala3-nhme"),
        ),
    ),
    "acac": Entry(
        "mlffbench.datasets.sets.acac_3bpa:acac",
        "acetylacetone at 300 K against 600 K",
        card=DataCard(
            level_of_theory="UHF-PBE-D3/def2-SVP, ORCA 5",
            elements=elements("H C O"),
            licence="MIT",
            citation="Batatia et al., Nat. Mach. Intell. 7, 56 (2025), "
            "https://arxiv.org/abs/2205.06643",
            source="https://github.com/davkovacs/BOTNet-datasets",
            size="1,800 structures, 3 MB",
            units="Å, eV, eV/Å",
            notes=("the dihedral scan and the proton transfer have energies only",),
            downloads=("acac",),
        ),
    ),
    "3bpa": Entry(
        "mlffbench.datasets.sets.acac_3bpa:three_bpa",
        "3BPA at 300 K against 600 K, 1200 K and dihedral scans",
        card=DataCard(
            level_of_theory="wB97X/6-31G(d), ORCA",
            elements=elements("H C N O"),
            licence="not stated by its authors (MIT for the part on GitHub)",
            citation="Kovács et al., J. Chem. Theory Comput. 17, 7696 (2021), "
            "https://doi.org/10.1021/acs.jctc.1c00647",
            source="https://doi.org/10.1021/acs.jctc.1c00647",
            size="one molecule of 27 atoms",
            units="Å, eV, eV/Å",
            downloads=("3bpa",),
        ),
    ),
}
"""Name -> row."""


DATASETS = Registry(
    "dataset",
    {
        "mini": Entry(
            "mlffbench.datasets.sets.mini.splits:splits",
            "small molecules with DFT and GFN2-xTB labels and five shifts; ships in the "
            "package",
            card=DataCard(
                level_of_theory="wB97X/6-31G(d), RKS, density fitting, PySCF 2.14.0",
                elements=elements("H B C N O F Si P S Cl"),
                licence="MIT, as the package",
                citation="this package (CITATION.cff)",
                source="ships in the package",
                size="835 labelled structures of 146 molecules, 1.0 MB; 408 further "
                "geometries with prior labels, 0.3 MB",
                notes=(
                    "prior labels (GFN2-xTB, tblite 0.8.0) at every geometry",
                    "neutral closed shells; 3 to 22 atoms",
                    "made by this project: python -m mlffbench.datasets.sets.mini.recipe",
                ),
            ),
        ),
        "mini-geometries": Entry(
            "mlffbench.datasets.sets.mini.splits:further_splits",
            "further geometries of mini's trained molecules, GFN2-xTB labels only",
            card=DataCard(
                level_of_theory="GFN2-xTB, tblite 0.8.0",
                elements=elements("H C N O"),
                licence="MIT, as the package",
                citation="this package (CITATION.cff)",
                source="ships in the package",
                size="408 geometries of 82 molecules, 0.3 MB",
                notes=("for the prior stage of training; no reference labels",),
            ),
        ),
        "spice-sample": Entry(
            "mlffbench.datasets.sets.spice_sample:splits",
            "387 SPICE structures: small molecules against size, peptides, solvation",
            card=DataCard(
                level_of_theory=_SPICE_THEORY,
                elements=elements("H C N O F P S Cl Br"),
                licence="CC0 1.0",
                citation=_SPICE_PAPERS,
                source="ships in the package; labels as published by SPICE, taken from "
                "github.com/ChengUCB/les_fit f9937a51, data-spice-test-bec",
                size="387 structures of 344 molecules, 1.1 MB",
                notes=(
                    "a model trained on SPICE, mace-spice too, may have seen these very "
                    "structures: for it a shift is one of geometry, not of training",
                    "neutral closed shells; 3 to 91 atoms",
                    "made by: python -m mlffbench.datasets.sets.spice_sample_recipe",
                ),
            ),
        ),
        **BENCHMARKS,
    },
    group="mlffbench.datasets",
    card=DataCard,
)
"""Every target is a callable that returns the splits; see `datasets.registered`."""
