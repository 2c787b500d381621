"""Cards of the force fields that are priors only."""

from mlffbench.core.card import ALL_ELEMENTS, ModelCard, elements

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
