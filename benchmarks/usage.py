"""Usage: what a benchmark prints for ``--help``, before it imports anything heavy."""

import sys


def tell_usage(text: str | None) -> None:
    """Print the docstring of a script and end, where help is asked for."""
    if {"-h", "--help"} & {*sys.argv[1:]}:
        print((text or "").strip())
        raise SystemExit
