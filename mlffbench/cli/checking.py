"""``validate`` and ``doctor``: does a model keep its promises, does this machine work."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from mlffbench.cli.console import make_console
from mlffbench.cli.options import Device, DeviceOption, Dtype, DtypeOption, TrustOption


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
    from mlffbench.cli.resolving import model_options
    from mlffbench.core.contracts import check_forcefield
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
        status = f"[{colour}]{promise.status}[/]"
        table.add_row(promise.name, status, escape(promise.detail))
    console.print(table)
    broken = [promise for promise in promises if promise.status == "broken"]
    for promise in broken:
        sentence = f"{model} breaks the promise {promise.name!r}: {promise.promise}"
        console.print(sentence, markup=False)
    if broken:
        raise typer.Exit(1)
    console.print(f"{model} keeps every promise.", markup=False)


def doctor() -> None:
    """Tell what works here, and the exact command for what does not."""
    import shutil

    import torch

    from mlffbench.cli.health import caches, extras_in_words, mini_set_in_words
    from mlffbench.cli.looking import all_rows
    from mlffbench.run.provenance import versions

    console = make_console()
    table = Table(box=None, show_header=False, pad_edge=False)
    for package, version in versions().items():
        table.add_row(package, version, "")
    if torch.cuda.is_available():
        table.add_row("CUDA", torch.version.cuda or "", torch.cuda.get_device_name())
    else:
        table.add_row("CUDA", "no device", "everything runs on the CPU")
    table.add_row("mini set", *mini_set_in_words())
    for name, folder, size in caches():
        table.add_row(name, size, escape(str(folder)))
    free_gb = shutil.disk_usage(Path.cwd()).free / 1e9
    table.add_row("disk", f"{free_gb:.0f} GB free", str(Path.cwd()))
    console.print(table)
    rows = [entry for table in all_rows().values() for entry in table.values()]
    for sentence in extras_in_words(rows):
        console.print(sentence, markup=False)
