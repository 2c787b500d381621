"""The loop: one stage of a training, epoch by epoch, resumable after each."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from mlffbench.core.errors import BenchError
from mlffbench.core.forcefield import Head
from mlffbench.core.labels import Labels
from mlffbench.core.structures import Structures
from mlffbench.training.average import MovingAverage, put
from mlffbench.training.examples import Examples, Loader, batches, has_label
from mlffbench.training.loss import LossWeights, labels_loss
from mlffbench.training.ranks import ALONE, Ranks
from mlffbench.training.schedule import learning_factor
from mlffbench.training.training_plan import AmpName, Part, StagePlan
from mlffbench.training.training_state import (
    optimiser_tensors,
    prefixed,
    restore_optimiser,
    under,
)
from mlffbench.training.validation import Check, force_errors

Row = dict[str, Any]
"""One line of the log: stage, epoch, learning rate, loss, seconds, and force errors."""


PARTS: tuple[Part, ...] = ("shared", "prior", "ref")


class Trainable(Protocol):
    """What the loop asks of a network."""

    def forward(self, structures: Structures, head: Head) -> Labels:
        """Return one head's labels with the autograd graph attached."""
        ...

    def parameters_of(self, part: Part) -> Mapping[str, nn.Parameter]:
        """Return the parameters of a part by name."""
        ...


def start_from(model: Trainable, plan: StagePlan) -> None:
    """Give the moving head the weights that the head ``plan.start_from`` has learned."""
    if plan.start_from is None:
        return
    sources = model.parameters_of(plan.start_from)
    for part in plan.parts:
        if part not in {"shared", plan.start_from}:
            put(model.parameters_of(part), sources)


