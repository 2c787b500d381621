"""The datasets, one row each; listing them imports nothing."""

from dataclasses import replace
from typing import Any

from mlffbench.core.card import DataCard, elements
from mlffbench.core.registry import Entry, Registry
from mlffbench.datasets.download.claims import NOT_STATED, Download
from mlffbench.datasets.download.rows_molecules import MOLECULES

_SPICE = "mlffbench.datasets.sets.spice"
_PAPER = "mlffbench.datasets.sets.paper_dynamics"
_SPICE_THEORY = "wB97M-D3(BJ)/def2-TZVPPD, Psi4"
_SPICE_PAPERS = (
    "Eastman et al., Sci. Data 10, 11 (2023), https://doi.org/10.1038/s41597-022-01882-6;"
    " J. Chem. Theory Comput. 20, 8583 (2024), https://doi.org/10.1021/acs.jctc.4c00794"
)
_SPICE_1 = DataCard(
    level_of_theory=_SPICE_THEORY,
    elements=elements("H C N O F P S Cl Br I"),
    licence="CC0 1.0",
    citation=_SPICE_PAPERS,
    source="https://doi.org/10.5281/zenodo.8222043",
    size="1.1 million structures in the file, 16 GB",
    notes=(
        "train: SPICE 1.1.4 by MACE-OFF's rule (neutral; H C N O F P S Cl Br I; no ion "
        "pairs), 95 % of the molecules",
        "labels that are not finite or beyond 1 hartree/bohr are left out, as SPICE does",
    ),
    downloads=("spice-1",),
)
_SPICE_BOTH = replace(
    _SPICE_1,
    elements=elements("H Li B C N O F Na Mg Si P S Cl K Ca Br I"),
    source=f"{_SPICE_1.source}, https://doi.org/10.5281/zenodo.10975225",
    size="3.1 million structures in the files, 54 GB",
    charges="0 in train; ions among the OOD molecules",
    downloads=("spice-1", "spice-2"),
)
_THEIR_FILES = (
    "the paper's own files are read instead where they are downloaded: mlffbench "
    "download mlff-distribution-shifts"
)
_MD17 = tuple(
    f"md17/{name}" for name in ("aspirin", "benzene", "uracil", "toluene", "naphthalene")
)
_OURS: dict[str, Any] = {
    "licence": "MIT, as the package",
    "citation": "this package (CITATION.cff)",
    "source": "ships in the package",
}
_RDKIT = ("rdkit",)


def _published(download: Download, size: str, *downloads: str) -> DataCard:
    """Return the card of what one download brings; its row says the rest."""
    return DataCard(
        level_of_theory=download.level_of_theory,
        elements=elements(download.elements),
        licence=download.licence.replace(NOT_STATED, "not stated by its authors"),
        citation=download.citation,
        source=download.source,
        size=size,
        units=download.units,
        downloads=downloads,
    )


BENCHMARKS = {
    "spice-id": Entry(
        f"{_SPICE}:identical",
        "SPICE 1.1.4, and molecules of it that were held out",
        extra="rdkit",
        requires=_RDKIT,
        card=_SPICE_1,
    ),
    "spice-ood": Entry(
        f"{_SPICE}:shifted",
        "SPICE 1.1.4, and what SPICE 2.0.1 added, by shift",
        extra="rdkit",
        requires=_RDKIT,
        card=replace(
            _SPICE_BOTH,
            notes=(
                *_SPICE_1.notes,
                "OOD: molecules of 2.0.1 whose canonical SMILES and geometries are not "
                "in 1.1.4",
            ),
        ),
    ),
    "md17-extreme": Entry(
        "mlffbench.datasets.sets.md17:extreme",
        "MD17: aspirin, benzene, uracil against toluene and naphthalene",
        card=_published(
            MOLECULES["md17"],
            "six trajectories",
            *_MD17,
            "md17/salicylic-acid",
        ),
    ),
    "md22-force-norm": Entry(
        "mlffbench.datasets.sets.md22:force_norm",
        "MD22: calm frames against hot ones of the same large molecules",
        card=_published(
            MOLECULES["md22"],
            "three trajectories, 182,134 frames by the source page",
            *("md22/stachyose", "md22/dha", "md22/ac-ala3-nhme"),
        ),
    ),
    "paper-spice": Entry(
        "mlffbench.datasets.sets.paper_spice:splits",
        "SPICE 1.1.4 against 10,000 structures SPICE 2 added, by the paper's rules",
        extra="rdkit",
        requires=_RDKIT,
        card=replace(
            _SPICE_BOTH,
            notes=(
                *_SPICE_1.notes,
                "shifts: more than one standard deviation from the training mean; which "
                "structures the paper drew is not published, so they are drawn anew",
                _THEIR_FILES,
            ),
        ),
    ),
    "paper-md17": Entry(
        f"{_PAPER}:md17",
        "MD17: the published frames of three molecules against two aromatic ones",
        card=replace(
            _published(MOLECULES["md17"], "five trajectories", *_MD17),
            notes=(_THEIR_FILES,),
        ),
    ),
    "paper-md22": Entry(
        f"{_PAPER}:md22",
        "MD22: calm frames of stachyose against hot ones, at the published cut",
        card=replace(
            _published(MOLECULES["md22"], "one trajectory", "md22/stachyose"),
            notes=(_THEIR_FILES,),
        ),
    ),
    "acac": Entry(
        "mlffbench.datasets.sets.acac_3bpa:acac",
        "acetylacetone at 300 K against 600 K",
        card=replace(
            _published(MOLECULES["acac"], "1,800 structures, 3 MB", "acac"),
            notes=("the dihedral scan and the proton transfer have energies only",),
        ),
    ),
    "3bpa": Entry(
        "mlffbench.datasets.sets.acac_3bpa:three_bpa",
        "3BPA at 300 K against 600 K, 1200 K and dihedral scans",
        card=replace(
            _published(MOLECULES["3bpa"], "one molecule of 27 atoms", "3bpa"),
            source="https://doi.org/10.1021/acs.jctc.1c00647",
        ),
    ),
}
"""Name -> row."""


DATASETS = Registry(
    "dataset",
    {
        "mini": Entry(
            "mlffbench.datasets.sets.mini.splits:splits",
            "small molecules with DFT and GFN2-xTB labels and seven shifts; ships in the "
            "package",
            card=DataCard(
                level_of_theory="wB97X/6-31G(d), RKS (UKS for radicals), density "
                "fitting, PySCF 2.14.0",
                elements=elements("H B C N O F Si P S Cl"),
                **_OURS,
                size="1334 labelled structures of 298 molecules, 1.7 MB; 408 further "
                "geometries with prior labels, 0.3 MB",
                notes=(
                    "prior labels (GFN2-xTB, tblite 0.8.0) at every geometry",
                    "neutral; closed shells, and doublets in ood_radicals; 3 to 23 atoms",
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
                **_OURS,
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
