"""Suites: what is trained on, what is tested, with which models and modes.

Reading and checking one imports no torch and opens no file of structures.
"""

import re
from collections.abc import Hashable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mlffbench.core.card import DataCard
from mlffbench.core.errors import DataError, SuiteError, UnknownNameError
from mlffbench.core.guards.sizes import read_text
from mlffbench.core.roles import Named, Role, ShiftKind, check_role, check_unique
from mlffbench.datasets.catalog import DATASETS
from mlffbench.datasets.download.table import DOWNLOADS
from mlffbench.datasets.statements.yaml_file import YAML_FAULTS, read_yaml
from mlffbench.run.catalog import suite_path, suite_rows
from mlffbench.run.suite_faults import faults_of_suite

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
Setting = str | int | float | bool
_SHIPPED = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_-]+:[A-Za-z0-9][A-Za-z0-9._-]*(/[a-z]+)?$")
_HALVES = re.compile("[\ud800-\udfff]")


class _OneKeyEach(yaml.SafeLoader):
    """Refuses a key that is given twice, of which YAML would keep the last."""

    def construct_mapping(
        self, node: yaml.MappingNode, deep: bool = False
    ) -> dict[Hashable, Any]:
        """Return the mapping of a node."""
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = [key for key in keys if keys.count(key) > 1]
        if twice:
            msg = f"the key {twice[0]!r} is given twice"
            raise yaml.YAMLError(msg)
        return super().construct_mapping(node, deep=deep)

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
        """Return the value of a node; text must be text that a file can hold."""
        value = super().construct_scalar(node)
        if isinstance(value, str) and _HALVES.search(value):
            msg = "it holds half a character (a lone surrogate, \\ud800 to \\udfff)"
            raise yaml.YAMLError(msg)
        return value


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ShiftSpec(_Closed):
    """How an OOD split differs from training: the kind and the rule in words."""

    kind: ShiftKind
    rule: str = ""


EVERYTHING = "every structure of the file"


class SplitSpec(_Closed):
    """One split: a file of the user's, or a split that ships.

    Attributes:
        name: What tables call it.
        role: Which part it plays.
        file: A file, relative to the suite file, or ``DATASET:SPLIT``, as in
            ``mini:train``; ``mini:ood_dimers/val`` is the half that tunes.
        select: Only structures with these values: name -> a value, a pattern with ``*``
            and ``?``, or several (`mlffbench.datasets.index.selection.select_rows`).
        rule: How they were chosen, in words.
        shift: How an OOD split differs from training.
        shares_molecules: Why molecules may also be in train.
        control: The ID split it is compared with.
        level_of_theory: Of its labels; the suite's when left out.
        energy_unit: What the file says, else eV, when left out.
        length_unit: What the file says, else Å, when left out.
    """

    name: Name
    role: Role
    file: Annotated[str, Field(min_length=1)]
    select: Mapping[str, Setting | tuple[Setting, ...]] = Field(default_factory=dict)
    rule: str = EVERYTHING
    shift: ShiftSpec | None = None
    shares_molecules: str = ""
    control: str = ""
    level_of_theory: str | None = None
    energy_unit: str | None = None
    length_unit: str | None = None

    @property
    def shipped(self) -> tuple[str, str] | None:
        """Name of a dataset or shipped suite and of a split of it; None for a file."""
        name, colon, split = self.file.partition(":")
        return (name, split) if colon and _SHIPPED.match(self.file) else None


class DynamicsSpec(_Closed):
    """Which molecules ``mlffbench simulate`` moves, and from where.

    Attributes:
        splits: Names of splits; empty means every OOD split.
        halves: The test half, or both: dynamics tunes nothing.
        relax: The prior whose minima are the starts, or ``none``: a molecule's first
            conformer as it is.
        reference: Whether a molecule's conformers are frames of a reference trajectory,
            so that distributions can be compared with theirs; or the name of a model
            whose trajectories stand in for one.
    """

    splits: tuple[Name, ...] = ()
    halves: Literal["test", "both"] = "test"
    relax: Name = "gfn2-xtb"
    reference: Annotated[bool, Field(strict=True)] | Name = False


class Suite(_Closed):
    """A suite file; unknown keys are errors.

    Attributes:
        name: What tables call it.
        version: Raised by one whenever its numbers may move.
        summary: One line for people.
        level_of_theory: Of the reference labels, unless a split or its file says more.
        dataset: A registered dataset whose splits are taken whole …
        size: Structures per half of a dataset that comes in sizes, e.g. ``10k``.
        splits: … or splits read from files, relative to the suite file.
        models: Models run when none are named.
        modes: Modes run when none are named.
        settings: Mode -> its settings; what is not set keeps its default.
        dynamics: What is simulated.
    """

    name: Name
    version: int = Field(ge=1, strict=True)
    summary: str
    level_of_theory: str | None = None
    dataset: str | None = None
    size: Annotated[str, Field(pattern=r"^([1-9][0-9]*k?|full)$")] | None = None
    splits: tuple[SplitSpec, ...] = ()
    models: tuple[str, ...] = Field(min_length=1)
    modes: tuple[str, ...] = Field(default=("baseline",), min_length=1)
    settings: Mapping[str, Mapping[str, Setting]] = Field(default_factory=dict)
    dynamics: DynamicsSpec = DynamicsSpec()

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.dataset is None) == (not self.splits):
            raise ValueError("give either 'dataset' or 'splits'")
        return self


def is_file(name_or_path: str) -> bool:
    """Return whether what names a suite is a path, and no name of the catalogue."""
    return Path(name_or_path).suffix in {".yaml", ".yml"}


