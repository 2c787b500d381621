"""Ask the oracle: finished runs of a model -> its errors at every cutoff, on disk.

Reads reference labels; see `mlffbench.diagnostics.cutoff_errors`.
"""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from mlffbench.core.errors import CapabilityError, StoreError
from mlffbench.core.forcefield import ForceField, HasCutoff
from mlffbench.core.labels import Labels
from mlffbench.core.model_options import ModelOptions
from mlffbench.core.structures import Structures
from mlffbench.diagnostics.cutoff_errors import errors_by_cutoff
from mlffbench.models.cutoffs import Candidate, candidates_of, radii_of, scopes_of
from mlffbench.models.load import card_of, load_model
from mlffbench.models.model_spec import check_not_typed
from mlffbench.run.evaluate.chosen_radii import Oracle, identity_of, names_of
from mlffbench.run.evaluate.evaluation_score import score_run
from mlffbench.run.evaluate.predict import predict_each
from mlffbench.run.evaluate.stored import StoredRun, StoredSplit
from mlffbench.run.folder import RunFolder
from mlffbench.run.provenance import model_manifest
from mlffbench.run.work import Progress

SMALLEST, N_RADII = 3.0, 10
"""The grid of `RadiusRefinement`'s defaults."""


class _Asked(NamedTuple):
    """Structures with what the oracle calls them and their reference labels."""

    names: list[str]
    structures: Structures
    reference: Labels


def ask_oracle(
    baseline: RunFolder,
    progress: Progress,
    *,
    smallest: float = SMALLEST,
    n_radii: int = N_RADII,
    typed: str = "",
    trust: bool = False,
) -> list[RunFolder]:
    """Write a model's oracle beside its modes and score those with radii again.

    Args:
        baseline: The finished baseline run of the model; its structures are asked about.
        progress: Told of every prediction.
        smallest: Least radius, in Å.
        n_radii: Radii from there to the trained cutoff.
        typed: The model as the user typed it; another one that ``run.json`` names and
            that would run code needs ``trust``.
        trust: Load a model that runs code of unknown origin.

    Returns:
        The runs whose records now say what was captured.

    Raises:
        CapabilityError: The model has no cutoff to change.
        StoreError: The run is missing, has not finished, is of another model, or the
            result cannot be written.
        ModelError: The model cannot be loaded.
    """
    if not baseline.path.exists():
        msg = f"no baseline in {baseline.path.parent}, which the oracle starts from; "
        raise StoreError(msg + "run the suite with --mode baseline,rr first")
    run = StoredRun.read(baseline)
    job = run.manifest["job"]
    options = ModelOptions(device=job["device"], dtype=job["dtype"], trust=trust)
    trusted = trust or job["model"] == typed
    check_not_typed(job["model"], str(baseline.manifest_path), trust=trusted)
    model = load_model(job["model"], options)
    identity = identity_of(model_manifest(job["model"], model, card_of(model)))
    if identity != identity_of(run.manifest["model"]):
        msg = f"the model {job['model']!r} has changed since {baseline.path} was written"
        raise StoreError(msg + "; repeat its run with --overwrite")
    candidates = _candidates(model, smallest, n_radii)
    asked = [_predicted(s) for s in run.splits if s.manifest["role"] != "train"]
    n_structures = sum(len(one.names) for one in asked)
    progress.begin(f"{job['model']} oracle", n_structures * len(candidates))
    errors = [
        errors_by_cutoff(
            candidates,
            one.structures,
            one.reference,
            device=job["device"],
            dtype=torch.float64 if run.manifest["dtype"] == "float64" else torch.float32,
            predict=predict_each,
            advance=progress.advance,
        )
        for one in asked
    ]
    oracle = Oracle(
        cutoffs=np.array([one.cutoff for one in candidates]),
        envelopes=np.array([one.envelope for one in candidates]),
        ids=np.array([name for one in asked for name in one.names], dtype=np.str_),
        errors=np.concatenate(errors, axis=1),
        model=identity,
    )
    folder = baseline.path.parent
    oracle.write(folder)
    return _score_again(folder)


def _predicted(split: StoredSplit) -> _Asked:
    """Return the structures of a split that the baseline could predict."""
    rows = np.flatnonzero(split.table["status"] == "ok").tolist()
    kept = torch.isin(split.structures.system, torch.tensor(rows, dtype=torch.int64))
    reference = replace(
        split.reference,
        energy=split.reference.energy[rows],
        forces=split.reference.forces[kept],
    )
    names = names_of(split)
    structures = split.structures.select(rows)
    return _Asked([names[row] for row in rows], structures, reference)


def _candidates(model: ForceField, smallest: float, n_radii: int) -> list[Candidate]:
    if not isinstance(model, HasCutoff):
        msg = f"model {model.name!r} has no graph cutoff that can be changed, so there "
        raise CapabilityError(msg + "is nothing to ask the oracle")
    radii = radii_of(model.cutoff, smallest=smallest, n_radii=n_radii, given="")
    scopes = scopes_of(model)
    both = {"graph", "graph+envelope"} <= set(scopes)
    if both:
        return candidates_of(model, radii, "either")
    return candidates_of(model, radii, "truncate" if "graph" in scopes else "rescale")


def _score_again(folder: Path) -> list[RunFolder]:
    """Score every finished mode that chooses radii, and return them."""
    found = []
    for path in sorted(folder.glob("*/run.json")):
        mode = RunFolder(path.parent)
        manifest = mode.read_manifest()
        radii = "radii" in manifest["mode"]["settings"]
        if radii and manifest.get("status") == "complete":
            mode.write_records(score_run(mode).records)
            found.append(mode)
    return found
