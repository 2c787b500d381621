"""One batch: refine, predict, and keep a bad structure from taking the others along."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from mlffbench.core.assembly import spread
from mlffbench.core.errors import BenchError, DataError, ModelError
from mlffbench.core.forcefield import ForceField
from mlffbench.core.guards.geometry import impossible
from mlffbench.core.guards.output import shortage
from mlffbench.core.labels import Labels
from mlffbench.core.plugins.user_file import in_words
from mlffbench.core.structures import Structures
from mlffbench.refine.refiner import Fact, Refined, Refiner
from mlffbench.run.evaluate.batch_check import retry_alone
from mlffbench.run.evaluate.memory_limit import MemoryLimits

LIMITS = MemoryLimits()
"""What did not fit, of the model at hand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What a model said of a batch.

    Attributes:
        energy: Shape (n_systems,), float64, in eV; NaN for the failed.
        forces: Shape (n_atoms, 3), in eV/Å; NaN for the failed.
        failures: Index of a structure -> why it failed.
        facts: Per structure, what its refinement has to tell; may be empty.
        trace: Named series of the refinement.
        gradient_steps: Optimiser steps of the refinement.
        wall_s: Seconds of refinement and prediction.
    """

    energy: Tensor
    forces: Tensor
    failures: Mapping[int, str]
    facts: Sequence[Mapping[str, Fact]] = ()
    trace: Mapping[str, Sequence[float]] = field(default_factory=dict)
    gradient_steps: int = 0
    wall_s: float = 0.0


def predict_batch(
    model: ForceField,
    refiner: Refiner,
    structures: Structures,
    *,
    device: str,
    dtype: torch.dtype,
) -> Prediction:
    """Return what a model says of a batch after its refinement.

    Args:
        model: The model; it is left as it is.
        refiner: Its refinement.
        structures: Whole units of the refiner, float64 on the CPU, as its refinement
            sees them; the model gets them on ``device`` in ``dtype``.
        device: Where the model computes.
        dtype: Floating-point type the model computes in.

    Raises:
        BenchError: The refinement cannot work, or the model breaks its contract; what a
            single structure causes is a failure of that structure instead.
    """
    refused = impossible(structures)
    if refused:
        kept = [index for index in range(structures.n_systems) if index not in refused]
        rest = structures.select(kept)
        found = _predict(model, refiner, rest, device, dtype) if kept else None
        return _of_all(structures, kept, found, refused)
    return _predict(model, refiner, structures, device, dtype)


def _predict(
    model: ForceField,
    refiner: Refiner,
    structures: Structures,
    device: str,
    dtype: torch.dtype,
) -> Prediction:
    """Return what a model says of structures that it can be asked about."""
    shown = structures.to(device=device, dtype=dtype)
    _synchronize(shown)
    start = time.perf_counter()
    try:
        refined = refiner.refine(model, structures)
    except BenchError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a model may raise anything
        _stop_if_short(error)
        reason = f"{refiner.name} failed: {in_words(error)}"
        refined = Refined(model=_Refusing(reason))
    labels = predict_each(refined.model, shown)
    labels = retry_alone(lambda one: predict_each(refined.model, one), shown, labels)
    _synchronize(shown)
    wall_s = time.perf_counter() - start
    failures = dict(labels.failures)
    bad = ~torch.isfinite(labels.energy).cpu()
    broken_atoms = ~torch.isfinite(labels.forces).all(dim=1).cpu()
    bad[structures.system[broken_atoms]] = True
    for index in torch.nonzero(bad).flatten().tolist():
        failures.setdefault(index, "the prediction is not finite")
    energy = labels.energy.detach().to("cpu", torch.float64, copy=True)
    forces = labels.forces.detach().to("cpu", copy=True)
    if failures:
        failed = torch.tensor(sorted(failures), dtype=torch.int64)
        energy[failed] = torch.nan
        forces[torch.isin(structures.system, failed)] = torch.nan
    return Prediction(
        energy=energy,
        forces=forces,
        failures=failures,
        facts=refined.facts,
        trace=refined.trace,
        gradient_steps=refined.gradient_steps,
        wall_s=wall_s,
    )


def _of_all(
    structures: Structures,
    kept: Sequence[int],
    found: Prediction | None,
    refused: Mapping[int, str],
) -> Prediction:
    """Return what was said of some structures of a batch as a prediction of all."""
    if found is None:
        energy = torch.full((structures.n_systems,), torch.nan, dtype=torch.float64)
        forces = torch.full((structures.n_atoms, 3), torch.nan, dtype=torch.float32)
        return Prediction(energy=energy, forces=forces, failures=dict(refused))
    energy, forces = spread(structures, kept, found.energy, found.forces)
    failures = {kept[index]: why for index, why in found.failures.items()}
    facts = dict(zip(kept, found.facts, strict=False))
    return replace(
        found,
        energy=energy,
        forces=forces,
        failures={**failures, **refused},
        facts=[facts.get(i, {}) for i in range(structures.n_systems)] if facts else (),
    )


class _Refusing:
    """Stands in for a model whose refinement failed: every structure fails alike."""

    name = "refused"
    elements: frozenset[int] = frozenset()

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def predict(self, structures: Structures) -> Labels:
        return _nothing(structures, self.reason)


def predict_each(model: ForceField, structures: Structures) -> Labels:
    """Predict a batch; where it raises, its halves, down to the structure at fault.

    Halving is also what gives a batch that is too large for a GPU's memory another try;
    the next one as large is halved at once.
    """
    if structures.n_systems > 1 and LIMITS.exceeded_by(model.name, structures):
        return _in_halves(model, structures)
    try:
        labels = model.predict(structures)
    except DataError as error:  # of one of the structures
        reason = str(error)
    except BenchError as error:
        msg = f"model {model.name!r}: {error}"
        raise ModelError(msg) from error
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a model may raise anything
        _stop_if_short(error)
        LIMITS.note(model.name, structures, error)
        reason = in_words(error)
    else:
        return _checked(model, labels, structures)
    if structures.positions.is_cuda:
        torch.cuda.empty_cache()
    if structures.n_systems == 1:
        return _nothing(structures, reason)
    return _in_halves(model, structures)


def _in_halves(model: ForceField, structures: Structures) -> Labels:
    middle = structures.n_systems // 2
    halves = [range(middle), range(middle, structures.n_systems)]
    return Labels.concatenate(
        [predict_each(model, structures.select(half)) for half in halves]
    )


def _stop_if_short(error: BaseException) -> None:
    """Stop a job for what the machine lacks, which is no failure of a structure.

    Raises:
        ModelError: Files or processes ran out, as the same command need not meet again.
    """
    told = shortage(error) if isinstance(error, OSError) else ""
    if told:
        msg = f"the run stops here, since {told}; then repeat the command to continue"
        raise ModelError(msg) from error


def _checked(model: ForceField, labels: object, structures: Structures) -> Labels:
    """Return labels of these structures, float32 or float64, as the model made them.

    Raises:
        ModelError: They are something else.
    """
    if not isinstance(labels, Labels):
        msg = f"model {model.name!r} returned a {type(labels).__name__}, expected Labels"
        raise ModelError(msg + " (mlffbench.core.labels); see: mlffbench validate")
    for name, tensor in (("energies", labels.energy), ("forces", labels.forces)):
        kind = _kind_of(tensor)
        if kind:
            msg = f"model {model.name!r} returned {kind} as {name}, expected a dense "
            raise ModelError(msg + "float32 or float64 tensor; see: mlffbench validate")
    strange = [
        index for index in labels.failures if not 0 <= index < structures.n_systems
    ]
    if strange:
        msg = f"model {model.name!r} returned failures of structure {strange[0]} for "
        msg += f"{structures.n_systems} structures; see: mlffbench validate"
        raise ModelError(msg)
    found = tuple(labels.energy.shape), tuple(labels.forces.shape)
    expected = (structures.n_systems,), tuple(structures.positions.shape)
    if found != expected:
        msg = (
            f"model {model.name!r} returned energies of shape {found[0]} and forces of "
            f"shape {found[1]}, expected {expected[0]} and {expected[1]}; "
            "see: mlffbench validate"
        )
        raise ModelError(msg)
    return replace(labels, energy=_wide(labels.energy), forces=_wide(labels.forces))


def _kind_of(tensor: Tensor) -> str:
    """Return what a tensor is that holds no plain real numbers; empty if it does."""
    if tensor.is_meta:
        return "a tensor on the device 'meta', which holds no numbers,"
    if tensor.layout is not torch.strided:
        return f"a sparse tensor ({tensor.layout})"
    if not tensor.is_floating_point():
        return "complex numbers" if tensor.is_complex() else "whole numbers"
    return ""


def _wide(tensor: Tensor) -> Tensor:
    """Return half-precision values in float32, which everything that follows knows."""
    return tensor if tensor.dtype in {torch.float32, torch.float64} else tensor.float()


def _nothing(structures: Structures, reason: str) -> Labels:
    energy = structures.positions.new_full((structures.n_systems,), torch.nan)
    return Labels(
        energy=energy,
        forces=torch.full_like(structures.positions, torch.nan),
        source="failed",
        failures=dict.fromkeys(range(structures.n_systems), reason),
    )


def _synchronize(structures: Structures) -> None:
    if structures.positions.is_cuda:
        torch.cuda.synchronize()
