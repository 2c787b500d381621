"""RR, test-time radius refinement: the graph cutoff that suits each test structure.

Kreiman & Krishnapriyan, arXiv 2503.08674: the cutoff is chosen whose graph looks most
like the graphs of training, by the distance of its Laplacian spectrum from their mean.
Where the model has a prior head, a better guide is a cheap prior: the cutoff at which
that head reproduces the prior best (docs/rr.md). No reference label takes part.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast, get_args

import torch
from torch import Tensor

from mlffbench.core.errors import BenchError, CapabilityError, DataError
from mlffbench.core.forcefield import ForceField, HasCutoff
from mlffbench.core.labels import Labels
from mlffbench.core.spectrum import Spectra
from mlffbench.core.structures import Structures
from mlffbench.models.catalog import DEFAULT_PRIOR
from mlffbench.models.cutoffs import (
    SCOPES,
    Candidate,
    Envelope,
    candidates_of,
    policy_of,
    radii_of,
    require_cutoff,
    scopes_of,
)
from mlffbench.refine.per_structure import Routed
from mlffbench.refine.prior_head import (
    PriorLabels,
    Wish,
    has_prior_head,
    origin_of,
    require_prior_head,
)
from mlffbench.refine.prior_level import PriorLevel, level_of, require_level
from mlffbench.refine.radius.criteria import (
    SPECTRAL,
    Criterion,
    mean_over_groups,
    prior_scores,
    spectral_scores,
)
from mlffbench.refine.radius.reference import Reference, reference_of, remembered
from mlffbench.refine.radius.test_graphs import CandidateGraphs, graphs_of
from mlffbench.refine.refiner import Fact, Refined, Training, Unit
from mlffbench.refine.unit_gate import START, START_GAP, Gate, UnitGate


@dataclass(frozen=True, slots=True, eq=False)
class _Scored:
    """Candidates, graphs, scores (n_candidates, n_systems), and why some are missing."""

    candidates: list[Candidate]
    graphs: CandidateGraphs
    scores: Tensor
    reasons: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class Choice:
    """What is refined how, once the model is known."""

    criterion: Criterion
    envelope: Envelope


class RadiusRefinement:
    """Radius refinement of a model with a cutoff.

    The defaults were chosen on the val halves of ``mini-ood`` (docs/rr.md). The paper's
    setting is mode ``rr-paper`` (`PublishedRadius`).

    Args:
        criterion: ``padded-l2`` (the paper's distance of spectra), ``quantile`` (one that
            does not depend on size) or ``prior-guided``. None is ``prior-guided`` for a
            model with a prior head, else ``padded-l2``.
        envelope: ``truncate`` drops the neighbours beyond the radius, so that forces jump
            there; ``rescale`` makes the radial envelope vanish there; ``either`` chooses
            between them too, which only a prior can. None is ``either`` when a prior
            guides and the model can do both, else what the model does by itself.
        smallest: Least radius of the grid, in Å.
        n_radii: Radii of the grid from ``smallest`` to the trained cutoff.
        radii: Radii in Å to try instead of the grid, in text: ``"3.0,3.5"``.
        gate: ``training``: where a prior guides, only structures are refined whose prior
            loss is above that of training molecules and whose prior head is a guide, see
            `UnitGate`; ``off``: all are.
        start: Share of new molecules like those of training that have a lower loss.
        start_gap: The same for the gap.
        unit: One radius per ``structure``, or one for the conformers of a ``group``.
        prior: Name of the prior, or of any model taken for one.
    """

    name = "rr"

    def __init__(
        self,
        *,
        criterion: Criterion | None = None,
        envelope: Envelope | None = None,
        smallest: float = 3.0,
        n_radii: int = 10,
        radii: str | float | Sequence[float] = "",
        gate: Gate = "training",
        start: float = START,
        start_gap: float = START_GAP,
        unit: Literal["structure", "group"] = "structure",
        prior: str = DEFAULT_PRIOR,
    ) -> None:
        for value, known in (
            (gate, ("training", "off")),
            (criterion, (None, *get_args(Criterion))),
            (envelope, (None, *SCOPES)),
            (unit, ("structure", "group")),
        ):
            if value not in known:
                names = ", ".join(str(one) for one in known if one)
                msg = f"rr: {value!r} is none of {names}"
                raise BenchError(msg)
        if not (smallest > 0 and isinstance(n_radii, int) and n_radii >= 1):
            msg = (
                "rr: smallest must be above 0 Å and n_radii a whole number of at least 1"
            )
            raise BenchError(msg)
        if envelope == "either" and criterion in SPECTRAL:
            msg = (
                f"rr: {criterion!r} looks at graphs, which do not tell envelopes apart; "
            )
            raise BenchError(msg + "choose the envelope truncate or rescale")
        if not (0 < start < 1 and 0 < start_gap < 1):
            msg = f"rr: start {start:g} and start_gap {start_gap:g} are shares of "
            raise BenchError(msg + "molecules: expected values between 0 and 1")
        self.unit: Unit = unit
        self.gate, self.start, self.start_gap = gate, start, start_gap
        self.criterion, self.envelope, self.prior = criterion, envelope, prior
        self.smallest, self.n_radii, self.radii = smallest, n_radii, radii
        labels = {
            None: f"{prior} labels of them: only if a prior guides (setting 'criterion')",
            "prior-guided": f"{prior} labels of them: yes",
        }.get(criterion, "prior labels: no")
        self.sees = (
            f"test geometries: yes, one {unit} at a time; {labels}; reference labels: no"
        )
        self._labels = PriorLabels(prior)
        self._reference: Reference | None = None
        self._level: PriorLevel | None = None
        self._no_reference: str | None = None
        self.no_head_because = ""

    def wants_head(self, model: ForceField) -> Wish:
        """Return whether a prior is to guide, or could."""
        if self.criterion == "prior-guided":
            return "must"
        if self.criterion is not None or not isinstance(model, HasCutoff):
            return "no"
        return "better" if len(self.candidates(model)) > 1 else "no"

    def check(self, model: ForceField) -> None:
        """Raise CapabilityError when the model lacks what its refinement needs."""
        require_cutoff(model, f"mode {self.name!r}")
        if self.choice(model).criterion == "prior-guided":
            require_prior_head(model, f"mode {self.name!r} with the prior as its guide")
        self.candidates(model)

    def choice(self, model: ForceField) -> Choice:
        """Return the criterion and the envelope for a model."""
        guided = has_prior_head(model)
        criterion = self.criterion or ("prior-guided" if guided else "padded-l2")
        envelope = self.envelope
        if envelope is None:
            envelope = policy_of(model)
            if criterion == "prior-guided" and len(scopes_of(model)) > 1:
                envelope = "either"
        if envelope == "either" and criterion in SPECTRAL:
            msg = (
                f"rr: {criterion!r} looks at graphs, which do not tell envelopes apart; "
            )
            raise CapabilityError(msg + "choose the envelope truncate or rescale")
        return Choice(criterion, envelope)

    def candidates(self, model: ForceField) -> list[Candidate]:
        """Return the models to choose among, the untouched one first."""
        trained = cast("HasCutoff", model).cutoff
        radii = radii_of(
            trained, smallest=self.smallest, n_radii=self.n_radii, given=self.radii
        )
        return candidates_of(model, radii, self.choice(model).envelope)

    def learn(self, model: ForceField, training: Training) -> None:
        """Find out what the training graphs look like; the model's own memory counts.

        And how far model and prior head are from a prior that guides.

        Raises:
            DataError: A spectral criterion needs the training graphs, and one of them
                has no spectrum, or there are too few of them to judge a prior head by.
        """
        if self._gated(model):
            self._level = level_of(model, training, self._labels)
        cutoff = cast("HasCutoff", model).cutoff
        try:
            self._reference = remembered(model) or reference_of(training, cutoff)
        except DataError as error:
            if self.choice(model).criterion in SPECTRAL:
                raise
            self._no_reference = f"none: {error}"  # a prior guides without one

    def settings(self, model: ForceField) -> Mapping[str, Fact]:
        """Return every hyper-parameter as resolved for a model."""
        choice, candidates = self.choice(model), self.candidates(model)
        radii = dict.fromkeys(one.cutoff for one in candidates)
        reference = self._reference_for(model)
        return {
            "criterion": choice.criterion,
            "envelope": choice.envelope,
            "radii": ", ".join(f"{radius:.6g}" for radius in radii),
            "unit": self.unit,
            "prior": self.prior if choice.criterion == "prior-guided" else None,
            "prior_head": origin_of(model) or self.no_head_because or None,
            **self._gate_settings(model),
            "reference": reference.origin if reference else self._no_reference,
        }

    def refine(self, model: ForceField, structures: Structures) -> Refined:
        """Return the model at the radius chosen for each structure.

        A structure without a score (the prior failed, or its graph has no spectrum) keeps
        the trained cutoff; facts say so and why.

        Raises:
            CapabilityError: A spectral criterion has no training graphs to compare with.
        """
        candidates = self.candidates(model)
        radii = list(dict.fromkeys(candidate.cutoff for candidate in candidates))
        graphs = graphs_of(structures, radii)
        reasons = dict(graphs.reasons)
        scores = self._scores(model, candidates, structures, graphs, reasons)
        if self.unit == "group":
            scores = mean_over_groups(scores, structures.group)
        # a first place among equals is the larger radius
        chosen = scores.nan_to_num(torch.inf).argmin(0)
        chosen[~torch.isfinite(scores[0])] = 0
        guided = self.choice(model).criterion == "prior-guided"
        why = "the prior head has no forces of it" if guided else "its graph is empty"
        for place in (~torch.isfinite(scores[0])).nonzero().flatten().tolist():
            reasons.setdefault(place, why)
        picks = chosen.tolist()
        models = {
            name: candidates[pick].model
            for name, pick in zip(structures.ids, picks, strict=True)
            if pick
        }
        scored = _Scored(candidates, graphs, scores, reasons)
        facts = self._facts(scored, picks, self._reference_for(model))
        return Refined(model=Routed(model, models), facts=facts)

    def _scores(
        self,
        model: ForceField,
        candidates: list[Candidate],
        structures: Structures,
        graphs: CandidateGraphs,
        reasons: dict[int, str],
    ) -> Tensor:
        """Return shape (n_candidates, n_systems), adding reasons for missing ones."""
        criterion = self.choice(model).criterion
        places = _places(candidates, graphs.spectra)
        if criterion == "prior-guided":
            labels = self._labels.of(structures)
            reasons |= {place: str(why) for place, why in labels.failures.items()}
            alone = self._left_alone(model, structures, labels)
            reasons |= alone
            n_edges = graphs.n_edges[places]
            return prior_scores(candidates, structures, labels, n_edges, alone)
        reference = self._reference_for(model)
        if reference is None:
            msg = (
                f"model {model.name!r} does not remember its training graphs, and no "
                "training split was shown to the refinement"
            )
            raise CapabilityError(msg)
        return spectral_scores(criterion, reference.spectrum, graphs.spectra)[places]

    def _facts(
        self, scored: _Scored, picks: list[int], reference: Reference | None
    ) -> list[dict[str, Fact]]:
        """Return what was chosen for each structure, and its distances from training."""
        candidates, graphs, scores = scored.candidates, scored.graphs, scored.scores
        places = _places(candidates, graphs.spectra)
        n_edges = graphs.n_edges[places]
        distances: dict[str, Tensor] = {}
        if reference is not None:
            for kind in SPECTRAL:
                found = spectral_scores(kind, reference.spectrum, graphs.spectra)
                distances[kind] = found[places]
        facts: list[dict[str, Fact]] = []
        for place, pick in enumerate(picks):
            known = bool(torch.isfinite(scores[0, place]))
            mine: dict[str, Fact] = {
                "radius": candidates[pick].cutoff,
                "envelope": candidates[pick].envelope,
                "graph_changed": bool(n_edges[pick, place] != n_edges[0, place]),
                "score_trained": _number(scores[0, place]),
                "score_chosen": _number(scores[pick, place]),
                "not_refined_because": "" if known else scored.reasons[place],
            }
            for name, values in distances.items():
                mine[f"{name}_trained"] = _number(values[0, place])
                mine[f"{name}_chosen"] = _number(values[pick, place])
            facts.append(mine)
        return facts

    def _gated(self, model: ForceField) -> bool:
        guided = self.choice(model).criterion == "prior-guided"
        return guided and self.gate == "training"

    def _gate_settings(self, model: ForceField) -> dict[str, Fact]:
        level = self._level
        if not self._gated(model):
            return {"gate": "off"}
        return {
            "gate": self.gate,
            "start": self.start,
            "start_gap": self.start_gap,
            "most_loss": round(level.loss_at(self.start), 6) if level else None,
            "most_gap": round(level.gap_at(self.start_gap), 6) if level else None,
            "head_share": round(level.head_share, 6) if level else None,
            "prior_share": round(level.prior_share, 6) if level else None,
            "level": level.origin if level else None,
        }

    def _left_alone(
        self, model: ForceField, structures: Structures, labels: Labels
    ) -> dict[int, str]:
        """Return why structures are left alone where the prior head is not to judge."""
        if not self._gated(model):
            return {}
        gate = UnitGate.of(
            model,
            structures,
            labels.forces,
            require_level(self._level, model),
            start=self.start,
            start_gap=self.start_gap,
        )
        known = (i for i in range(structures.n_systems) if i not in labels.failures)
        reasons = {place: gate.why_not([place]) for place in known}
        return {place: why for place, why in reasons.items() if why}

    def _reference_for(self, model: ForceField) -> Reference | None:
        return self._reference or remembered(model)


def _places(candidates: Sequence[Candidate], spectral: Spectra) -> list[int]:
    """Return which radius of the spectra belongs to each candidate."""
    row = {radius: number for number, radius in enumerate(spectral.cutoffs)}
    return [row[candidate.cutoff] for candidate in candidates]


def _number(value: Tensor) -> float | None:
    number = float(value)
    return number if torch.isfinite(value) else None
