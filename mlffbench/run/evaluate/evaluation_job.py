"""Plan: suite × model × mode -> jobs, and a job -> rows. Pure: nothing runs."""

import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from mlffbench.core.card import SYMBOLS, ModelCard
from mlffbench.core.split import Index, Rows, Split
from mlffbench.run.shards.batching import codes_of

Half = Literal["test", "val"]

N_ALIGNMENT = 2000
"""Training structures at most that energies are aligned on."""
BATCH_ATOMS = {"cpu": 500, "cuda": 20000}
"""Atoms per batch by kind of device; docs/scale.md tells what others cost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One model in one mode on one suite, every value resolved.

    Attributes:
        suite: Name of the suite, with its ``suite_version``.
        model: The model as typed.
        mode: Name of the refinement.
        half: ``test``, or ``val`` for tuning.
        device: ``cpu`` or ``cuda``.
        dtype: ``float32`` or ``float64``; None is the model's own default.
        seed: Seed of every random choice.
        limit: Structures per split at most; None is all.
        batch_atoms: Atoms per batch.
        settings: The mode's settings as the suite or the user gave them.
    """

    suite: str
    suite_version: int
    model: str
    mode: str
    half: Half
    device: str
    dtype: str | None
    seed: int
    limit: int | None
    batch_atoms: int
    settings: tuple[tuple[str, str | int | float | bool], ...] = ()

    @property
    def label(self) -> str:
        """What messages call it."""
        return f"{self.model} {self.mode}"

    def as_dict(self) -> dict[str, object]:
        """Return the values by name."""
        return {**asdict(self), "settings": dict(self.settings)}


def splits_of(splits: Sequence[Split], half: Half) -> list[Split]:
    """Return the splits a job touches: train (to align energies) and one half."""
    return [s for s in splits if s.role == "train" or s.role.endswith(half)]


def choose_rows(split: Split, limit: int | None, seed: int) -> Rows:
    """Return at most ``limit`` rows of a split, spread evenly over its molecules.

    The same seed and limit give the same rows; a larger limit only adds rows. Lone atoms
    of train come last: nothing is aligned on them.
    """
    n_most = N_ALIGNMENT if split.role == "train" else None
    if limit is not None:
        n_most = limit if n_most is None else min(limit, n_most)
    if n_most is None or n_most >= len(split.rows):
        return split.rows
    name = zlib.crc32(f"{split.name}/{split.role}".encode())
    generator = np.random.default_rng([seed, name])
    index = split.source.index
    records = index.record[split.rows]
    shuffled = generator.permutation(len(split.rows))
    molecule = codes_of(index.groups, records[shuffled])
    together = np.argsort(molecule, kind="stable")
    starts = np.searchsorted(molecule[together], molecule[together], side="left")
    turn = np.empty(len(shuffled), dtype=np.int64)
    turn[together] = np.arange(len(shuffled)) - starts
    last = (index.n_atoms[records[shuffled]] == 1) & (split.role == "train")
    chosen = shuffled[np.lexsort((molecule, turn, last))[:n_most]]
    return split.rows[np.sort(chosen)]


def rows_of_job(split: Split, job: Job) -> Rows:
    """Return the rows of a split that a job predicts."""
    return choose_rows(split, job.limit, job.seed)


@dataclass(frozen=True, slots=True, eq=False)
class Skips:
    """Why some rows are skipped, as a number per row: there may be millions of them.

    Attributes:
        code: Shape (n_rows,): which of the reasons.
        reasons: The first is None: it is not skipped.
    """

    code: NDArray[np.int32]
    reasons: tuple[str | None, ...]

    @classmethod
    def of(cls, index: Index, rows: Rows, card: ModelCard) -> Self:
        """Return why a model cannot treat some rows of an index."""
        known: dict[str | None, int] = {None: 0}
        records = index.record[rows]
        code_of = np.zeros(len(index.n_atoms), dtype=np.int32)
        for record in np.flatnonzero(np.bincount(records)).tolist():
            why = why_skipped(index, record, card)
            code_of[record] = known.setdefault(why, len(known))
        return cls(code_of[records], tuple(known))

    def kept(self, within: slice) -> Rows:
        """Return the places within a stretch of the rows that are not skipped."""
        return np.flatnonzero(self.code[within] == 0)

    def why(self, within: slice) -> list[str | None]:
        """Return why each row of a stretch is skipped, or None."""
        return [self.reasons[code] for code in self.code[within].tolist()]


def why_skipped(index: Index, record: int, card: ModelCard) -> str | None:
    """Return why a model cannot treat a molecule, or None when it can."""
    unknown = index.elements[record] - card.elements
    if unknown:
        symbols = " ".join(SYMBOLS[number] for number in sorted(unknown))
        return f"element not supported: {symbols}"
    charge = int(index.charge[record])
    if card.charges is not None and charge not in card.charges:
        return f"charge not supported: {charge:+d}"
    if bool(index.periodic[record]) and not card.periodic:
        return "periodic cell not supported"
    return None
