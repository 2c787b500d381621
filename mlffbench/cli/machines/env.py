"""``env``: environments of their own, for models whose packages fight."""

import subprocess
from typing import Annotated

import typer

from mlffbench.cli.shared.console import echo, make_console
from mlffbench.cli.shared.progress import ProgressBar

env = typer.Typer(
    no_args_is_help=True,
    help="Environments of their own, for models whose packages cannot live with the "
    "others.\n\n"
    "[bold]mlffbench run[/bold] hands the jobs of such a model to its environment by "
    "itself: the same folders, the same report.",
)

NameArgument = Annotated[str, typer.Argument(help="An environment, see: env list.")]


@env.command("list")
def list_environments() -> None:
    """List the environments, what each is for and whether it is there."""
    for sentence in environments_in_words():
        echo(sentence)


@env.command()
def create(name: NameArgument) -> None:
    """Make an environment with uv, or with venv and pip where uv is not installed.

    Every package is installed in the version that mlffbench was tested with.
    """
    from mlffbench.models.environments.creation import create as make
    from mlffbench.models.environments.environment import environment_named

    environment = environment_named(name)
    with ProgressBar(make_console()) as progress:
        progress.begin(f"environment {name}", None)
        made = make(environment, progress.note)
    is_made = "is made" if made else "is there already"
    echo(f"the environment {name!r} {is_made}: {environment.folder}")


@env.command()
def remove(name: NameArgument) -> None:
    """Delete an environment."""
    from mlffbench.models.environments.creation import remove as delete
    from mlffbench.models.environments.environment import environment_named

    there = delete(environment_named(name))
    echo(f"the environment {name!r} {'is deleted' if there else 'was not there'}")


@env.command(
    "run", context_settings={"allow_extra_args": True, "ignore_unknown_options": True}
)
def run_in(context: typer.Context, name: NameArgument) -> None:
    """Carry out a command in an environment, e.g. env run sevenn validate 7net-0."""
    from mlffbench.core.errors import ModelError
    from mlffbench.models.environments.environment import (
        environment_named,
        not_started,
        variables_of,
    )

    environment = environment_named(name)
    if not environment.is_current:
        msg = f"the environment {name!r} is not made; run: mlffbench env create {name}"
        raise ModelError(msg)
    command = [str(environment.python), "-P", "-m", "mlffbench", *context.args]
    try:
        done = subprocess.run(command, check=False, env=variables_of(environment))
    except OSError as error:
        raise not_started(environment, error) from error
    raise typer.Exit(done.returncode)


def environments_in_words() -> list[str]:
    """Return a sentence per environment: whether it works, or how to make it."""
    from mlffbench.models.environments.creation import import_fault
    from mlffbench.models.environments.environment import ENVIRONMENTS

    sentences = []
    for name, one in ENVIRONMENTS.items():
        run = f"run: mlffbench env create {name}"
        if not one.made:
            sentences.append(f"environment {name!r} is not made ({one.why}); {run}")
        elif not one.is_current:
            sentences.append(f"environment {name!r} is an old one; {run}")
        elif fault := import_fault(one):
            sentences.append(
                f"environment {name!r} is broken ({fault}); run: {one.again}"
            )
        else:
            sentences.append(f"environment {name!r} works ({one.folder})")
    return sentences
