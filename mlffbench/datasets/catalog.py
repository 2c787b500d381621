"""The datasets, one row each; listing them imports nothing."""

from mlffbench.core.card import DataCard, elements
from mlffbench.core.registry import Entry, Registry
from mlffbench.datasets.catalog_benchmarks import BENCHMARKS

DATASETS = Registry(
    "dataset",
    {
        "mini": Entry(
            "mlffbench.datasets.mini.splits:splits",
            "small molecules with DFT and GFN2-xTB labels and five shifts; ships in the "
            "package",
            facts=DataCard(
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
                    "made by this project: python -m mlffbench.datasets.mini.recipe",
                ),
            ),
        ),
        "mini-geometries": Entry(
            "mlffbench.datasets.mini.splits:further_splits",
            "further geometries of mini's trained molecules, GFN2-xTB labels only",
            facts=DataCard(
                level_of_theory="GFN2-xTB, tblite 0.8.0",
                elements=elements("H C N O"),
                licence="MIT, as the package",
                citation="this package (CITATION.cff)",
                source="ships in the package",
                size="408 geometries of 82 molecules, 0.3 MB",
                notes=("for the prior stage of training; no reference labels",),
            ),
        ),
        **BENCHMARKS,
    },
)
