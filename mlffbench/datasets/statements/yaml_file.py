"""What reading a YAML file may raise."""

import yaml

YAML_FAULTS = (
    yaml.YAMLError, ValueError, RecursionError, AttributeError, TypeError, IndexError,
    KeyError, OverflowError,
)  # fmt: skip
"""What PyYAML raises: its constructors let Python's own errors through."""
