"""Molecules of the user, which have no labels: the same as the commands for them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlffbench.api.inputs import device_named, names_given
from mlffbench.api.notebook_bar import watched
from mlffbench.core.errors import BenchError
from mlffbench.deploy.ase_calculator import BenchCalculator, make_calculator
from mlffbench.deploy.model_spread import with_spread
from mlffbench.deploy.prediction_files import FORMS, read_predictions
from mlffbench.deploy.prediction_job import PredictionRequest, prepare_predictions
from mlffbench.deploy.refinement_job import refine_and_keep
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
        progress: Told of every finished batch; left out, a notebook shows a bar.

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
        models=names_given(models),
        modes=names_given(modes),
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
    done = run_campaign(prepare_predictions(request), watched(progress))
    if done.faults:
        raise BenchError("; ".join(done.faults))
    frames = []
    for one in with_spread(read_predictions(done.folders)):
        who: dict[str, Any] = {name: one.provenance[name] for name in ("model", "mode")}
        file = str(one.write(Path(out), form))
        frames.append(one.table.assign(**who, file=file))
    return pd.concat(frames, ignore_index=True)


def refine_file(
    path: str | Path,
    *,
    model: str,
    mode: str = "ttt",
    out: str | Path = "refined",
    suite: str = "",
    settings: Mapping[str, Setting] | None = None,
    conformers: int = 1,
    seed: int = 0,
    device: str = "auto",
    dtype: str | None = None,
    overwrite: bool = False,
    trust: bool = False,
    progress: Progress | None = None,
) -> "pd.DataFrame":
    """Adapt a model to molecules without labels, and keep the weights in a folder.

    Use them as ``load_model("refined:refined")`` or with `calculator`.

    Args:
        path: A file or a folder; labels in it are ignored.
        model: As `load_model` takes it.
        mode: ``"ttt"``, or a mode of your own that is made of it.
        out: Folder of the weights.
        suite: Whose training geometries tell when to adapt; empty is the model's own.
        settings: Of the mode, e.g. ``{"steps": 50}``.
        conformers: Per line of a SMILES file.
        seed: Of every random choice.
        device: ``"cpu"``, ``"cuda"``, or ``"auto"``: the GPU where there is one.
        dtype: ``"float32"`` or ``"float64"``; None is the model's own default.
        overwrite: Replace another refinement.
        trust: Whether model files that can run code of their own may be loaded.
        progress: Told of every unit that is finished; left out, a notebook shows a bar.

    Returns:
        One row per unit, a molecule by default: ``name``, ``n_structures``, ``adapted``,
        ``reason``, ``steps``, ``loss_before`` and ``loss_after`` in eV/Å.

    Raises:
        BenchError: A name or the file is wrong, or the model cannot be refined.

    Examples:
        >>> refine_file("mine.xyz", model="mini-mace")  # doctest: +SKIP
    """
    import pandas as pd

    request = PredictionRequest(
        path=Path(path),
        models=(model,),
        modes=(mode,),
        suite=suite,
        settings={mode: settings} if settings else {},
        device=device_named(device),
        dtype=dtype,
        seed=seed,
        conformers=conformers,
        out=Path(out),
        overwrite=overwrite,
        trust=trust,
    )
    rows = []
    for unit in refine_and_keep(request, watched(progress)).units:
        before, after = unit.losses or (float("nan"), float("nan"))
        rows.append(
            {
                "name": unit.name,
                "n_structures": len(unit.structures),
                "adapted": unit.adapted,
                "reason": unit.reason,
                "steps": unit.steps,
                "loss_before": before,
                "loss_after": after,
            }
        )
    return pd.DataFrame(rows)


def calculator(
    model: str,
    *,
    mode: str = "baseline",
    refined: str | Path | None = None,
    suite: str = "",
    settings: Mapping[str, Setting] | None = None,
    charge: int | None = None,
    multiplicity: int | None = None,
    seed: int = 0,
    device: str = "auto",
    dtype: str | None = None,
    trust: bool = False,
) -> BenchCalculator:
    """Return any model, in any mode, as an ASE calculator.

    A mode refines at the first geometry of a molecule and keeps what it made until
    another molecule comes, or until ``forget()``: its energy surface stays one surface.

    Args:
        model: As `load_model` takes it.
        mode: ``"baseline"``, ``"rr"``, ``"ttt"`` …
        refined: A folder that `refine_file` or ``mlffbench refine`` wrote for this model.
            Molecules it did not see are refused.
        suite: Whose training geometries a mode compares with; empty is the model's own.
        settings: Of the mode.
        charge: Total charge in e; None is what ``atoms.info`` or initial charges say.
        multiplicity: 2S + 1; None is what the atoms say, else the lowest possible.
        seed: Of every random choice.
        device: ``"cpu"``, ``"cuda"``, or ``"auto"``: the GPU where there is one.
        dtype: ``"float32"`` or ``"float64"``; None is the model's own default. Float64
            for geometry optimisations that are to converge tightly.
        trust: Whether model files that can run code of their own may be loaded.

    Returns:
        A calculator with energy and forces; what the model refuses raises ASE's
        ``CalculationFailed`` with the reason. ``facts`` says what the mode did.

    Raises:
        BenchError: A name or a setting is wrong, or the model cannot be used so.

    Examples:
        >>> from ase.build import molecule
        >>> atoms = molecule("H2O")
        >>> atoms.calc = calculator("mini-schnet", device="cpu")
        >>> atoms.get_forces().shape
        (3, 3)
    """
    return make_calculator(
        model,
        mode=mode,
        refined=refined,
        suite=suite,
        settings=settings,
        charge=charge,
        multiplicity=multiplicity,
        device=device_named(device),
        dtype=dtype,
        seed=seed,
        trust=trust,
    )
