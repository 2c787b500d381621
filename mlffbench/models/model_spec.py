"""ModelSpec: a model as typed, taken apart; nothing is imported."""

from typing import NamedTuple

from mlffbench.core.plugins.user_file import parse_user_file


class ModelSpec(NamedTuple):
    """A model as typed, taken apart.

    Attributes:
        name: A catalogue name, or the path of a Python file.
        argument: What follows the colon; empty when nothing does.
        is_file: Whether ``name`` is a path.
    """

    name: str
    argument: str
    is_file: bool


def parse_spec(spec: str) -> ModelSpec:
    """Return the parts of a model as typed.

    Args:
        spec: ``name``, ``name:argument`` or ``path/to/model.py:factory``.

    Example:
        >>> parse_spec("ase:tblite.ase:TBLite?method=GFN2-xTB").argument
        'tblite.ase:TBLite?method=GFN2-xTB'
    """
    file = parse_user_file(spec)
    if file is not None:
        return ModelSpec(str(file.path), file.attribute, is_file=True)
    name, _, argument = spec.partition(":")
    return ModelSpec(name, argument, is_file=False)
