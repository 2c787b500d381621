"""``validate``: does a model keep its promises?"""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from mlffbench.cli.shared.completion import complete_model
from mlffbench.cli.shared.console import make_console, print_warnings
from mlffbench.cli.shared.options import (
    Device,
    DeviceOption,
    Dtype,
    DtypeOption,
    TrustOption,
)

if TYPE_CHECKING:
    from mlffbench.core.forcefield import ForceField

_PAIR = 2


def validate(
    model: Annotated[
        str,
        typer.Argument(
            help="A model's name, ase:…, or path/to/file.py:factory.",
            autocompletion=complete_model,
        ),
    ],
    device: DeviceOption = Device.auto,
    dtype: DtypeOption = Dtype.auto,
    trust: TrustOption = False,
) -> None:
    """Test every promise a force field must keep; exit 1 when one is broken.

    Forces that look like another unit than eV/Å are told of.
    """
    from mlffbench.cli.shared.resolving import model_options
    from mlffbench.contract.contracts import check_forcefield
    from mlffbench.models.load import load_model

    console = make_console()
    options = model_options(device, dtype, trust=trust)
    loaded = load_model(model, options)
    promises = check_forcefield(loaded, device=options.device)
    table = Table(title=f"{model}: the promises of a force field", box=None)
    for column in ("promise", "", "detail"):
        table.add_column(column, overflow="fold")
    colours = {"kept": "green", "broken": "bold red"}
    for promise in promises:
        colour = colours.get(promise.status, "dim")
        status = Text(promise.status, style=colour)
        table.add_row(promise.name, status, promise.detail)
    console.print(table)
    broken = [promise for promise in promises if promise.status == "broken"]
    for promise in broken:
        sentence = f"{model} breaks the promise {promise.name!r}: {promise.promise}"
        console.print(sentence, markup=False)
    if broken:
        raise typer.Exit(1)
    console.print(f"{model} keeps every promise.", markup=False)
    print_warnings(units_in_doubt(loaded))


def units_in_doubt(model: "ForceField") -> list[str]:
    """Return what looks wrong with the units of forces: a sentence, or none.

    They are held against GFN2-xTB's on small molecules; a model of other elements than
    those is not judged.
    """
    from mlffbench.contract.contracts import sample_systems
    from mlffbench.core.model_options import DTYPES
    from mlffbench.metrics.plausibility import judge_predictions
    from mlffbench.models.load import card_of
    from mlffbench.run.evaluate.data_check import labels_aside
    from mlffbench.run.evaluate.predict import predict_each

    systems = sample_systems(model.elements)
    counts = systems.system.bincount(minlength=systems.n_systems)
    # of a bare pair of atoms trained networks know nothing, whatever their unit
    systems = systems.select((counts > _PAIR).nonzero().flatten().tolist())
    if systems.n_systems == 0:
        return []
    cast = systems.to(dtype=DTYPES[card_of(model).dtype])
    mine = predict_each(model, cast)
    return judge_predictions(mine, labels_aside(systems), trusted="GFN2-xTB")
