"""A user's own data file with its units and level of theory, described in YAML."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from mlffbench.core.errors import DataError, faults_in
from mlffbench.core.units import energy_factor, force_factor, length_factor
from mlffbench.datasets.files.atom_table import Columns
from mlffbench.datasets.statements.yaml_file import read_yaml

Layout = Literal[
    "spice",
    "ani-1x",
    "transition1x",
    "modelforge",
    "npz",
    "xyz",
    "extxyz",
    "db",
    "traj",
    "csv",
]


class Units(BaseModel):
    """Units of a file, in words.

    Attributes:
        energy: e.g. ``hartree``, ``kcal/mol`` or ``eV``.
        length: e.g. ``bohr`` or ``angstrom``.
        forces: e.g. ``hartree/bohr``; energy over length when left out.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    energy: str
    length: str = "angstrom"
    forces: str | None = None

    @property
    def in_order(self) -> tuple[str, str, str | None]:
        """Units of energy, length and forces."""
        return self.energy, self.length, self.forces


class Described(BaseModel):
    """A dataset file as its user describes it; unknown keys are errors.

    Attributes:
        path: The data file, relative to the description.
        layout: Its layout; recognised by content when left out.
        units: Its units; what the file or its layout says when left out.
        level_of_theory: Of the labels.
        columns: Of a CSV file.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    path: Path
    layout: Layout | None = None
    units: Units | None = None
    level_of_theory: str | None = None
    columns: Columns | None = None


def read_description(path: Path) -> Described:
    """Return a description with the path of its data made good.

    Raises:
        DataError: It is not YAML, has wrong keys, or names an unknown unit.
    """
    content = read_yaml(path)
    if not isinstance(content, dict):
        msg = f"{path} must be a mapping with the key path and, if need be, layout, "
        raise DataError(msg + "units (energy, length, forces) and level_of_theory")
    try:
        found = Described.model_validate(content)
        if found.units:
            energy_factor(found.units.energy)
            length_factor(found.units.length)
            if found.units.forces:
                force_factor(found.units.forces)
    except ValidationError as error:
        msg = f"{path} does not describe a data file: {faults_in(error)}"
        raise DataError(msg) from error
    except DataError as error:
        msg = f"{path}: {error}"
        raise DataError(msg) from error
    return found.model_copy(update={"path": path.parent / found.path})