def load_suite(name_or_path: str) -> tuple[Suite, Path]:
    """Return a suite and the folder its files are relative to.

    Args:
        name_or_path: A shipped suite's name, or a path to a YAML file.

    Raises:
        UnknownNameError: It is neither a shipped name nor a file.
        SuiteError: The file is not a legal suite; the message names every offending key.
        DataError: A split of it may not be called so, or lacks its shift.
    """
    path = Path(name_or_path)
    if not is_file(name_or_path):
        path = suite_path(name_or_path)
    try:
        text = read_text(path)
    except DataError as error:
        msg = f"cannot read the suite {error}"
        raise SuiteError(msg) from error
    suite = parse_suite(text, str(path))
    check_specs(suite)
    return suite, path.parent


def parse_suite(text: str, origin: str) -> Suite:
    """Return the suite a YAML text describes.

    Args:
        text: The YAML.
        origin: What to call it in messages.

    Raises:
        SuiteError: It is not YAML, or not a legal suite.
    """
    try:
        content: Any = yaml.load(text, Loader=_OneKeyEach)
    except YAML_FAULTS as error:
        msg = f"the suite {origin} is not YAML: {_place_of(error)}"
        raise SuiteError(msg) from error
    if not isinstance(content, dict):
        msg = (
            f"the suite {origin} must be a mapping with the keys name, version, summary, "
        )
        raise SuiteError(msg + "dataset or splits, models")
    try:
        return Suite.model_validate(content)
    except ValidationError as error:
        parts = {"splits": SplitSpec, "shift": ShiftSpec, "dynamics": DynamicsSpec}
        faults = faults_of_suite(error, text, Suite, parts)
        msg = f"the suite {origin} is not legal: {faults}"
        raise SuiteError(msg) from error


def _place_of(error: Exception) -> str:
    """Return what is wrong with a YAML text, with its line where it is known."""
    mark = getattr(error, "context_mark", None) or getattr(error, "problem_mark", None)
    told = getattr(error, "problem", None) or str(error).splitlines()[0]
    return f"{told}, line {mark.line + 1}" if mark else told


def check_specs(suite: Suite) -> None:
    """Check names, roles and controls of a suite's own splits; no file is opened.

    The splits of a dataset are known once it is loaded, and checked then.

    Raises:
        DataError: A name, or the shift of a split, is not what it must be.
        SuiteError: There is nothing to evaluate, or no dataset or control of a name.
    """
    if suite.dataset is not None:
        return
    for spec in suite.splits:
        check_role(spec.name, spec.role, has_shift=spec.shift is not None)
        if spec.shipped:
            _check_shipped(spec, spec.shipped[0])
    check_unique(suite.splits)
    check_controls(suite.name, suite.splits)


def _check_shipped(spec: SplitSpec, dataset: str) -> None:
    """Check the name of a dataset, and that nothing it says itself is said of it.

    Raises:
        SuiteError: No dataset or suite has the name, or its units or level were stated.
    """
    known = {*DATASETS.names(), *suite_rows()}
    if dataset not in known:
        close = get_close_matches(dataset, known, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        msg = f"split {spec.name!r} is to be {spec.file!r}, but there is no dataset "
        msg += f"{dataset!r}: {hint}mlffbench list datasets names them, and a file of "
        raise SuiteError(msg + "that name is written ./NAME")
    stated = [
        key
        for key in ("level_of_theory", "energy_unit", "length_unit")
        if getattr(spec, key) is not None
    ]
    if stated:
        msg = f"split {spec.name!r} is {spec.file!r}, which says its own {stated[0]}; "
        raise SuiteError(msg + f"remove {stated[0]} from it")


def check_controls(suite: str, splits: Sequence[Named]) -> None:
    """Check that there is something to evaluate, and every control that is named.

    Args:
        suite: Name of the suite, for messages.
        splits: Its splits, or what is known of them before they are opened.

    Raises:
        SuiteError: One is not there.
    """
    if all(split.role == "train" for split in splits):
        msg = f"the suite {suite!r} has only splits with role 'train', and nothing to "
        raise SuiteError(msg + "evaluate; add one with role 'id_test' or 'ood_test'")
    names = {split.name for split in splits if split.role.startswith("id")}
    for split in splits:
        if split.control and split.control not in names:
            msg = (
                f"split {split.name!r} names the control {split.control!r}, which is no "
            )
            raise SuiteError(msg + f"ID split of suite {suite!r}")


def needs(name: str) -> tuple[str, ...]:
    """Return the downloads behind a name; none where everything ships in the package.

    Args:
        name: A download (``"spice-1"``, ``"md17/aspirin"``), a dataset, a shipped suite,
            or a suite file.

    Raises:
        UnknownNameError: It is none of these.
        SuiteError: The suite file cannot be read.
    """
    if name.partition("/")[0] in DOWNLOADS:
        return (name,)
    if name in DATASETS.names():
        return _downloads_of_dataset(name)
    if is_file(name):
        return _downloads_of_suite(Path(name))
    if name in suite_rows():
        return _downloads_of_suite(suite_path(name))
    raise UnknownNameError(
        "dataset or suite", name, {*DOWNLOADS, *DATASETS.names(), *suite_rows()}
    )


def _downloads_of_dataset(name: str) -> tuple[str, ...]:
    card = DATASETS.entry(name).card
    return card.downloads if isinstance(card, DataCard) else ()


def _downloads_of_suite(path: Path) -> tuple[str, ...]:
    try:
        dataset = read_yaml(path).get("dataset")
    except DataError as error:
        msg = f"cannot read the suite {error}"
        raise SuiteError(msg) from error
    except AttributeError as error:
        msg = f"cannot read the suite {path}: it is not a mapping in YAML"
        raise SuiteError(msg) from error
    return _downloads_of_dataset(dataset) if dataset is not None else ()
