"""Evaluation: a model's energies and forces, one bad system not taking others along."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mlffbench.core.errors import ModelError
from mlffbench.core.forcefield import ForceField
from mlffbench.core.guards.plain import first_line
from mlffbench.core.labels import Labels
from mlffbench.core.structures import Structures


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """How a model is asked.

    Attributes:
        model: The force field.
        device: Where it computes.
        dtype: Floating-point type of the positions it is shown.
        batch_atoms: Atoms per call at most; a larger system is a call of its own.
    """

    model: ForceField
    device: torch.device
    dtype: torch.dtype
    batch_atoms: int = 20000

    def __call__(self, structures: Structures) -> Labels:
        """Return float64 labels on the device of the structures.

        A structure for which the model raises is a failure of that structure.

        Raises:
            ModelError: What the model returns are no forces of these structures.
        """
        shown = structures.to(device=self.device, dtype=self.dtype)
        if structures.n_atoms > self.batch_atoms:
            parts = [self._ask(shown.select(part)) for part in self._parts(structures)]
            labels = Labels.concatenate(parts)
        else:
            labels = self._ask(shown)
        where = structures.positions.device
        return Labels(
            energy=labels.energy.detach().to(where, torch.float64),
            forces=labels.forces.detach().to(where, torch.float64),
            source=labels.source,
            failures=labels.failures,
        )

    def _parts(self, structures: Structures) -> list[list[int]]:
        parts: list[list[int]] = [[]]
        n_atoms = 0
        for index, size in enumerate(structures.sizes.tolist()):
            if parts[-1] and n_atoms + size > self.batch_atoms:
                parts.append([])
                n_atoms = 0
            parts[-1].append(index)
            n_atoms += size
        return parts

    def _ask(self, structures: Structures) -> Labels:
        """Return the labels of a batch; where it raises, of its halves."""
        try:
            labels = self.model.predict(structures)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a model may raise anything
            reason = f"{self.model.name}: {first_line(error)}"
        else:
            self._check(labels, structures)
            return labels
        if structures.n_systems == 1:
            return _nothing(structures, reason)
        middle = structures.n_systems // 2
        halves = [range(middle), range(middle, structures.n_systems)]
        return Labels.concatenate([self._ask(structures.select(h)) for h in halves])

    def _check(self, labels: object, structures: Structures) -> None:
        if not isinstance(labels, Labels):
            msg = f"model {self.model.name!r} returned a {type(labels).__name__}, "
            raise ModelError(msg + "expected Labels; see: mlffbench validate")
        found = tuple(labels.energy.shape), tuple(labels.forces.shape)
        expected = (structures.n_systems,), tuple(structures.positions.shape)
        if found != expected:
            msg = (
                f"model {self.model.name!r} returned energies of shape {found[0]} and "
                f"forces of shape {found[1]}, but dynamics needs {expected[0]} and "
                f"{expected[1]}: a model without forces cannot move atoms"
            )
            raise ModelError(msg)


def broken(labels: Labels, structures: Structures) -> dict[int, str]:
    """Return the structures without finite energy and forces, and why."""
    bad = ~torch.isfinite(labels.energy)
    bad[structures.system[~torch.isfinite(labels.forces).all(1)]] = True
    reasons = dict(labels.failures)
    for index in bad.nonzero().flatten().tolist():
        reasons.setdefault(index, "energy or forces are not finite")
    return reasons


def _nothing(structures: Structures, reason: str) -> Labels:
    energy: Tensor = structures.positions.new_full((structures.n_systems,), torch.nan)
    return Labels(
        energy=energy,
        forces=torch.full_like(structures.positions, torch.nan),
        source="failed",
        failures=dict.fromkeys(range(structures.n_systems), reason),
    )
