"""``refine``: a model adapted to molecules without labels, kept to be used again."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from mlffbench.cli.molecules.predict import (
    ConformersOption,
    FileArgument,
    TrainingOption,
)
from mlffbench.cli.shared.console import make_console, print_note, resumable
from mlffbench.cli.shared.options import (
    Device,
    DeviceOption,
    Dtype,
    DtypeOption,
    ModelsOption,
    ModesOption,
    OverwriteOption,
    SeedOption,
    SettingsOption,
    TrustOption,
    option,
)
from mlffbench.cli.shared.progress import ProgressBar, Unit
from mlffbench.core.guards.plain import counted

if TYPE_CHECKING:
    from rich.console import Console

    from mlffbench.deploy.refined_files import RefinedManifest


def refine(
    *,
    file: FileArgument,
    model: ModelsOption = None,
    mode: ModesOption = None,
    out: Annotated[
        Path, option("--out", "Folder of the refined weights.", "Where results go")
    ] = Path("refined"),
    suite: TrainingOption = "",
    settings: SettingsOption = None,
    conformers: ConformersOption = 1,
    device: DeviceOption = Device.auto,
    dtype: DtypeOption = Dtype.auto,
    seed: SeedOption = 0,
    overwrite: OverwriteOption = False,
    trust: TrustOption = False,
) -> None:
    """Adapt a model to your molecules and keep the weights.

    No label is needed or read: a cheap prior's forces are followed. Use what was kept as
    --model refined:DIR, or as an ASE calculator. It serves the molecules it saw.
    """
    from mlffbench.cli.shared.resolving import (
        mode_settings,
        names,
        resolve_device,
        resolve_dtype,
    )
    from mlffbench.deploy.prediction_job import PredictionRequest
    from mlffbench.deploy.refinement_job import refine_and_keep

    console = make_console()
    request = PredictionRequest(
        path=file,
        models=names(model),
        modes=names(mode) or ("ttt",),
        suite=suite,
        settings=mode_settings(settings),
        device=resolve_device(device),
        dtype=resolve_dtype(dtype),
        seed=seed,
        conformers=conformers,
        out=out,
        overwrite=overwrite,
        trust=trust,
    )
    with resumable(), ProgressBar(console, Unit("units")) as progress:
        manifest = refine_and_keep(request, progress)
    _tell(console, manifest, out)


def _tell(console: "Console", manifest: "RefinedManifest", out: Path) -> None:
    """Print what was refined, what was not and why, and how to go on."""

    def say(text: str) -> None:
        console.print(text, markup=False, soft_wrap=True)

    adapted = [unit for unit in manifest.units if unit.adapted]
    say(
        f"{manifest.model} {manifest.mode}: adapted to {len(adapted)} of "
        f"{len(manifest.units)} units"
    )
    for unit in adapted:
        before, after = (1000 * loss for loss in unit.losses)
        say(
            f"  {unit.name}: {counted(len(unit.structures), 'structure')}, "
            f"{counted(unit.steps, 'step')}, "
            f"prior loss {before:.0f} → {after:.0f} meV/Å"
        )
    for unit in manifest.units:
        if not unit.adapted:
            say(f"  {unit.name}: as it comes: {unit.reason}")
    for name, why in manifest.left_out.items():
        say(f"  {name}: left out: {why}")
    say(f"wrote {out}")
    print_note(f"use it: mlffbench predict FILE --model refined:{out}")
    calls = f"mode={manifest.mode!r}, refined={str(out)!r}"
    print_note(f"in ASE: mlffbench.calculator({manifest.model!r}, {calls})")
    if not adapted:
        print_note("to adapt what the gate leaves alone: --set ttt.gate=off")
