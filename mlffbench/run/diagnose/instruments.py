"""Instruments: what evidence is made with - a cutoff, a model, a prior."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from mlffbench.core.card import ModelCard
from mlffbench.core.errors import DataError
from mlffbench.core.forcefield import ForceField, HasCutoff
from mlffbench.core.labels import Labels
from mlffbench.core.model_options import DTYPES
from mlffbench.core.structures import Structures
from mlffbench.datasets.shifts import DEFAULT_CUTOFF
from mlffbench.diagnostics.diagnostic import Sample
from mlffbench.diagnostics.evidence import (
    in_batches,
    with_descriptors,
    with_embedding,
    with_graphs,
    with_labels,
)
from mlffbench.models.load import card_of
from mlffbench.refine.baseline import Baseline
from mlffbench.run.evaluate.evaluation_job import BATCH_ATOMS
from mlffbench.run.evaluate.predict import predict_batch

Labeller = Callable[[Structures], Labels]

NOT_WANTED = "the model has an embedding, so the fixed descriptor is not computed"
"""Why a descriptor is missing that nobody misses."""
NOT_SCANNED = (
    "a scan costs 32 predictions per structure; mlffbench diagnose --scans makes it"
)
"""Why the model is not scanned, which nobody misses either."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Instruments:
    """What evidence is made with.

    Attributes:
        cutoff: Radius of the graphs, in Å.
        model: The unrefined model; None for none.
        card: What it can treat.
        device: Where it computes.
        dtype: What it computes in.
        prior: Structures -> labels of a prior; None for none.
        no_prior: Why there is none.
        scans: Whether the model is asked of moved structures, too.
    """

    cutoff: float = DEFAULT_CUTOFF
    model: ForceField | None = None
    card: ModelCard | None = None
    device: str = "cpu"
    dtype: torch.dtype = torch.float64
    prior: Labeller | None = None
    no_prior: str = "no prior was named"
    scans: bool = False

    @classmethod
    def of(
        cls,
        model: ForceField | None,
        *,
        cutoff: float | None = None,
        device: str = "cpu",
        dtype: str | None = None,
        prior: Labeller | None = None,
        no_prior: str = "no prior was named",
        scans: bool = False,
    ) -> "Instruments":
        """Return the instruments of a model, or those that need none.

        Args:
            model: The unrefined model, if any.
            cutoff: Radius of the graphs in Å; None is the model's, else 5 Å.
            device: Where the model computes.
            dtype: Name of what it computes in; None is its default.
            prior: Structures -> labels of a prior, if any.
            no_prior: Why there is none.
            scans: Ask the model of moved structures, too.

        Raises:
            DataError: The cutoff is above what the model sees.
        """
        card = None if model is None else card_of(model)
        return cls(
            cutoff=_cutoff_of(model, cutoff),
            model=model,
            card=card,
            device=device,
            dtype=DTYPES[dtype or card.dtype] if card else torch.float64,
            prior=prior,
            no_prior=no_prior,
            scans=scans,
        )

    def examine(self, samples: Sequence[Sample]) -> list[Sample]:
        """Return samples with all the evidence that can be had.

        Predictions that a sample brings along stay. The descriptor is for models without
        an embedding, or with one that a sample does not get.

        Raises:
            DataError: The cutoff is not positive and finite.
        """
        examined = [self._examine(sample) for sample in samples]
        if all(sample.embedding is not None for sample in examined):
            return [
                replace(sample, absent={**sample.absent, "descriptor": NOT_WANTED})
                for sample in examined
            ]
        return with_descriptors(examined)

    def _examine(self, sample: Sample) -> Sample:
        sample = with_graphs(sample, self.cutoff)
        absent = dict(sample.absent)
        if self.prior is None:
            absent["prior"] = self.no_prior
        if self.model is None:
            absent |= {
                "embedding": "no model was named",
                "prediction": "no model was named",
                "scan": "no model was named",
            }
        elif not self.scans:
            absent["scan"] = NOT_SCANNED
        sample = replace(sample, absent=absent)
        if self.prior is not None:
            sample = with_labels(sample, "prior", self.prior)
        if self.model is None or self.card is None:
            return sample
        if self.scans:
            scanned = replace(self, model=_at(self.model, self.cutoff))
            sample = replace(sample, scan=scanned.predict)
        if sample.prediction is None:
            sample = with_labels(sample, "prediction", self.predict)
        return with_embedding(
            sample,
            self.model,
            self.card,
            device=self.device,
            dtype=self.dtype,
            batch_atoms=BATCH_ATOMS[self.device],
        )

    def predict(self, structures: Structures) -> Labels:
        """Return what the unrefined model says; what it cannot treat is a failure.

        Raises:
            BenchError: The model breaks its contract.
        """
        model = self.model
        if model is None:
            raise DataError("there is no model to predict with")
        rows = range(structures.n_systems)
        energies, forces = [], []
        failures: dict[int, str] = {}
        for part, batch in in_batches(structures, rows, BATCH_ATOMS[self.device]):
            made = predict_batch(
                model, Baseline(), batch, device=self.device, dtype=self.dtype
            )
            energies.append(made.energy)
            forces.append(made.forces)
            failures |= {part[row]: why for row, why in made.failures.items()}
        return Labels(
            energy=torch.cat(energies),
            forces=torch.cat(forces),
            source=f"model:{model.name}",
            failures=failures,
        )


def _at(model: ForceField, cutoff: float) -> ForceField:
    """Return a model at the cutoff of the graphs, where it can change its own."""
    if not isinstance(model, HasCutoff) or cutoff >= model.cutoff:
        return model
    return model.with_cutoff(cutoff)


def _cutoff_of(model: ForceField | None, cutoff: float | None) -> float:
    """Return the radius of the graphs: as asked for, else the model's, else 5 Å."""
    if model is None:
        return DEFAULT_CUTOFF if cutoff is None else cutoff
    seen = model.cutoff if isinstance(model, HasCutoff) else card_of(model).cutoff
    if cutoff is None:
        return DEFAULT_CUTOFF if seen is None else seen
    if seen is not None and cutoff > seen:
        msg = (
            f"a cutoff of {cutoff:g} Å is above the {seen:g} Å that {model.name!r} was "
            "trained with, beyond which it sees nothing; give one at or below, or leave "
        )
        raise DataError(msg + "--model out")
    return cutoff
