"""Diagnostic: one number per structure that says how far it is from training.

A diagnostic is a function that looks at a training sample and returns what measures any
other. It sees only the evidence its row in the catalogue names (`only`): one that does
not name reference labels cannot read any.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from mmap import mmap
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from mlffbench.core.errors import BenchError, DataError
from mlffbench.core.labels import Labels
from mlffbench.core.spectrum import Spectra
from mlffbench.core.structures import Structures
from mlffbench.diagnostics.diagnostic_card import Evidence

Floats = NDArray[np.float64]


class NotMeasurableError(BenchError):
    """Why a diagnostic has no number for any structure."""


@dataclass(frozen=True, slots=True, eq=False)
class AtomFeatures:
    """Features of every atom of a sample.

    Attributes:
        values: Shape (n_atoms, n_features), float64, or float32 where there are so many
            that they lie in a file; NaN for structures without.
        origin: Whose features they are, in words.
        reasons: Index of a structure -> why it has none.
        mapped: The file in which they lie; None in memory.
    """

    values: Tensor
    origin: str
    reasons: Mapping[int, str] = field(default_factory=dict)
    mapped: mmap | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Graphs:
    """Spectra of the radius graphs of a sample, at one cutoff.

    Attributes:
        spectra: Of the structures that have a graph, in order; one radius.
        rows: Which structures of the sample these are.
        reasons: Index of a structure -> why it has none.
        collapsed: Index of a structure -> which of its atoms are on top of each other.
    """

    spectra: Spectra
    rows: tuple[int, ...]
    reasons: Mapping[int, str] = field(default_factory=dict)
    collapsed: Mapping[int, str] = field(default_factory=dict)

    @property
    def cutoff(self) -> float:
        """Radius of the graphs, in Å."""
        return self.spectra.cutoffs[0]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Sample:
    """Structures and whatever is known of them.

    Attributes:
        name: What tables call it.
        structures: The structures.
        reference: Reference labels.
        prediction: Labels of the unrefined model.
        prior: Labels of the prior.
        embedding: Atomic features of the model.
        descriptor: Atomic features that need no model.
        graphs: Radius graphs at one cutoff.
        scan: Asks the unrefined model of further structures, at the cutoff of the graphs.
        absent: Evidence -> why it is not there.
    """

    name: str
    structures: Structures
    reference: Labels | None = None
    prediction: Labels | None = None
    prior: Labels | None = None
    embedding: AtomFeatures | None = None
    descriptor: AtomFeatures | None = None
    graphs: Graphs | None = None
    scan: Callable[[Structures], Labels] | None = None
    absent: Mapping[Evidence, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for labels in (self.reference, self.prediction, self.prior):
            if labels is None:
                continue
            found = len(labels.energy), len(labels.forces)
            expected = self.structures.n_systems, self.structures.n_atoms
            if found != expected:
                msg = (
                    f"sample {self.name!r} has {expected[0]} structures with "
                    f"{expected[1]} atoms, but its labels of {labels.source!r} are for "
                    f"{found[0]} with {found[1]}"
                )
                raise DataError(msg)

    def why_absent(self, evidence: Evidence) -> str:
        """Return why some evidence is not there."""
        return self.absent.get(evidence, f"{self.name} comes without {evidence}")


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """What a diagnostic says of a sample.

    Attributes:
        values: Shape (n_systems,), float64; NaN where it could not be measured.
        reasons: Index of a structure -> why its value is NaN.
        notes: What a reader must know of the values.
    """

    values: Floats
    reasons: Mapping[int, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @classmethod
    def nothing(cls, sample: Sample, why: str) -> "Measured":
        """Return NaN for every structure, each for the same reason."""
        n_systems = sample.structures.n_systems
        return cls(np.full(n_systems, np.nan), dict.fromkeys(range(n_systems), why))


Measure = Callable[[Sample], Measured]


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A diagnostic that has seen a training sample.

    Attributes:
        train: The training structures themselves, each against all others.
        measure: Measures any other sample.
    """

    train: Measured
    measure: Measure


class Fit(Protocol):
    """What every row of the catalogue points at."""

    def __call__(self, train: Sample) -> Fitted:
        """Return what measures other samples against a training sample.

        Raises:
            BenchError: The training sample cannot serve; the message says why.
        """
        ...


def only(sample: Sample, needs: tuple[Evidence, ...]) -> Sample:
    """Return a sample without the evidence that is not named."""
    return Sample(
        name=sample.name,
        structures=sample.structures,
        reference=sample.reference if "reference" in needs else None,
        prediction=sample.prediction if "prediction" in needs else None,
        prior=sample.prior if "prior" in needs else None,
        embedding=sample.embedding if "embedding" in needs else None,
        descriptor=sample.descriptor if "descriptor" in needs else None,
        graphs=sample.graphs if "graphs" in needs else None,
        scan=sample.scan if "scan" in needs else None,
        absent=sample.absent,
    )


def share(part: int, whole: int, noun: str) -> str:
    """Return some of many in words, e.g. ``"2 of 10 structures"``."""
    return f"{part} of {whole} {noun}{'' if whole == 1 else 's'}"


def alone(measure: Measure, train: Sample) -> Fitted:
    """Return a diagnostic that measures the training sample as any other."""
    return Fitted(measure(train), measure)
