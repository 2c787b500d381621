"""Screen: structures without labels, judged for one model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from mlffbench import __version__
from mlffbench.core.assembly import refusals
from mlffbench.core.errors import BenchError, DataError
from mlffbench.datasets.unlabelled.held_source import nothing_for
from mlffbench.datasets.unlabelled.unlabelled_file import Unlabelled, open_unlabelled
from mlffbench.deploy.prediction_files import Predicted
from mlffbench.deploy.prediction_job import suite_of
from mlffbench.diagnostics.diagnostic import Sample
from mlffbench.diagnostics.study import errors_of
from mlffbench.models.catalog import DEFAULT_PRIOR
from mlffbench.models.load import card_of
from mlffbench.refine.prior_head import has_prior_head
from mlffbench.refine.prior_level import level_of
from mlffbench.refine.refined_units import units_of
from mlffbench.refine.unit_gate import START, START_GAP, UnitGate
from mlffbench.run.loop import one_thread
from mlffbench.run.work import Progress, Silent
from mlffbench.screening.calibration import (
    COVERAGE,
    LEAST_MOLECULES,
    Calibration,
    held_out_residuals,
)
from mlffbench.screening.evidence_kit import EvidenceKit
from mlffbench.screening.judgement import (
    Familiar,
    Judged,
    atom_scores,
    calibrated_alarms,
    judge,
    why_impossible,
)
from mlffbench.screening.measured import Alarmed
from mlffbench.screening.risk_probe import with_risk

Floats = NDArray[np.float64]

SHORT = 0.85
"""Coverage of a split below which it is named."""
EXCHANGEABLE = (
    f"the {COVERAGE:.0%} interval holds for molecules drawn as the calibration molecules "
    "were; chemistry unlike all of them breaks that"
)
"""What the intervals stand on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenRequest:
    """What is to be screened.

    Attributes:
        path: The file or folder.
        models: As typed; the first is screened for, the others' disagreement is an alarm.
        suite: Whose training and labelled val halves are compared with; empty is the
            model's own.
        prior: The prior.
        device: ``cpu`` or ``cuda``.
        dtype: ``float32`` or ``float64``; None is each model's default.
        seed: Of every choice.
        conformers: Per line of a SMILES file.
        scans: Also ask the model of moved structures.
        trust: Load model files that can run code of their own.
    """

    path: Path
    models: tuple[str, ...]
    suite: str = ""
    prior: str = DEFAULT_PRIOR
    device: str = "cpu"
    dtype: str | None = None
    seed: int = 0
    conformers: int = 1
    scans: bool = False
    trust: bool = False


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Screening:
    """Structures judged for one model.

    Attributes:
        table: One row per structure, errors and alarms in eV/Å.
        mine: The structures with their alarms.
        calibration: What expected errors are made with; None without labels.
        familiar: What is usual.
        known: Calibration structures: expected and true error, split, molecule.
        remarks: What a reader must know, in sentences.
        facts: Who screened what, with which suite and prior.
    """

    table: pd.DataFrame
    mine: Alarmed
    calibration: Calibration | None
    familiar: Familiar
    known: pd.DataFrame
    remarks: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    def predicted(self) -> Predicted:
        """Return it as annotated predictions, to be written where ASE reads them."""
        labels = self.mine.sample.prediction
        structures = self.mine.sample.structures
        if labels is None:
            labels = nothing_for(structures)
        failed = self.table["status"] != "ok"
        energy = labels.energy.double().numpy().copy()
        energy[failed.to_numpy()] = np.nan
        return Predicted(
            structures=structures,
            energy=energy,
            forces=labels.forces.double().numpy(),
            table=self.table,
            provenance={"model": self.facts["model"], "mode": "screen", **self.facts},
            per_atom=atom_scores(self.mine),
        )


def screen(request: ScreenRequest, progress: Progress | None = None) -> Screening:
    """Return structures judged for a model.

    Raises:
        BenchError: A name is wrong, the file cannot be read, or no suite is known.
    """
    if not request.models:
        raise BenchError("name a model with --model; mlffbench list models names them")
    watcher = progress or Silent()
    source = open_unlabelled(request.path, conformers=request.conformers)
    suite = request.suite or suite_of(request.models[0])
    if not suite:
        msg = (
            f"no suite of {request.models[0]!r} is known to compare with; name one with "
            "--suite, with a training split and labelled val splits"
        )
        raise DataError(msg)
    kit = EvidenceKit.of(
        request.models,
        suite,
        prior=request.prior,
        device=request.device,
        dtype=request.dtype,
        seed=request.seed,
        scans=request.scans,
        trust=request.trust,
    )
    with one_thread():
        return screened(kit, source, watcher)


def screened(kit: EvidenceKit, source: Unlabelled, progress: Progress) -> Screening:
    """Return the structures of a source judged with a kit.

    Raises:
        DataError: The training split is too small.
    """
    structures = source.structures(np.arange(source.index.n_structures))
    halves = kit.samples_of("val")
    total = structures.n_systems + sum(s.structures.n_systems for _, s in halves)
    progress.begin(f"{kit.name} screen", total)
    asked = Sample(name=source.name, structures=structures)
    train, *held, mine = kit.alarms_of([*(sample for _, sample in halves), asked])
    progress.advance(total)
    errors = [errors_of(one.sample, one.sample.prediction) for one in held]
    held, [mine] = with_risk(held, errors, [mine])
    roles = [split.role for split, _ in halves]
    familiar = _familiar(train, held, errors, roles)
    molecules = [name for one in held for name in one.sample.structures.group]
    alarms = calibrated_alarms(held) if held else {}
    calibration = (
        Calibration.of(alarms, np.concatenate(errors), molecules) if alarms else None
    )
    remarks = list(source.remarks)
    if calibration is None or not calibration.has_interval:
        n = calibration.n_molecules if calibration else 0
        remarks.append(
            f"the suite {kit.suite!r} has {n} labelled val molecules, fewer than the "
            f"{LEAST_MOLECULES} that an interval needs: structures are ranked, and no "
            "error is expected"
        )
        calibration = None
    judged = judge(mine, familiar, calibration, kit.prior.name)
    names = [split.name for split, _ in halves]
    known = _known(held, errors, names, calibration)
    if calibration is not None:
        every = np.concatenate(errors)
        known["residual"] = held_out_residuals(alarms, every, molecules)
    remarks += uneven(known, calibration)
    return Screening(
        table=_table(kit, mine, judged, calibration),
        mine=mine,
        calibration=calibration,
        familiar=familiar,
        known=known,
        remarks=tuple(remarks),
        facts=_facts(kit, source, calibration, familiar),
    )


