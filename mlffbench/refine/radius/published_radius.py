"""RR as published: the paper's grid, its spectra and its squared distance.

Kreiman & Krishnapriyan, arXiv 2503.08674; docs/paper.md says where their released code
departs from their text, and what is done here.
"""

from collections.abc import Mapping
from typing import cast

import numpy as np
import torch

from mlffbench.core.errors import BenchError, CapabilityError
from mlffbench.core.forcefield import ForceField, HasCutoff
from mlffbench.core.structures import Structures
from mlffbench.models.cutoffs import Candidate, candidates_of, require_cutoff
from mlffbench.refine.per_structure import Routed
from mlffbench.refine.radius.published_spectrum import (
    Floats,
    PublishedSpectrum,
    published_distance,
    published_spectrum,
)
from mlffbench.refine.radius.reference import Reference, reference_of, remembered
from mlffbench.refine.refiner import Fact, Refined, Training, Unit


class PublishedRadius:
    """Radius refinement with the paper's settings.

    A radius at or above the trained cutoff is chosen like any other and changes nothing,
    since a network is blind beyond its cutoff; facts tell the radius chosen and the one
    in use. Equal distances go to the smallest radius, as theirs do; the graph is then the
    same at all of them.

    Args:
        smallest: Least radius of the grid, in Å.
        largest: Largest radius of the grid, in Å.
        n_radii: Radii of the grid at equal distances, both ends included.
        neighbours: Most neighbours of an atom in the graphs that are compared.
    """

    name = "rr-paper"
    unit: Unit = "structure"
    sees = (
        "test geometries: yes, one structure at a time; prior labels: no; reference "
        "labels: no"
    )

    def __init__(
        self,
        *,
        smallest: float = 3.0,
        largest: float = 9.0,
        n_radii: int = 10,
        neighbours: int = 50,
    ) -> None:
        if not 0 < smallest <= largest < float("inf"):
            msg = f"rr-paper: smallest {smallest:g} and largest {largest:g} are radii in "
            raise BenchError(msg + "Å: expected 0 < smallest <= largest")
        if n_radii < 1 or neighbours < 1:
            raise BenchError("rr-paper: n_radii and neighbours must be at least 1")
        self.neighbours = neighbours
        self.radii: list[float] = np.linspace(smallest, largest, n_radii).tolist()
        self._reference: Reference | None = None

    def check(self, model: ForceField) -> None:
        """Raise CapabilityError when the model has no cutoff that can be truncated."""
        require_cutoff(model, f"mode {self.name!r}")
        self._candidates(model)

    def learn(self, model: ForceField, training: Training) -> None:
        """Find out what the training graphs look like; the model's own memory counts.

        Raises:
            DataError: A training structure has no graph.
        """
        cutoff = cast("HasCutoff", model).cutoff
        self._reference = remembered(model) or reference_of(training, cutoff)

    def settings(self, model: ForceField) -> Mapping[str, Fact]:
        """Return every hyper-parameter as resolved for a model."""
        reference = self._reference or remembered(model)
        used = [one.cutoff for one in self._candidates(model)]
        return {
            "criterion": "squared L2 of zero-padded spectra",
            "envelope": "truncate",
            "grid": ", ".join(f"{radius:.6g}" for radius in self.radii),
            "radii": ", ".join(f"{radius:.6g}" for radius in used),
            "unit": self.unit,
            "neighbours": self.neighbours,
            "reference": reference.origin if reference else None,
        }

    def refine(self, model: ForceField, structures: Structures) -> Refined:
        """Return the model at the radius chosen for each structure.

        A periodic structure, which the published rule does not know, and one without any
        pair of atoms keep the trained cutoff; facts say so.

        Raises:
            CapabilityError: There are no training graphs to compare with.
        """
        reference = self._reference or remembered(model)
        if reference is None:
            msg = f"model {model.name!r} does not remember its training graphs, and no "
            raise CapabilityError(msg + "training split was shown to the refinement")
        candidates = {one.cutoff: one for one in self._candidates(model)}
        models: dict[str, ForceField] = {}
        facts: list[dict[str, Fact]] = []
        pieces = torch.split(structures.positions, structures.sizes.tolist())
        periodic = structures.pbc.any(1).tolist()
        for place, name in enumerate(structures.ids):
            distances = _distances(pieces[place])
            mine = self._choose(
                distances, reference, candidates, periodic=periodic[place]
            )
            facts.append(mine)
            used = candidates[cast("float", mine["radius"])]
            if used.envelope == "truncate":
                models[name] = used.model
        return Refined(model=Routed(model, models), facts=facts)

    def _choose(
        self,
        distances: Floats,
        reference: Reference,
        candidates: Mapping[float, Candidate],
        *,
        periodic: bool,
    ) -> dict[str, Fact]:
        """Return what is chosen for one structure, and what the choice rests on."""
        trained = next(iter(candidates))
        graphs = self._graphs(distances, trained)
        mean = np.array(reference.spectrum.mean)
        scores = {
            radius: published_distance(graph.eigenvalues, mean)
            for radius, graph in graphs.items()
        }
        chosen = min(self.radii, key=scores.__getitem__)  # the first of equals
        why = ""
        if periodic:
            why = "it is periodic, which the published rule does not know"
        elif not graphs[max(self.radii)].n_edges:
            why = "no two atoms are within the largest radius"
        used = trained if why else min(chosen, trained)
        return {
            "radius": used,
            "radius_of_grid": None if why else chosen,
            "envelope": candidates[used].envelope,
            "graph_changed": graphs[used].n_edges != graphs[trained].n_edges,
            "score_trained": None if why else scores[trained],
            "score_chosen": None if why else scores[chosen],
            "not_refined_because": why,
        }

    def _graphs(
        self, distances: Floats, trained: float
    ) -> dict[float, PublishedSpectrum]:
        """Return the graph at each radius; graphs are nested, equal ones solved once."""
        solved: dict[int, PublishedSpectrum] = {}
        found: dict[float, PublishedSpectrum] = {}
        for radius in dict.fromkeys([*self.radii, trained]):
            n_near = int((distances < radius).sum())
            if n_near not in solved:
                solved[n_near] = published_spectrum(distances, radius, self.neighbours)
            found[radius] = solved[n_near]
        return found

    def _candidates(self, model: ForceField) -> list[Candidate]:
        """Return the models to choose among, the untouched one first."""
        trained = cast("HasCutoff", model).cutoff
        below = sorted((one for one in self.radii if one < trained), reverse=True)
        return candidates_of(model, [trained, *below], "truncate")


def _distances(positions: torch.Tensor) -> Floats:
    """Return the distances of all pairs, shape (n_atoms, n_atoms), in Å."""
    places = positions.detach().double().cpu().numpy()
    found: Floats = np.sqrt(((places[:, None] - places[None, :]) ** 2).sum(-1))
    return found
