"""``predict``: energies and forces of structures without labels."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlffbench.cli.shared.completion import complete_suite
from mlffbench.cli.shared.console import (
    make_console,
    print_note,
    print_warnings,
    resumable,
)
from mlffbench.cli.shared.endings import end, tell_left_out
from mlffbench.cli.shared.options import (
    BatchAtomsOption,
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
from mlffbench.cli.shared.progress import ProgressBar
from mlffbench.core.guards.collector import uncollected

if TYPE_CHECKING:
    from rich.console import Console

    from mlffbench.deploy.prediction_files import Predicted

Form = StrEnum("Form", "extxyz npz db")
"""How predictions are written."""
TOLD_AT_MOST = 5
"""Reasons that are printed; every structure has its own in the file."""

FileArgument = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        help="Extended XYZ, SDF, SMILES (.smi), an ASE database or trajectory, npz, "
        "HDF5, or a folder of them. Labels in it are ignored.",
    ),
]
TrainingOption = Annotated[
    str,
    option(
        "--suite -s",
        "Whose training geometries a mode compares with; left out: the suite that the "
        "model comes with.",
        "What to run",
        complete=complete_suite,
    ),
]
ConformersOption = Annotated[
    int, option("--conformers", "Conformers per line of a SMILES file.", least=1)
]


def predict(
    *,
    file: FileArgument,
    model: ModelsOption = None,
    mode: ModesOption = None,
    suite: TrainingOption = "",
    settings: SettingsOption = None,
    form: Annotated[Form, option("--format", "How predictions are written.")] = (
        Form.extxyz
    ),
    conformers: ConformersOption = 1,
    device: DeviceOption = Device.auto,
    dtype: DtypeOption = Dtype.auto,
    seed: SeedOption = 0,
    batch_atoms: BatchAtomsOption = None,
    out: Annotated[
        Path, option("--out", "Folder of the predictions.", "Where results go")
    ] = Path("predictions"),
    overwrite: OverwriteOption = False,
    trust: TrustOption = False,
) -> None:
    """Predict energies and forces of structures without labels.

    Several models also give the spread of their forces. Stopped or killed, the same
    command goes on where it was.
    """
    from mlffbench.cli.shared.resolving import (
        mode_settings,
        names,
        resolve_device,
        resolve_dtype,
    )

    with uncollected():
        from mlffbench.deploy.model_spread import with_spread
        from mlffbench.deploy.prediction_files import read_predictions
        from mlffbench.deploy.prediction_job import PredictionRequest, prepare_predictions
        from mlffbench.run.folder import remarks_of
        from mlffbench.run.loop import run_campaign

    console = make_console()
    campaign = prepare_predictions(
        PredictionRequest(
            path=file,
            models=names(model),
            modes=names(mode) or ("baseline",),
            suite=suite,
            settings=mode_settings(settings),
            device=resolve_device(device),
            dtype=resolve_dtype(dtype),
            seed=seed,
            batch_atoms=batch_atoms,
            conformers=conformers,
            out=out,
            overwrite=overwrite,
            trust=trust,
        )
    )
    print_warnings(campaign.warnings)
    with resumable(), ProgressBar(console) as progress:
        done = run_campaign(campaign, progress)
    tell_left_out(console, done.notes)
    said = set(campaign.warnings)
    print_warnings(one for one in remarks_of(done.folders) if one not in said)
    for one in with_spread(read_predictions(done.folders)):
        tell_predictions(console, one)
        console.print(f"wrote {one.write(out, form.value)}", soft_wrap=True)
    if done.folders:
        print_note(f"what decided them: {out}/MODEL/MODE/prediction.json")
    end(done.faults)


def tell_predictions(console: "Console", predicted: "Predicted") -> None:
    """Print how many structures a model computed, and why it did not compute others."""
    table, who = predicted.table, predicted.provenance
    computed = int((table["status"] == "ok").sum())
    line = f"{who['model']} {who['mode']}: {computed} of {len(table)} structures"
    if "adapted" in table:
        line += f", {int(table['adapted'].eq(True).sum())} of them adapted"
    if "forces_spread" in table and table["forces_spread"].notna().any():
        middle = 1000 * float(table["forces_spread"].median())
        line += f", median spread of the models {middle:.0f} meV/Å"
    console.print(line, markup=False, soft_wrap=True)
    left = table[table["status"] != "ok"].groupby("reason")["id"]
    for place, (reason, ids) in enumerate(left):
        if place == TOLD_AT_MOST:
            rest = left.ngroups - place
            console.print(f"  and {rest} other reasons, each in the file")
            break
        more = f" and {len(ids) - 1} more" if len(ids) > 1 else ""
        told = f"  {ids.iloc[0]}{more}: {reason}"
        console.print(told, markup=False, soft_wrap=True)
