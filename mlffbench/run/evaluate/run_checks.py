"""Run checks: whether the numbers of a finished run can be what they seem to be."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch

from mlffbench.core.forcefield import ForceField
from mlffbench.core.labels import Labels
from mlffbench.core.split import Rows, Split, remarks_on
from mlffbench.core.structures import Structures
from mlffbench.metrics.plausibility import judge_predictions
from mlffbench.models.physics.sanity import collapsed
from mlffbench.run.evaluate.batch_check import N_STRUCTURES, check_batches
from mlffbench.run.evaluate.data_check import check_data
from mlffbench.run.evaluate.predict import predict_each
from mlffbench.run.evaluate.state_check import blind_spots

N_OF_EACH_STATE = 2
"""Charged structures, and structures with unpaired electrons, asked again."""
UNREFINED = "baseline"


def check_run(
    *,
    model: ForceField,
    splits: Sequence[Split],
    geometries: Sequence[Structures],
    table: pd.DataFrame,
    forces: np.ndarray,
    reference: Mapping[str, np.ndarray],
    mode: str,
    device: str,
    dtype: torch.dtype,
    seed: int,
) -> dict[str, Any]:
    """Return what was checked of a run and what looks wrong, for ``run.json``.

    Args:
        model: The model, unrefined.
        splits: The splits of the run.
        geometries: The structures of each, in the order of the table.
        table: One row per structure.
        forces: Predicted forces, atoms laid end to end.
        reference: ``energy`` and ``forces`` of the same.
        mode: Mode of the run; what it refined is not compared with the model alone.
        device: Where the model computes.
        dtype: What it is shown.
        seed: Of the sample.

    Raises:
        ModelError: Predictions in batches are not those of the structures alone.
    """
    computed = (table["status"] == "ok").to_numpy()
    plain = computed & ((table["role"] == "train") | (mode == UNREFINED)).to_numpy()
    chosen = np.flatnonzero(plain)
    if len(chosen) > N_STRUCTURES:
        generator = np.random.default_rng(seed)
        chosen = np.sort(generator.choice(chosen, N_STRUCTURES, replace=False))
    ends = np.cumsum(table["n_atoms"].to_numpy())
    batches: dict[str, object] = {"structures": []}
    if len(chosen):
        sample = _pick(geometries, chosen).to(device=device, dtype=dtype)
        atoms = [np.arange(ends[i] - table["n_atoms"][i], ends[i]) for i in chosen]
        together = Labels(
            energy=torch.tensor(table["energy"].to_numpy()[chosen]),
            forces=torch.from_numpy(forces[np.concatenate(atoms)]),
            source=mode,
        )
        batches = check_batches(partial(predict_each, model), sample, together)
    states = _states(geometries, computed)
    remarks = [*remarks_on(splits), *check_data(tuple(splits))]
    if len(states):
        sample = _pick(geometries, states).to(device=device, dtype=dtype)
        remarks += blind_spots(partial(predict_each, model), model.name, sample)
    remarks += _collapsed(geometries, table, computed)
    remarks += _judge(table, forces, reference, computed)
    return {"batches": batches, "remarks": remarks}


def _collapsed(
    geometries: Sequence[Structures], table: pd.DataFrame, computed: np.ndarray
) -> list[str]:
    """Say of which computed structures atoms lie on top of each other."""
    rows = np.flatnonzero(computed)
    found = collapsed(_pick(geometries, rows)) if len(rows) else {}
    if not found:
        return []
    first = min(found)
    name, n = str(table["id"].to_numpy()[rows[first]]), len(found)
    return [
        f"{n} structure{'s have' if n > 1 else ' has'} atoms on top of each other "
        f"({name} is {found[first]}): no model is made for them, and the forces there "
        "can decide every mean"
    ]


def _judge(
    table: pd.DataFrame,
    forces: np.ndarray,
    reference: Mapping[str, np.ndarray],
    computed: np.ndarray,
) -> list[str]:
    """Compare the predictions of what was computed with the reference."""
    atoms = np.repeat(computed, table["n_atoms"].to_numpy())
    found = [
        Labels(
            energy=torch.tensor(np.asarray(energy)[computed]),
            forces=torch.from_numpy(np.asarray(values)[atoms]),
            source="",
        )
        for energy, values in (
            (table["energy"].to_numpy(), forces),
            (reference["energy"], reference["forces"]),
        )
    ]
    return judge_predictions(*found) if computed.any() else []


def _states(geometries: Sequence[Structures], computed: np.ndarray) -> Rows:
    """Return rows of a few computed structures that are charged, or open shells."""
    charge = np.concatenate([one.charge.numpy() for one in geometries])
    multiplicity = np.concatenate([one.multiplicity.numpy() for one in geometries])
    found = [
        np.flatnonzero(computed & which)[:N_OF_EACH_STATE]
        for which in (charge != 0, multiplicity != 1)
    ]
    return np.unique(np.concatenate(found))


def _pick(geometries: Sequence[Structures], rows: Rows) -> Structures:
    """Return some structures by their place among all."""
    starts = np.cumsum([0, *(one.n_systems for one in geometries)])
    picked = [
        one.select((rows[(rows >= start) & (rows < stop)] - start).tolist())
        for one, start, stop in zip(geometries, starts, starts[1:], strict=False)
        if ((rows >= start) & (rows < stop)).any()
    ]
    return Structures.concatenate(picked)
