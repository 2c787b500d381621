"""Cards of the force fields that are a model and a prior at once.

`mlffbench.models` and `mlffbench.priors` do not import each other; what both catalogues
say of the same force field stands here once.
"""

from mlffbench.core.card import ModelCard, elements

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
