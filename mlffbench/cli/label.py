"""``label``: a prior's labels of any dataset or file, computed once."""

from pathlib import Path
from typing import Annotated

import typer

from mlffbench.cli.shared.completion import complete_dataset, complete_prior
from mlffbench.cli.shared.console import make_console, resumable
from mlffbench.cli.shared.options import option
from mlffbench.cli.shared.progress import ProgressBar

PriorOption = Annotated[
    str,
    option("--prior", "A prior, or any model, by name.", complete=complete_prior),
]
CacheDirOption = Annotated[
    Path | None,
    option(
        "--cache-dir",
        "Folder of prior labels; left out: labels/ under $MLFFBENCH_CACHE, else "
        "under the user's cache folder.",
    ),
]
WorkersOption = Annotated[
    int | None, option("--workers", "Processes that compute the prior.", least=1)
]


def label(
    target: Annotated[
        str,
        typer.Argument(
            metavar="DATASET|FILE",
            help="A dataset's name, or a file.",
            autocompletion=complete_dataset,
        ),
    ],
    prior: PriorOption = "gfn2-xtb",
    cache_dir: CacheDirOption = None,
    workers: WorkersOption = None,
) -> None:
    """Compute a prior's labels of a dataset; what is cached is not computed again.

    Stopped or killed, the same command goes on where it was.
    """
    from rich.table import Table

    from mlffbench.cli.shared.sources import open_prior, structures_of
    from mlffbench.priors.prior_labels import count_failures
    from mlffbench.priors.prior_labels import label as label_structures

    console = make_console()
    structures = structures_of(target)
    force_field, cache = open_prior(prior, cache_dir, workers)
    before = cache.count()
    with resumable(), ProgressBar(console) as progress:
        progress.begin(f"{target}, {prior}", structures.n_systems)
        labels = label_structures(structures, force_field, cache, progress.advance)
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_row("structures", str(structures.n_systems))
    table.add_row("newly computed", str(cache.count() - before))
    table.add_row("without label", str(len(labels.failures)))
    for reason, count in count_failures(labels).items():
        table.add_row(f"  {reason}", str(count))
    table.add_row("prior", f"{cache.prior} ({cache.version})")
    table.add_row("cache", str(cache.path))
    console.print(table)
