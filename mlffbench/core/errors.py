"""The exception tree: everything a user can cause ends in one clear sentence.

::

    BenchError
    ├── UnknownNameError     a name that no catalogue row carries
    ├── MissingExtraError    an optional dependency that is not installed
    ├── DataError            a file or label that is not what it must be
    ├── SuiteError           a suite file that does not say what it must
    ├── ModelError           a model that cannot be loaded or breaks its contract
    │   └── CapabilityError  a model that lacks what a mode needs
    └── StoreError           a run folder that cannot be read or written
"""

import difflib
from collections.abc import Iterable, Iterator

from pydantic import ValidationError

from mlffbench.core.guards.plain import sentence
from mlffbench.core.plugins.install import install_line

_MANY = 40
"""Names that a message lists at most."""


class BenchError(Exception):
    """A mistake with a sentence for the user; the command line prints it and exits 1.

    Args:
        message: The sentence. What it quotes may come from a hostile file: it is made
            plain, and cut where it is too long.
    """

    longest = 2_000
    """Characters of its sentence."""

    def __init__(self, message: str = "") -> None:
        super().__init__(sentence(message, self.longest))


class UnknownNameError(BenchError):
    """A name that no catalogue row carries.

    Args:
        kind: What the name should have named, e.g. ``"model"``.
        name: The name as typed.
        known: Every legal name.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        rest = f"Known: {', '.join(names)}"
        if len(names) > _MANY:
            rest = "All of them: mlffbench list"
        super().__init__(f"unknown {kind} {name!r}.{hint} {rest}")


class MissingExtraError(BenchError):
    """An optional dependency that is not installed.

    Args:
        what: What needs it, e.g. ``"model 'ani-1x'"``.
        package: The package that could not be imported.
        extra: The extra of mlffbench that installs it.
    """

    def __init__(self, what: str, package: str, extra: str) -> None:
        super().__init__(
            f"{what} needs {package!r}, which is not installed; "
            f"run: {install_line(extra)}"
        )


class DataError(BenchError):
    """A file or a label that is not what it must be."""

    longest = 500


class ManyFaultsError(DataError):
    """Several files that are not what they must be; all of them are named."""

    longest = 2_000


class SuiteError(BenchError):
    """A suite file that does not say what it must."""


class ModelError(BenchError):
    """A model that cannot be loaded or breaks its contract."""


class CapabilityError(ModelError):
    """A model that lacks what a mode needs, e.g. a prior head."""


class NoTrainingError(CapabilityError, DataError):
    """Training geometries that a mode needs and a suite does not have.

    Args:
        suite: Name of the suite.
    """

    def __init__(self, suite: str) -> None:
        super().__init__(
            f"it compares with training geometries, and the suite {suite!r} has no split "
            "with the role train; add one, e.g. file: mini:train"
        )


class StoreError(BenchError):
    """A run folder that cannot be read or written."""


def faults_in(error: ValidationError, whole: str = "") -> str:
    """Return every fault that pydantic found, with its place, in one sentence.

    Args:
        error: What it raised.
        whole: What the checked thing as a whole is called.
    """
    return "; ".join(_in_words(error, whole))


def first_fault(error: ValidationError, whole: str = "") -> str:
    """Return the first fault that pydantic found, with its place, as `faults_in` does."""
    return next(_in_words(error, whole))


def _in_words(error: ValidationError, whole: str) -> Iterator[str]:
    for fault in error.errors():
        yield f"{'.'.join(str(part) for part in fault['loc']) or whole}: {fault['msg']}"
