"""Environment: a Python of its own for the models of one extra, and where it lies."""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import mlffbench
from mlffbench.core.errors import ModelError, UnknownNameError
from mlffbench.core.plugins.install import checkout, install_line
from mlffbench.core.registry import Entry
from mlffbench.models.weights import cache_folder

INSIDE = "MLFFBENCH_ENVIRONMENT"
"""Environment variable that tells a process in which environment it runs."""
_MADE = "made.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """What an environment is for.

    Attributes:
        name: The extra of mlffbench whose models it computes.
        imports: What must be importable in it.
        why: Why it is not simply installed beside the others.
    """

    name: str
    imports: tuple[str, ...]
    why: str

    @property
    def folder(self) -> Path:
        """Where it is, or will be."""
        return cache_folder() / "environments" / self.name

    @property
    def python(self) -> Path:
        """Its interpreter."""
        within = "Scripts/python.exe" if sys.platform == "win32" else "bin/python"
        return self.folder / within

    @property
    def lock(self) -> str:
        """Every package in it with its version, as pip and uv read it."""
        home = resources.files("mlffbench.models.environments") / "locks"
        return (home / f"{self.name}.txt").read_text(encoding="utf-8")

    @property
    def made(self) -> Mapping[str, str]:
        """What was noted when it was made; empty where it is not there or not whole."""
        try:
            noted: object = json.loads((self.folder / _MADE).read_text())
            there = self.python.exists()
        except (OSError, ValueError):
            return {}
        return noted if there and isinstance(noted, dict) else {}

    @property
    def is_current(self) -> bool:
        """Whether it is there, made of the packages that the lock file names now."""
        return self.made.get("lock") == self.lock

    @property
    def again(self) -> str:
        """The commands that make it anew."""
        return f"mlffbench env remove {self.name}, then mlffbench env create {self.name}"

    def note(self, tool: str) -> None:
        """Note that it is whole."""
        content = {"lock": self.lock, "tool": tool}
        (self.folder / _MADE).write_text(json.dumps(content))


_E3NN = "it wants a newer e3nn than mace-torch allows"
ENVIRONMENTS: Mapping[str, Environment] = {
    one.name: one
    for one in (
        Environment(name="sevenn", imports=("sevenn",), why=_E3NN),
        Environment(name="nequip", imports=("nequip", "allegro"), why=_E3NN),
        Environment(
            name="orb",
            imports=("orb_models",),
            why="it changes settings of torch for the whole process",
        ),
        Environment(
            name="aimnet",
            imports=("aimnet",),
            why="it needs one version of its package, and Warp",
        ),
        Environment(
            name="fairchem",
            imports=("fairchem",),
            why="it brings a hundred packages, and wants one version of torch",
        ),
        Environment(
            name="pet",
            imports=("metatrain", "metatomic"),
            why="its packages load libraries built for one version of torch",
        ),
        Environment(
            name="torchsim",
            imports=("torch_sim",),
            why="its models bring packages of their own",
        ),
    )
}
"""Name of an extra -> its environment."""


def environment_named(name: str) -> Environment:
    """Return the environment of a name.

    Raises:
        UnknownNameError: There is none.
    """
    if name not in ENVIRONMENTS:
        raise UnknownNameError("environment", name, ENVIRONMENTS)
    return ENVIRONMENTS[name]


def environment_for(entry: Entry) -> Environment | None:
    """Return the environment that a row's model needs, None where it can run here."""
    if entry.package or entry.missing() is None or os.environ.get(INSIDE):
        return None
    return ENVIRONMENTS.get(entry.extra or "")


def not_made(name: str, environment: Environment) -> ModelError:
    """Return the sentence for a model whose environment is not there."""
    again = "its environment is an old one" if environment.made else "it has none"
    package = environment.imports[0]
    msg = (
        f"model {name!r} needs {package!r}, which is not installed here, and {again}; "
        f"run: mlffbench env create {environment.name} ({environment.why}), or: "
    )
    return ModelError(msg + install_line(environment.name))


def only_in(name: str, environment: Environment) -> ModelError:
    """Return the sentence for a model whose environment is there, for other commands."""
    msg = f"model {name!r} computes in the environment {environment.name!r}; type: "
    return ModelError(msg + f"mlffbench env run {environment.name} COMMAND …")


def not_started(environment: Environment, error: OSError) -> ModelError:
    """Return the sentence for an environment whose interpreter cannot be started."""
    msg = f"{environment.python} cannot be started: {error.strerror}; run: "
    return ModelError(msg + environment.again)


def variables_of(environment: Environment) -> dict[str, str]:
    """Return the environment variables of a child that computes in an environment.

    It imports the mlffbench that runs now, and no other package of this one.

    Raises:
        ModelError: The link to mlffbench cannot be written.
    """
    home = checkout()
    if home is None:
        home = environment.folder / "code"
        link = home / "mlffbench"
        target = Path(mlffbench.__file__).parent
        try:
            home.mkdir(exist_ok=True)
            if not link.exists() or link.resolve() != target.resolve():
                link.unlink(missing_ok=True)
                link.symlink_to(target, target_is_directory=True)
        except OSError as error:
            msg = f"cannot link {link} to {target}: {error.strerror}"
            raise ModelError(msg) from error
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONHOME"}
    return {**kept, "PYTHONPATH": str(home), INSIDE: environment.name}
