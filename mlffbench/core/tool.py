"""A module that is run with two paths: ``python -m mlffbench.… ONE OTHER``."""

import sys
from collections.abc import Callable
from pathlib import Path

from mlffbench.core.errors import BenchError


def run_tool(arguments: list[str], usage: str, work: Callable[[Path, Path], str]) -> int:
    """Do the work of a module that is run with two paths; return the exit code.

    Args:
        arguments: The command line, without the module.
        usage: How it is called.
        work: Takes the paths, and returns the line to print.
    """
    if len(arguments) != 2:  # noqa: PLR2004
        sys.stderr.write(f"usage: {usage}\n")
        return 2
    try:
        line = work(Path(arguments[0]), Path(arguments[1]))
    except BenchError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{line}\n")
    return 0
