"""Several sources as one, such as the trajectories of several molecules."""

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mlffbench.core.errors import DataError
from mlffbench.core.labels import Labels
from mlffbench.core.split import Index, Rows, Source
from mlffbench.core.structures import Structures


class JoinedSource:
    """Sources laid end to end: rows of the first, then those of the second.

    Args:
        sources: At least one source.

    Raises:
        DataError: There is none.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        if not sources:
            raise DataError("nothing to join: expected at least one source")
        self._sources = tuple(sources)

    @cached_property
    def index(self) -> Index:
        """What all of them hold."""
        indexes = [source.index for source in self._sources]
        counts = [len(index.keys) for index in indexes]
        starts = np.cumsum([0, *counts[:-1]])

        def words(name: str) -> tuple[str, ...]:
            return tuple(itertools.chain(*(getattr(index, name) for index in indexes)))

        def numbers(name: str) -> NDArray[np.int64]:
            return np.concatenate([getattr(index, name) for index in indexes])

        return Index(
            keys=words("keys"),
            groups=words("groups"),
            smiles=words("smiles"),
            subsets=words("subsets"),
            elements=tuple(itertools.chain(*(index.elements for index in indexes))),
            n_atoms=numbers("n_atoms"),
            charge=numbers("charge"),
            multiplicity=numbers("multiplicity"),
            periodic=np.concatenate([index.periodic for index in indexes]),
            record=np.concatenate(
                [i.record + start for i, start in zip(indexes, starts, strict=True)]
            ),
            conformer=numbers("conformer"),
            remarks=words("remarks"),
        )

    @property
    def level_of_theory(self) -> str:
        """Level of theory of the labels; several are told apart by a semicolon."""
        return "; ".join(dict.fromkeys(s.level_of_theory for s in self._sources))

    @cached_property
    def sha256(self) -> str:
        """Checksum of the checksums of the files."""
        text = "\n".join(source.sha256 for source in self._sources)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def n_sources(self) -> int:
        """How many there are."""
        return len(self._sources)

    def rows_of(self, number: int) -> Rows:
        """Return the rows that belong to one of the sources."""
        start, stop = self._bounds[number], self._bounds[number + 1]
        return np.arange(start, stop, dtype=np.int64)

    def structures(self, rows: Rows) -> Structures:
        """Return structures by row of the index, float64, in Å."""
        if len(rows) == 0:
            return self._sources[0].structures(np.asarray(rows))
        return Structures.concatenate(
            [source.structures(part) for source, part in self._parts(rows)]
        )

    def labels(self, rows: Rows) -> Labels:
        """Return reference labels by row of the index, float64, in eV and eV/Å."""
        if len(rows) == 0:
            return self._sources[0].labels(np.asarray(rows))
        return Labels.concatenate(
            [source.labels(part) for source, part in self._parts(rows)]
        )

    @cached_property
    def _bounds(self) -> NDArray[np.int64]:
        counts = [source.index.n_structures for source in self._sources]
        return np.cumsum([0, *counts]).astype(np.int64)

    def _parts(self, rows: Rows) -> Iterator[tuple[Source, Rows]]:
        """Yield runs of rows of one source, with that source's own numbers."""
        rows = np.asarray(rows, dtype=np.int64)
        owner = np.searchsorted(self._bounds, rows, side="right") - 1
        for run in np.split(np.arange(len(rows)), np.flatnonzero(np.diff(owner)) + 1):
            number = int(owner[run[0]])
            yield self._sources[number], rows[run] - self._bounds[number]