def _familiar(
    train: Alarmed,
    held: Sequence[Alarmed],
    errors: Sequence[Floats],
    roles: Sequence[str],
) -> Familiar:
    """Return what is usual on ID val structures, else on all of val, else in training."""
    chosen = [place for place, role in enumerate(roles) if role == "id_val"]
    chosen = chosen or list(range(len(held)))
    known = [held[place] for place in chosen] or [train]
    return Familiar.of(train.sample.structures, known, [errors[i] for i in chosen])


def _table(
    kit: EvidenceKit,
    mine: Alarmed,
    judged: Sequence[Judged],
    calibration: Calibration | None,
) -> pd.DataFrame:
    structures = mine.sample.structures
    reasons = [why_impossible(mine, place) for place in range(structures.n_systems)]
    table = pd.DataFrame(
        {
            "id": list(structures.ids),
            "molecule": list(structures.group),
            "n_atoms": structures.sizes.numpy(),
            "charge": structures.charge.numpy(),
            "status": ["failed" if why else "ok" for why in reasons],
            "reason": reasons,
            "verdict": [str(one.verdict) for one in judged],
            "why": [one.reason for one in judged],
        }
    )
    if calibration is not None:
        expected = calibration.expect(mine.alarms)
        table["expected_error"] = expected.middle
        table["error_low"], table["error_high"] = expected.low, expected.high
    table["rank"] = [one.rank for one in judged]
    table["furthest_atom"] = [one.atom for one in judged]
    table["refine"] = refinement_outlook(kit, mine)
    for name, values in mine.alarms.items():
        if name not in table:  # the structure has a charge of its own
            table[name] = values
    return table


def refinement_outlook(kit: EvidenceKit, mine: Alarmed) -> list[str]:
    """Return whether test-time training is expected to help, for each structure.

    Its own gate says so: it needs the model's prior head and the level of training.
    """
    structures, prior = mine.sample.structures, mine.sample.prior
    if not has_prior_head(kit.model):
        why = "not known: the model has no prior head yet; mlffbench refine fits one"
        return [why] * structures.n_systems
    if prior is None:
        return [f"no: {mine.sample.why_absent('prior')}"] * structures.n_systems
    refused = {**prior.failures, **refusals(structures, card_of(kit.model))}
    usable = [place for place in range(structures.n_systems) if place not in refused]
    told = [f"no: {refused.get(place, '')}" for place in range(structures.n_systems)]
    if not usable:
        return told
    rest = structures.select(usable)
    targets = prior.forces[torch.isin(structures.system, torch.tensor(usable))]
    try:
        level = level_of(kit.model, kit.training, kit.prior)
    except BenchError as error:
        return [f"not known: {error}"] * structures.n_systems
    gate = UnitGate.of(kit.model, rest, targets, level, start=START, start_gap=START_GAP)
    for members in units_of(rest, "group").values():
        why = gate.why_not(members)
        for member in members:
            told[usable[member]] = f"no: {why}" if why else "yes"
    return told


def _known(
    held: Sequence[Alarmed],
    errors: Sequence[Floats],
    names: Sequence[str],
    calibration: Calibration | None,
) -> pd.DataFrame:
    frames = [
        pd.DataFrame(
            {
                "split": name,
                "id": list(one.sample.structures.ids),
                "molecule": list(one.sample.structures.group),
                "error": error,
                "expected": calibration.expect(one.alarms).middle
                if calibration
                else np.nan,
            }
        )
        for one, error, name in zip(held, errors, names, strict=True)
    ]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def uneven(known: pd.DataFrame, calibration: Calibration | None) -> list[str]:
    """Say on which calibration splits the interval holds less than it should.

    Of molecules that the regression was not fitted to.
    """
    if calibration is None:
        return []
    told = known.dropna(subset=["residual"])
    inside = told["residual"].between(calibration.below, calibration.above)
    held = told.assign(inside=inside).groupby("split")["inside"].mean()
    short = [f"{name} ({one:.0%})" for name, one in held.items() if one < SHORT]
    if not short:
        return []
    return [
        f"the {COVERAGE:.0%} interval is one for all kinds of structures and holds less "
        f"on some calibration splits: {', '.join(short)}"
    ]


def _facts(
    kit: EvidenceKit,
    source: Unlabelled,
    calibration: Calibration | None,
    familiar: Familiar,
) -> dict[str, Any]:
    return {
        "model": kit.name,
        "other_models": [one.model.name for one in kit.others if one.model],
        "suite": kit.suite,
        "prior": kit.prior.name,
        "file": source.name,
        "source_sha256": source.sha256,
        "usual_error": familiar.error,
        "n_molecules": calibration.n_molecules if calibration else 0,
        "n_structures": calibration.n_structures if calibration else 0,
        "alarms": list(calibration.names) if calibration else [],
        "mlffbench": __version__,
    }
