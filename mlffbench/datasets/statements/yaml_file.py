"""A YAML file: what it holds, or one sentence."""

from pathlib import Path
from typing import Any

import yaml

from mlffbench.core.errors import DataError
from mlffbench.core.guards.sizes import read_text

YAML_FAULTS = (
    yaml.YAMLError, ValueError, RecursionError, AttributeError, TypeError, IndexError,
    KeyError, OverflowError,
)  # fmt: skip
"""What PyYAML raises: its constructors let Python's own errors through."""


def read_yaml(path: Path) -> Any:
    """Return the content of a small YAML file; no object of Python's is made.

    Raises:
        DataError: It cannot be read as a text (`read_text`), or is not YAML.
    """
    text = read_text(path)
    try:
        return yaml.safe_load(text)
    except YAML_FAULTS as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        msg = f"{path} is not readable YAML: {reason}"
        raise DataError(msg) from error