class StageRun:
    """A stage under way.

    Args:
        model: Its parameters are those of the previous stage, or of initialisation.
        plan: The stage.
        examples: Training examples, on the device and in the dtype of the model.
        checks: Validation sets; the mean error of those that decide stops the stage.
        seed: Every shuffle follows from it, the stage and the epoch.
        amp: Precision of what is trained on; validation is always in full precision.
        ranks: This process and those it trains together with.
    """

    def __init__(
        self,
        model: Trainable,
        plan: StagePlan,
        *,
        examples: Examples,
        checks: Sequence[Check],
        seed: int,
        amp: AmpName = "off",
        ranks: Ranks = ALONE,
    ) -> None:
        self.plan = plan
        self._model, self._checks, self._seed = model, checks, seed
        self._amp, self._ranks = amp, ranks
        self._loader = Loader(examples)
        self._moving = self._freeze()
        ranks.follow_first(self._moving)
        self._optimiser = torch.optim.AdamW(
            list(self._moving.values()),
            lr=plan.learning_rate,
            weight_decay=plan.weight_decay,
            foreach=True,
        )
        self._average = MovingAverage(self._moving, plan.average)
        self._best = {name: value.clone() for name, value in self._average.values.items()}
        self.epoch = 0
        self.errors: list[float] = []

    @property
    def best_error(self) -> float:
        """Smallest mean force error of the deciding checks so far, in eV/Å."""
        return min(self.errors, default=math.inf)

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or ``patience`` of them brought nothing."""
        if self.epoch >= self.plan.epochs:
            return True
        if not self.errors:
            return False
        since_best = len(self.errors) - 1 - self.errors.index(self.best_error)
        return since_best >= self.plan.patience

    def run_epoch(self) -> Row:
        """Train for an epoch, validate the averaged weights, keep them if they are best.

        Raises:
            BenchError: The loss is no longer finite.
        """
        started = time.perf_counter()
        loss = self._train_epoch()
        self.epoch += 1
        last = self.epoch == self.plan.epochs
        with self._average.applied():
            errors = {
                check.name: force_errors(
                    self._model, check, self.plan.monitor, self._ranks
                )
                for check in self._checks
                if check.decides or last or self.epoch % self.plan.ood_every == 0
            }
        error = deciding_error(errors, self._checks)
        if error < self.best_error:
            self._best = {name: v.clone() for name, v in self._average.values.items()}
        self.errors.append(error)
        return {
            "stage": self.plan.name,
            "epoch": self.epoch,
            "learning_rate": self._rate(self.epoch * self._n_steps()),
            "loss": loss,
            "seconds": round(time.perf_counter() - started, 3),
            **errors,
        }

    def finish(self) -> None:
        """Put the best weights into the model."""
        put(self._moving, self._best)

    def numbers(self) -> dict[str, Any]:
        """Return the numbers a resumed stage needs."""
        return {"epoch": self.epoch, "errors": self.errors}

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors a resumed stage needs, beside the weights of the model."""
        return {
            **prefixed("average", self._average.values),
            **prefixed("best", self._best),
            **prefixed("optimiser", optimiser_tensors(self._optimiser, self._moving)),
        }

    def restore(self, numbers: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Go on where both were taken; the weights are back in the model already."""
        self.epoch, self.errors = int(numbers["epoch"]), list(numbers["errors"])
        for mine, name in ((self._average.values, "average"), (self._best, "best")):
            for key, value in under(name, tensors).items():
                mine[key].copy_(value)
        moments = under("optimiser", tensors)
        restore_optimiser(self._optimiser, self._moving, moments)

    def _freeze(self) -> dict[str, nn.Parameter]:
        """Return the parameters that move, the only ones left with gradients."""
        moving: dict[str, nn.Parameter] = {}
        for name, parameter in all_parameters(self._model).items():
            moves = name.partition(".")[0] in self.plan.parts
            parameter.requires_grad_(moves)
            parameter.grad = None
            if moves:
                moving[name] = parameter
        return moving

    def _train_epoch(self) -> float:
        """Return the mean loss of the batches of one epoch, those of all ranks."""
        n_structures = self._loader.examples.n_structures
        step, n_batches = self.epoch * self._n_steps(), self._n_batches()
        every, total, collected = self.plan.accumulate, 0.0, 0.0
        for number, places in enumerate(
            batches(n_structures, self.plan.batch, self._shuffle())
        ):
            first = number - number % every
            n_together = min(every, n_batches - first)
            if number == first:
                self._optimiser.zero_grad(set_to_none=True)
                collected = 0.0
            if self._ranks.shares(number - first):
                collected += self._follow(self._loader.batch(places), n_together)
            if number == first + n_together - 1:
                total += self._finite(*self._ranks.total(collected))
                self._step(step)
                step += 1
        return total / n_batches

    def _follow(self, batch: Examples, n_together: int) -> float:
        """Add a batch's share to the gradients; return its loss."""
        loss = self._loss(batch)
        if loss.requires_grad:
            (loss / n_together).backward()  # type: ignore[no-untyped-call]  # no types
        return float(loss.detach())

    def _finite(self, value: float) -> float:
        """Return a loss.

        Raises:
            BenchError: It is not finite.
        """
        if not math.isfinite(value):
            msg = f"the loss of stage {self.plan.name!r} is {value} in epoch "
            msg += f"{self.epoch + 1}; train again with a smaller learning rate than "
            raise BenchError(msg + f"{self.plan.learning_rate:g}, or a smaller --clip")
        return value

    def _step(self, step: int) -> None:
        """Follow the gradients that were collected, if any, and the average follows."""
        self._ranks.add_gradients(list(self._moving.values()))
        if any(parameter.grad is not None for parameter in self._moving.values()):
            for group in self._optimiser.param_groups:
                group["lr"] = self._rate(step)
            nn.utils.clip_grad_norm_(self._moving.values(), self.plan.clip)
            self._optimiser.step()
        self._average.update(step + 1)

    def _loss(self, batch: Examples) -> Tensor:
        """Return Σ over heads of weight × loss, over the structures each head knows."""
        weights = LossWeights(
            energy=self.plan.energy_weight, forces=self.plan.force_weight
        )
        parts: list[Tensor] = []
        for head, weight in self.plan.heads.items():
            there = has_label(batch.labels[head])
            if not bool(there.any()):
                continue
            mine = batch
            if not bool(there.all()):
                mine = batch.select(there.nonzero().flatten().tolist())
            with autocast(mine.structures.positions.device, self._amp):
                prediction = self._model.forward(mine.structures, head)
            target = mine.labels[head]
            parts.append(
                weight * labels_loss(prediction, target, mine.structures, weights)
            )
        return torch.stack(parts).sum() if parts else torch.zeros(())

    def _n_batches(self) -> int:
        return math.ceil(self._loader.examples.n_structures / self.plan.batch)

    def _n_steps(self) -> int:
        return math.ceil(self._n_batches() / self.plan.accumulate)

    def _rate(self, step: int) -> float:
        n_steps = self._n_steps()
        factor = learning_factor(
            self.plan.schedule,
            step=step,
            n_steps=self.plan.epochs * n_steps,
            n_warmup=round(self.plan.warmup_epochs * n_steps),
            errors=self.errors,
        )
        return self.plan.learning_rate * factor

    def _shuffle(self) -> torch.Generator:
        """Return the generator of this epoch: it needs no state to be resumed."""
        generator = torch.Generator()
        words = f"{self._seed}/{self.plan.name}/{self.epoch}"
        return generator.manual_seed(seed_of(words))


@contextmanager
def autocast(device: torch.device, amp: AmpName) -> Iterator[None]:
    """Let matrix products be of lower precision than the weights, where asked for."""
    if amp == "off":
        yield
        return
    with torch.autocast(device.type, dtype=torch.bfloat16):
        yield


def all_parameters(model: Trainable) -> dict[str, nn.Parameter]:
    """Return every parameter of a model as ``part.name``."""
    return {
        f"{part}.{name}": parameter
        for part in PARTS
        for name, parameter in model.parameters_of(part).items()
    }


def deciding_error(errors: Mapping[str, float], checks: Sequence[Check]) -> float:
    """Return the mean force error of the checks that decide, in eV/Å.

    Raises:
        BenchError: None of them has a label.
    """
    found = [errors[check.name] for check in checks if check.decides]
    found = [error for error in found if not math.isnan(error)]
    if not found:
        raise BenchError(
            "no ID validation structure has a label, so nothing can stop the "
            "training; see mlffbench label"
        )
    return sum(found) / len(found)


def seed_of(words: str) -> int:
    """Return a seed in [0, 2⁶³) that follows from some words."""
    return int.from_bytes(sha256(words.encode()).digest()[:8], "little") >> 1
