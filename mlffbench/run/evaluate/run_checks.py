"""Run checks: whether the numbers of a run can be what they seem to be.

They are shown a run region by region, and keep no more of it than they need.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mlffbench.core.forcefield import ForceField
from mlffbench.core.labels import Labels
from mlffbench.core.split import Rows, Split, remarks_on
from mlffbench.core.structures import Structures
from mlffbench.metrics.plausibility import judge_predictions
from mlffbench.models.physics.sanity import collapsed
from mlffbench.run.evaluate.batch_check import N_STRUCTURES, check_batches
from mlffbench.run.evaluate.data_check import check_data
from mlffbench.run.evaluate.predict import predict_each
from mlffbench.run.evaluate.shard_results import RegionResults
from mlffbench.run.evaluate.state_check import blind_spots
from mlffbench.run.shards.shard_plan import REGION_ATOMS

N_OF_EACH_STATE = 2
"""Charged structures, and structures with unpaired electrons, asked again."""
UNREFINED = "baseline"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Checked:
    """What is checked.

    Attributes:
        model: The model, unrefined.
        splits: The splits of the run.
        mode: Mode of the run; what it refined is not compared with the model alone.
        device: Where the model computes.
        dtype: What it is shown.
    """

    model: ForceField
    splits: Sequence[Split]
    mode: str
    device: str
    dtype: torch.dtype


@dataclass(slots=True, eq=False)
class RunChecks:
    """The checks of a run while its regions go by.

    Attributes:
        of: What is checked.
        sample: Places, among all structures, of those that are computed again alone.
        stride: Of the atoms whose forces are judged.
    """

    of: Checked
    sample: Rows
    stride: int
    _n_seen: int = 0
    _atoms_seen: int = 0
    _again: list[tuple[Structures, NDArray[np.float64], NDArray[Any]]] = field(
        default_factory=list
    )
    _states: dict[str, list[tuple[int, Structures]]] = field(default_factory=dict)
    _collapsed: list[tuple[str, str]] = field(default_factory=list)
    _pairs: list[tuple[NDArray[Any], NDArray[Any]]] = field(default_factory=list)

    @classmethod
    def begin(
        cls,
        of: Checked,
        computed: Sequence[NDArray[np.bool_]],
        is_train: Sequence[bool],
        *,
        n_atoms: int,
        seed: int,
    ) -> "RunChecks":
        """Return the checks of a run before its first region.

        Args:
            of: What is checked.
            computed: Per region, which structures were computed.
            is_train: Per region, whether it is of a training split.
            n_atoms: Atoms of the run.
            seed: Of the sample.
        """
        plain = [
            done & (trains or of.mode == UNREFINED)
            for done, trains in zip(computed, is_train, strict=True)
        ]
        chosen = np.flatnonzero(np.concatenate(plain))
        if len(chosen) > N_STRUCTURES:
            generator = np.random.default_rng(seed)
            chosen = np.sort(generator.choice(chosen, N_STRUCTURES, replace=False))
        return cls(of, chosen, max(1, -(-n_atoms // REGION_ATOMS)))

    def see(
        self,
        shown: Structures,
        results: RegionResults,
        forces: NDArray[Any],
        labels: Labels,
    ) -> None:
        """Take what is needed of the next region.

        Args:
            shown: Its structures.
            results: What came of them.
            forces: Predicted forces, atoms laid end to end.
            labels: Their reference.
        """
        computed, n = results.is_ok, results.n_structures
        sizes = results.columns["n_atoms"]
        here = self.sample[
            (self.sample >= self._n_seen) & (self.sample < self._n_seen + n)
        ]
        if len(here):
            rows = here - self._n_seen
            ends = np.cumsum(sizes)
            atoms = [np.arange(ends[i] - sizes[i], ends[i]) for i in rows]
            energy = results.columns["energy"][rows]
            chosen = shown.select(rows.tolist())
            self._again.append((chosen, energy, forces[np.concatenate(atoms)]))
        self._see_states(shown, computed)
        self._see_collapsed(shown, results.columns["id"], computed)
        self._see_pairs(np.repeat(computed, sizes), forces, labels)
        self._n_seen += n
        self._atoms_seen += len(forces)

    def _see_states(self, shown: Structures, computed: NDArray[np.bool_]) -> None:
        """Keep the first computed structures that are charged, or open shells."""
        for name, which in (
            ("charge", shown.charge != 0),
            ("spin", shown.multiplicity != 1),
        ):
            kept = self._states.setdefault(name, [])
            found = np.flatnonzero(computed & which.numpy())
            for row in found[: N_OF_EACH_STATE - len(kept)].tolist():
                kept.append((self._n_seen + row, shown.select([row])))

    def _see_collapsed(
        self, shown: Structures, names: Sequence[str], computed: NDArray[np.bool_]
    ) -> None:
        rows = np.flatnonzero(computed)
        if len(rows) == 0:
            return
        kept = shown if len(rows) == len(names) else shown.select(rows.tolist())
        found = collapsed(kept)
        self._collapsed += [(names[rows[place]], found[place]) for place in sorted(found)]

    def _see_pairs(
        self, kept: NDArray[np.bool_], forces: NDArray[Any], labels: Labels
    ) -> None:
        """Keep predicted and reference forces of atoms at equal distances."""
        kept &= (self._atoms_seen + np.arange(len(kept))) % self.stride == 0
        self._pairs.append((forces[kept], labels.forces.numpy()[kept]))

    def conclude(self) -> dict[str, Any]:
        """Return what was checked and what looks wrong, for ``run.json``.

        Raises:
            ModelError: Predictions in batches are not those of the structures alone.
        """
        predict = partial(predict_each, self.of.model)
        batches: Mapping[str, object] = {"structures": []}
        if self._again:
            chosen, energies, forces = zip(*self._again, strict=True)
            together = Labels(
                energy=torch.tensor(np.concatenate(energies)),
                forces=torch.from_numpy(np.concatenate(forces)),
                source=self.of.mode,
            )
            batches = check_batches(predict, self._seen(chosen), together)
        splits = self.of.splits
        remarks = [*remarks_on(splits), *check_data(tuple(splits))]
        states = dict(one for kept in self._states.values() for one in kept)
        if states:
            sample = self._seen([states[place] for place in sorted(states)])
            remarks += blind_spots(predict, self.of.model.name, sample)
        remarks += self._say_collapsed() + self._judge()
        return {"batches": batches, "remarks": remarks}

    def _seen(self, chosen: Sequence[Structures]) -> Structures:
        """Return structures as the model sees them."""
        return Structures.concatenate(chosen).to(
            device=self.of.device, dtype=self.of.dtype
        )

    def _say_collapsed(self) -> list[str]:
        """Say of which computed structures atoms lie on top of each other."""
        n = len(self._collapsed)
        if not n:
            return []
        name, which = self._collapsed[0]
        return [
            f"{n} structure{'s have' if n > 1 else ' has'} atoms on top of each other "
            f"({name} is {which}): no model is made for them, and the forces there "
            "can decide every mean"
        ]

    def _judge(self) -> list[str]:
        """Compare the predictions of what was computed with the reference."""
        sides = [np.concatenate(side) for side in zip(*self._pairs, strict=True)]
        if not len(sides[0]):
            return []
        found = [
            Labels(energy=torch.zeros(0), forces=torch.from_numpy(side), source="")
            for side in sides
        ]
        return judge_predictions(*found)
