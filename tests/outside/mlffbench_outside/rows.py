"""The rows, with their cards. A list imports this module, so it imports little."""

from typing import Any

from mlffbench.core.card import DataCard, ModelCard, elements
from mlffbench.core.registry import Entry
from mlffbench.diagnostics.diagnostic_card import DiagnosticCard
from mlffbench.metrics.metric_card import MetricCard

OURS: Any = {
    "elements": elements("H C N O"),
    "licence": "MIT",
    "citation": "nobody, nowhere",
}
"""What the cards of the model, the prior and the dataset share."""

CARD = ModelCard(**OURS, level_of_theory="springs of 1 eV/Å²")

SPRINGS = Entry(
    "mlffbench_outside.springs:load_model", "a spring between any two atoms", card=CARD
)

PRIOR = Entry(
    "mlffbench_outside.springs:load_prior", "the same springs, as a prior", card=CARD
)

WELLS = Entry(
    "mlffbench_outside.wells:splits",
    "shaken molecules, each atom in a harmonic well",
    card=DataCard(
        **OURS,
        level_of_theory="harmonic wells",
        source="ships in the package mlffbench-outside",
        size="27 structures of 7 molecules",
        units="Å, eV, eV/Å",
    ),
)

WORST_ATOM = Entry(
    "mlffbench_outside.worst_atom:worst_atom",
    "force error of the worst atom of each structure",
    card=MetricCard(unit="eV/Å", headline=True, label="worst atom"),
)

SPREAD = Entry(
    "mlffbench_outside.spread:spread",
    "distance of a structure's radius of gyration to the mean one of training",
    card=DiagnosticCard(label="gyration distance", unit="Å", kind="size", distance=True),
)
