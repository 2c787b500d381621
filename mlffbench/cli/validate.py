"""``validate``: does a model keep its promises?"""

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from mlffbench.cli.shared.console import make_console
from mlffbench.cli.shared.options import (
    Device,
    DeviceOption,
    Dtype,
    DtypeOption,
    TrustOption,
)


def validate(
    model: Annotated[
        str,
        typer.Argument(help="A model's name, ase:…, or path/to/file.py:factory."),
    ],
    device: DeviceOption = Device.auto,
    dtype: DtypeOption = Dtype.auto,
    trust: TrustOption = False,
) -> None:
    """Test every promise a force field must keep; exit 1 when one is broken."""
    from mlffbench.cli.shared.resolving import model_options
    from mlffbench.contract.contracts import check_forcefield
    from mlffbench.models.load import load_model

    console = make_console()
    options = model_options(device, dtype, trust=trust)
    promises = check_forcefield(load_model(model, options), device=options.device)
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
