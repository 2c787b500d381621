"""From a prior's name to a force field."""

from dataclasses import replace

from mlffbench.core.forcefield import ForceField
from mlffbench.core.options import ModelOptions
from mlffbench.priors.catalog import PRIORS


def is_prior(spec: str) -> bool:
    """Return whether a name, or the part before its colon, is a row of the catalogue."""
    return spec.partition(":")[0] in PRIORS.names()


def load_prior(spec: str, options: ModelOptions) -> ForceField:
    """Return the prior that a user names: ``name`` or ``name:argument``.

    Raises:
        UnknownNameError: No row of the catalogue carries the name.
        MissingExtraError: The prior needs a package that is not installed.
        ModelError: The prior cannot be loaded.
    """
    name, _, argument = spec.partition(":")
    prior: ForceField = PRIORS.load(name)(replace(options, argument=argument))
    return prior
