"""Molecules of the user, which have no labels: the same as the commands for them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlffbench.api.inputs import device_named
from mlffbench.core.errors import BenchError
from mlffbench.deploy.model_spread import with_spread
from mlffbench.deploy.prediction_files import FORMS, read_predictions
from mlffbench.deploy.prediction_job import PredictionRequest, prepare_predictions
from mlffbench.run.loop import run_campaign
from mlffbench.run.suite import Setting
from mlffbench.run.work import Progress

if TYPE_CHECKING:
    import pandas as pd


def predict_file(
    path: str | Path,
    *,
    models: str | Sequence[str],
    modes: str | Sequence[str] = "baseline",
    suite: str = "",
    settings: Mapping[str, Mapping[str, Setting]] | None = None,
    conformers: int = 1,
    seed: int = 0,
    device: str = "auto",
    dtype: str | None = None,
    out: str | Path = "predictions",
    form: str = "extxyz",
    overwrite: bool = False,
    trust: bool = False,
    progress: Progress | None = None,
) -> "pd.DataFrame":
    """Predict energies and forces of structures without labels.

    The folders under ``out`` are those of ``mlffbench predict``: killed at any moment,
    the same call goes on where it was.

    Args:
        path: A file or a folder; labels in it are ignored.
        models: Models as `load_model` takes them.
        modes: ``"baseline"``, ``"rr"``, ``"ttt"`` …
        suite: Whose training geometries a mode compares with; empty is the model's own.
        settings: Mode -> its settings, e.g. ``{"ttt": {"steps": 50}}``.
        conformers: Per line of a SMILES file.
        seed: Of every random choice.
        device: ``"cpu"``, ``"cuda"``, or ``"auto"``: the GPU where there is one.
        dtype: ``"float32"`` or ``"float64"``; None is each model's own default.
        out: Folder of the predictions.
        form: ``"extxyz"``, ``"npz"`` or ``"db"``: the files with the forces.
        overwrite: Replace predictions with other settings.
        trust: Whether model files that can run code of their own may be loaded.
        progress: Told of every finished batch; left out, nobody is.

    Returns:
        One row per structure, model and mode: ``model``, ``mode``, ``id``, ``energy`` in
        eV, ``status``, ``reason``, what a refinement tells, ``file`` with the forces;
        ``forces_spread`` in eV/Å where several models were named.

    Raises:
        BenchError: A name, a setting or the file is wrong, or a model failed.

    Examples:
        >>> predict_file("mine.xyz", models="mini-mace")  # doctest: +SKIP
    """
    import pandas as pd

    if form not in FORMS:
        msg = f"unknown form {form!r}: expected {', '.join(FORMS)}"
        raise BenchError(msg)
    request = PredictionRequest(
        path=Path(path),
        models=_names(models),
        modes=_names(modes),
        suite=suite,
        settings=settings or {},
        device=device_named(device),
        dtype=dtype,
        seed=seed,
        conformers=conformers,
        out=Path(out),
        overwrite=overwrite,
        trust=trust,
    )
    done = run_campaign(prepare_predictions(request), progress)
    if done.faults:
        raise BenchError("; ".join(done.faults))
    frames = []
    for one in with_spread(read_predictions(done.folders)):
        who: dict[str, Any] = {name: one.provenance[name] for name in ("model", "mode")}
        file = str(one.write(Path(out), form))
        frames.append(one.table.assign(**who, file=file))
    return pd.concat(frames, ignore_index=True)


def _names(given: str | Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)
