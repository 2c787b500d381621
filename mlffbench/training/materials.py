"""Materials: what a suite's splits give to train on and to validate with."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from mlffbench.core.assembly import singles
from mlffbench.core.errors import DataError
from mlffbench.core.forcefield import Head
from mlffbench.core.labels import Labels
from mlffbench.core.split import Split
from mlffbench.core.structures import Structures
from mlffbench.priors.prior_labels import key_of
from mlffbench.training.examples import Examples
from mlffbench.training.training_plan import StagePlan

HELD_OUT = 0.1
"""Share of training that validates where a suite has no split with role ``id_val``."""
MIN_MOLECULES = 10
"""Molecules from which on whole molecules are held out."""
Labeller = Callable[[Structures], Labels]
"""Computes a prior's labels, float64."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Validation:
    """A validation set by name.

    Attributes:
        name: Name of its split.
        decides: Whether it may stop a training: in distribution only.
        examples: Its structures with labels.
    """

    name: str
    decides: bool
    examples: Examples


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Materials:
    """Everything a training looks at.

    Attributes:
        train: Training structures with reference labels, and the prior's where asked for.
        further: Training structures with prior labels only; None without.
        validation: Validation sets, those in distribution first.
        level_of_theory: Of the reference labels.
        sha256: Checksum of the training structures and the files they are from.
    """

    train: Examples
    further: Examples | None
    validation: tuple[Validation, ...]
    level_of_theory: str
    sha256: str

    def for_stage(self, stage: StagePlan) -> Examples:
        """Return what a stage trains on: structures with a label of one of its heads.

        Raises:
            DataError: There are none.
        """
        sets = [_with_heads(self.train, stage.heads)]
        if stage.further and self.further is not None:
            sets.append(_with_heads(self.further, stage.heads))
        return Examples.merge(sets).usable()


def gather(
    splits: Sequence[Split],
    *,
    further: Sequence[Structures] = (),
    labeller: Labeller | None,
    seed: int,
) -> Materials:
    """Return the materials of a suite.

    Of test splits the geometries are compared with ``further``, no label is read.

    Args:
        splits: All splits of the suite.
        further: Training geometries without reference labels.
        labeller: Computes prior labels; None when no head learns a prior.
        seed: Of the structures held out where no split has the role ``id_val``.

    Raises:
        DataError: No split has the role ``train``, there is too little to validate, or
            a structure to be tested is among ``further``.
    """
    _check_further(further, splits)
    train = [split for split in splits if split.role == "train"]
    if not train:
        raise DataError("none of the splits has the role 'train': nothing to train on")
    examples = Examples.merge([_read(split, labeller) for split in train])
    sets = [
        Validation(
            name=split.name,
            decides=split.role == "id_val",
            examples=_read(split, labeller),
        )
        for role in ("id_val", "ood_val")
        for split in splits
        if split.role == role and len(split.rows)
    ]
    if not any(one.decides for one in sets):
        examples, held_out = _hold_out(examples, seed)
        sets.insert(0, Validation(name="held_out", decides=True, examples=held_out))
    digest = hashlib.sha256(
        "\n".join(f"{s.source.sha256} {s.sha256}" for s in train).encode()
    )
    return Materials(
        train=examples,
        further=_prior_only(further, labeller),
        validation=tuple(sets),
        level_of_theory=train[0].source.level_of_theory,
        sha256=digest.hexdigest(),
    )


def _check_further(further: Sequence[Structures], splits: Sequence[Split]) -> None:
    """Check that no further training geometry is, or shares a molecule with, a test."""
    if not further:
        return
    molecules = {group for batch in further for group in batch.group}
    geometries = {key_of(one) for batch in further for one in singles(batch)}
    for split in splits:
        if split.role == "train":
            continue
        where = f"split {split.name!r} ({split.role})"
        shared = molecules & set(split.groups)
        if shared and not split.shares_molecules:
            msg = f"the further training geometries hold molecules of {where}, e.g. "
            raise DataError(msg + f"{min(shared)!r}; leave what is tested out")
        for name, one in zip(split.ids, singles(split.structures), strict=True):
            if key_of(one) in geometries:
                msg = f"the further training geometries hold {name!r} of {where}; leave "
                raise DataError(msg + "out what is validated or tested")


def _read(split: Split, labeller: Labeller | None) -> Examples:
    structures = split.structures
    labels: dict[Head, Labels] = {"ref": split.reference}
    if labeller is not None:
        labels["prior"] = labeller(structures)
    return Examples(structures=structures, labels=labels)


def _prior_only(
    further: Sequence[Structures], labeller: Labeller | None
) -> Examples | None:
    if not further or labeller is None:
        return None
    structures = Structures.concatenate(further)
    return Examples(structures=structures, labels={"prior": labeller(structures)})


def _with_heads(examples: Examples, heads: Sequence[Head] | object) -> Examples:
    """Return the examples with the labels of some heads only."""
    kept = {
        head: labels
        for head, labels in examples.labels.items()
        if head in heads  # type: ignore[operator]  # a mapping or a sequence of heads
    }
    return Examples(structures=examples.structures, labels=kept)


def _hold_out(examples: Examples, seed: int) -> tuple[Examples, Examples]:
    """Return training and held-out examples: whole molecules where there are enough."""
    members: dict[str, list[int]] = defaultdict(list)
    groups = examples.structures.group
    for place, group in enumerate(groups):
        whole = len(set(groups)) >= MIN_MOLECULES
        members[group if whole else str(place)].append(place)
    n_held = round(HELD_OUT * len(members))
    if n_held == 0:
        msg = f"{examples.n_structures} training structures are too few to validate on "
        raise DataError(msg + "some of them; give the suite a split with role 'id_val'")
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(members), generator=generator).tolist()
    pools = list(members.values())
    held = sorted(place for number in order[:n_held] for place in pools[number])
    kept = sorted(set(range(examples.n_structures)) - set(held))
    return examples.select(kept), examples.select(held)
