"""Force fields in closed form with a cutoff, and the files a user would write them in."""

import copy
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from mlffbench.core.graph import radius_graph
from mlffbench.core.labels import Labels
from mlffbench.core.structures import Structures

REACH = 5.0


class Strings:
    """Every two atoms closer than the cutoff pull at each other with 1 eV/Å.

    E = Σ_pairs d: the force on an atom is the sum of unit vectors to those it sees.
    """

    name = "strings"
    elements = frozenset({1, 6, 7, 8})
    cutoff_scope = "graph"

    def __init__(self, cutoff: float = REACH) -> None:
        self.cutoff = cutoff
        self.calls = 0

    def with_cutoff(self, cutoff: float) -> "Strings":
        twin = copy.copy(self)
        twin.cutoff = cutoff
        return twin

    def predict(self, structures: Structures) -> Labels:
        self.calls += 1
        return labels_of(structures, self.cutoff)


class GuidedStrings(Strings):
    """The same with a prior head, whose forces are those of the other times a parameter.

    Its envelope can follow the cutoff: every force is then multiplied by 1 − d/cutoff.
    """

    name = "guided"
    cutoff_scopes = ("graph", "graph+envelope")

    def __init__(self, cutoff: float = REACH) -> None:
        super().__init__(cutoff)
        self.strength = nn.Parameter(torch.ones((), dtype=torch.float64))
        self.asked: list[tuple[float, tuple[str, ...]]] = []

    def with_cutoff(self, cutoff: float, scope: str | None = None) -> "GuidedStrings":
        twin = copy.copy(self)
        twin.cutoff, twin.cutoff_scope = cutoff, scope or self.cutoff_scope
        return twin

    def clone(self) -> "GuidedStrings":
        twin = copy.copy(self)
        twin.strength = nn.Parameter(self.strength.detach().clone())
        return twin

    def representation_parameters(self) -> list[nn.Parameter]:
        return [self.strength]

    def predict(self, structures: Structures) -> Labels:
        return self._detached(structures)

    def predict_prior(self, structures: Structures) -> Labels:
        self.asked.append((self.cutoff, structures.ids))
        return self._detached(structures)

    def forward(self, structures: Structures, head: str) -> Labels:
        return labels_of(structures, self.cutoff, self._envelope(), self.strength)

    def _detached(self, structures: Structures) -> Labels:
        labels = labels_of(structures, self.cutoff, self._envelope(), self.strength)
        return replace(
            labels, energy=labels.energy.detach(), forces=labels.forces.detach()
        )

    def _envelope(self) -> float | None:
        return self.cutoff if self.cutoff_scope == "graph+envelope" else None


def labels_of(
    structures: Structures,
    cutoff: float,
    envelope: float | None = None,
    strength: Tensor | None = None,
) -> Labels:
    """Return the labels in closed form; the envelope enters as ∫(1 − d/r) = d − d²/2r."""
    graph = radius_graph(structures, cutoff)
    vectors = graph.vectors(structures)
    lengths = vectors.norm(dim=1, keepdim=True)
    bent = torch.zeros_like(lengths) if envelope is None else lengths / envelope
    pairs = lengths * (1 - bent / 2)
    pulls = vectors / lengths * (1 - bent)
    if strength is not None:
        factor = strength.to(vectors.dtype)
        pairs, pulls = factor * pairs, factor * pulls
    centre = graph.edges[0]
    energy = structures.positions.new_zeros(structures.n_systems)
    energy = energy.index_add(0, structures.system[centre], pairs[:, 0] / 2)
    forces = torch.zeros_like(structures.positions).index_add(0, centre, pulls)
    return Labels(energy=energy, forces=forces, source="model:strings")


def line(*places: float, name: str = "line", group: str | None = None) -> Structures:
    """Return atoms of carbon on a line."""
    positions = torch.zeros((len(places), 3), dtype=torch.float64)
    positions[:, 0] = torch.tensor(places, dtype=torch.float64)
    numbers = torch.full((len(places),), 6)
    return Structures.build([positions], [numbers], ids=[name], group=[group or name])


def prior_file(folder: Path, reach: float, *, refusing: str = "nothing") -> str:
    """Write strings of a reach as a user's model, to be named as a prior.

    Args:
        folder: Where to.
        reach: Its cutoff in Å.
        refusing: Part of the ids that it fails for.
    """
    path = folder / f"reach{reach:g}{refusing}.py"
    path.write_text(
        f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from dataclasses import replace
from pair_fields import Strings, labels_of


class Prior(Strings):
    name = "strings-{reach:g}-{refusing}"

    def predict(self, structures):
        labels = labels_of(structures, {reach})
        bad = [i for i, one in enumerate(structures.ids) if {refusing!r} in one]
        return replace(labels, failures=dict.fromkeys(bad, "too long a line"))
"""
    )
    return f"{path}:Prior"
