"""A refinement that is kept: adapts a model to molecules and writes the weights."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
from pydantic import JsonValue

from mlffbench.core.assembly import refusals
from mlffbench.core.errors import CapabilityError, DataError, StoreError
from mlffbench.core.files import make_folder
from mlffbench.core.forcefield import ForceField, HasPriorHead
from mlffbench.core.model_options import ModelOptions
from mlffbench.core.structures import Structures
from mlffbench.deploy.family import Family, family_of
from mlffbench.deploy.mace_export import export_mace
from mlffbench.deploy.prediction_job import (
    PredictionRequest,
    PredictionWork,
    prepare_predictions,
)
from mlffbench.deploy.refined_files import (
    MANIFEST,
    RefinedManifest,
    RefinedUnit,
    read_refined,
    write_weights,
)
from mlffbench.deploy.refined_model import weights_in
from mlffbench.models.load import load_model
from mlffbench.refine.modes import load_refiner
from mlffbench.refine.per_structure import Routed
from mlffbench.refine.refined_units import units_of
from mlffbench.refine.refiner import Refined, Refiner
from mlffbench.refine.ttt import PriorTuning
from mlffbench.run.loop import one_thread
from mlffbench.run.manifest import fingerprint_of
from mlffbench.run.provenance import versions
from mlffbench.run.work import Progress, Silent


def refine_and_keep(
    request: PredictionRequest, progress: Progress | None = None
) -> RefinedManifest:
    """Adapt one model to the molecules of a file, and write the weights.

    What is there of the same refinement is kept.

    Args:
        request: Of one model and one mode.
        progress: Told of every unit that is finished.

    Raises:
        CapabilityError: The mode keeps no weights, or the model cannot be refined.
        StoreError: The folder holds another refinement, or cannot be written.
        BenchError: A name, a setting or the file is wrong.
    """
    campaign = prepare_predictions(request)
    if len(campaign.jobs) != 1:
        raise CapabilityError("a refined model is of one model and one mode: name one")
    [job] = campaign.jobs
    require_weights(load_refiner(job.mode, dict(job.settings)))
    watcher = progress or Silent()
    options = ModelOptions(
        device=request.device, dtype=request.dtype, trust=request.trust
    )
    with one_thread():
        model = load_model(job.model, options)
        work = cast("PredictionWork", campaign.kind.work(job, model))
        work = work.prepared(watcher)
        fingerprint = fingerprint_of({**work.decides(), "versions": versions()})
        kept = _kept(request, fingerprint)
        if kept is not None:
            return kept
        source = work.splits[0].source
        structures = source.structures(np.arange(source.index.n_structures))
        return _refined(work, structures, request, fingerprint, watcher)


def require_weights(refiner: Refiner) -> None:
    """Check that a mode moves weights that can be kept, and nothing else.

    Raises:
        CapabilityError: It does not.
    """
    if isinstance(refiner, PriorTuning):
        return
    also = (
        "also chooses a radius for every structure"
        if "ttt" in refiner.name
        else "moves no weights"
    )
    msg = f"mode {refiner.name!r} {also}, so there is no refined model to keep; "
    raise CapabilityError(msg + "refine with --mode ttt")


def _kept(request: PredictionRequest, fingerprint: str) -> RefinedManifest | None:
    """Return a finished refinement of the same, None where there is none.

    Raises:
        StoreError: The folder holds another one.
    """
    if not (request.out / MANIFEST).exists():
        return None
    kept = read_refined(request.out)
    if kept.fingerprint == fingerprint:
        return kept
    if not request.overwrite:
        msg = f"{request.out} holds another refinement, of {kept.model!r} for "
        msg += f"{kept.source}; choose another --out, or replace it with --overwrite"
        raise StoreError(msg)
    (request.out / MANIFEST).unlink()
    for unit in kept.units:  # a smaller refinement would leave some of them
        for name in filter(None, (unit.weights, unit.mace_file)):
            (request.out / name).unlink(missing_ok=True)
    return None


def _refined(
    work: PredictionWork,
    structures: Structures,
    request: PredictionRequest,
    fingerprint: str,
    progress: Progress,
) -> RefinedManifest:
    refused = refusals(structures, work.card)
    left_out = {structures.ids[place]: why for place, why in refused.items()}
    usable = [p for p in range(structures.n_systems) if p not in refused]
    if not usable:
        msg = f"{request.path} holds nothing that {work.job.model!r} can treat: "
        raise DataError(msg + next(iter(left_out.values())))
    make_folder(request.out)
    rest = structures.select(usable)
    units = units_of(rest, work.refiner.unit)
    progress.begin(work.job.label, len(units))
    made = []
    for number, (name, places) in enumerate(units.items()):
        mine = rest.select(places)
        refined = work.refiner.refine(work.subject, mine)
        made.append(_unit(work, refined, mine, name, request.out / f"unit-{number:03d}"))
        progress.advance(1)
    manifest = RefinedManifest(
        model=work.job.model,
        model_weights=weights_in(work.model),
        mode=work.refiner.name,
        settings=cast("dict[str, JsonValue]", dict(work.refiner.settings(work.subject))),
        sees=work.refiner.sees,
        source=str(request.path),
        source_sha256=work.splits[0].source.sha256,
        training=work.training.name,
        units=tuple(made),
        left_out=left_out,
        fingerprint=fingerprint,
        versions=versions(),
    )
    manifest.write(request.out)
    return manifest


def _unit(
    work: PredictionWork, refined: Refined, mine: Structures, name: str, stem: Path
) -> RefinedUnit:
    """Write what came of one unit, and return what there is to say of it."""
    routed = cast("Routed", refined.model)
    facts: list[Mapping[str, Any]] = list(refined.facts)
    adapted = [place for place, one in enumerate(facts) if one["adapted"]]
    losses = next(iter(refined.trace.values()), ())
    owners = [family_of(mine, place) for place in range(mine.n_systems)]
    unit = partial(
        RefinedUnit,
        name=name,
        structures=mine.ids,
        families=tuple(dict.fromkeys(owners)),
        steps=len(losses),
    )
    if not adapted:
        return unit(adapted=False, reason=str(facts[0]["not_adapted_because"]))
    first = mine.ids[adapted[0]]
    model = routed.model_of(first)
    weights = stem.with_suffix(".safetensors")
    moved = list(cast("HasPriorHead", model).representation_parameters())
    return unit(
        adapted=True,
        weights=weights.name,
        weights_sha256=write_weights(weights, [one.detach() for one in moved]),
        offsets=_offsets(owners, routed.offsets, mine, adapted),
        losses=(losses[0], min(losses)) if losses else (),
        mace_file=_mace_file(work.model, model, stem),
    )


def _offsets(
    owners: Sequence[Family],
    offsets: Mapping[str, float],
    mine: Structures,
    adapted: Sequence[int],
) -> tuple[float, ...]:
    """Return the offset of each family: that of its first adapted structure."""
    found: dict[Family, float] = {}
    for place in adapted:
        found.setdefault(owners[place], offsets.get(mine.ids[place], 0.0))
    return tuple(found.get(family, 0.0) for family in dict.fromkeys(owners))


def _mace_file(base: ForceField, adapted: ForceField, stem: Path) -> str:
    """Write the adapted network where it is a MACE; return the name of its file."""
    path = stem.with_suffix(".model")
    return path.name if export_mace(base, adapted, path) else ""
