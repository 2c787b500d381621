"""Settings: what may be set of a mode, read from its signature and checked against it.

A signature is read from the source where that is possible: a mistyped name is then told
before torch is imported.
"""

import ast
import difflib
import importlib.util
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlffbench.core.errors import SuiteError
from mlffbench.core.plugins.user_file import parse_user_file
from mlffbench.refine.catalog import REFINERS
from mlffbench.refine.modes import load_mode, mode_name
from mlffbench.run.suite import Setting

_KINDS = {
    "int": ((int,), "a whole number"),
    "float": ((int, float), "a number"),
    "str": ((str,), "text"),
    "bool": ((bool,), "true or false"),
}
"""Name of a type -> values that are of it, and what to call them."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One setting of a mode.

    Attributes:
        kinds: Names of the types it may have, as its annotation says.
        default: Its default, as Python writes it.
        choices: Texts it may be, where only some are allowed.
        about: What it is, one sentence of the mode's docstring.
    """

    kinds: tuple[str, ...]
    default: str
    choices: tuple[str, ...] = ()
    about: str = ""

    @property
    def in_words(self) -> str:
        """What it may be, for people."""
        said = [_KINDS[kind][1] for kind in self.kinds if kind in _KINDS]
        return " or ".join([*map(repr, self.choices), *said])


def check_settings(mode: str, settings: Mapping[str, Setting]) -> None:
    """Check names and types of the settings of a mode; nothing is built.

    Raises:
        UnknownNameError: There is no such mode.
        MissingExtraError: The mode needs a package that is not installed.
        SuiteError: It has no setting of a name, or a value is of another type.
    """
    mode_name(mode)
    if not settings:
        return
    known = parameters_of(mode)
    if known is None:  # it takes whatever it is given
        return
    has = ", ".join(
        f"{name}={parameter.default}" if parameter.default else name
        for name, parameter in known.items()
    )
    listed = f"its settings: {has}" if has else "it has none"
    for name, value in settings.items():
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            msg = f"mode {mode!r} has no setting {name!r}{hint}; {listed}"
            raise SuiteError(msg)
        expected = _expected(known[name], value)
        if expected:
            msg = f"setting {name!r} of mode {mode!r} is {value!r}, expected {expected}; "
            raise SuiteError(msg + listed)


def _expected(parameter: Parameter, value: Setting) -> str:
    """Return in words what a value should have been; empty where it is that."""
    kinds = [kind for kind in parameter.kinds if kind != "None"]
    if not set(kinds) <= _KINDS.keys() or not (kinds or parameter.choices):
        return ""  # the mode itself checks what it alone knows
    for kind in kinds:
        types, _ = _KINDS[kind]
        if isinstance(value, types) and (type(value) is not bool or kind == "bool"):
            return ""
    return "" if value in parameter.choices else parameter.in_words


def parameters_of(mode: str) -> dict[str, Parameter] | None:
    """Return the settings of a mode by name; None where it takes any.

    Raises:
        UnknownNameError: There is no such mode.
        MissingExtraError: The mode needs a package that is not installed.
        BenchError: It cannot be imported.
    """
    if parse_user_file(mode) is None:
        module, _, name = REFINERS.entry(mode).target.partition(":")
        read = _read(module, name)
        if read is not None:
            return read
    try:
        made = load_mode(mode)
        parameters = inspect.signature(made).parameters.values()
    except ValueError:
        return None  # nothing tells; building it does
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    about = _about(inspect.getdoc(made) or "")
    return {
        parameter.name: _parameter(
            _parsed(inspect.formatannotation(parameter.annotation)),
            default=""
            if parameter.default is parameter.empty
            else repr(parameter.default),
            about=about.get(parameter.name, ""),
        )
        for parameter in parameters
    }


def _parameter(
    annotation: ast.expr,
    tree: ast.Module | None = None,
    *,
    default: str,
    about: str,
) -> Parameter:
    """Return a setting by its annotation, whose names a module's source explains."""
    kinds, choices = [], []
    for one in _alternatives(annotation):
        found = _literals(one, tree)
        if found:
            choices += found
        else:
            kinds.append(ast.unparse(one))
    return Parameter(tuple(kinds), default, tuple(choices), about)


def _parsed(annotation: str) -> ast.expr:
    """Return an annotation as syntax; one that is none stands for any type."""
    try:
        return ast.parse(annotation, mode="eval").body
    except SyntaxError:
        return ast.Name("object")


def _alternatives(node: ast.expr) -> list[ast.expr]:
    """Return the members of a union."""
    if isinstance(node, ast.BinOp):
        return [*_alternatives(node.left), *_alternatives(node.right)]
    if isinstance(node, ast.Subscript):
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        name = ast.unparse(node.value).rpartition(".")[2]
        if name in {"Optional", "Union"}:
            found = [one for part in parts for one in _alternatives(part)]
            return [*found, ast.Constant(None)] if name == "Optional" else found
    return [node]


def _literals(node: ast.expr, tree: ast.Module | None) -> list[str]:
    """Return the texts of a ``Literal``, or of a name that stands for one."""
    if isinstance(node, ast.Name) and tree is not None:
        found = _definition(node.id, tree)
        return [] if found is None else _literals(*found)
    if not isinstance(node, ast.Subscript):
        return []
    if ast.unparse(node.value).rpartition(".")[2] != "Literal":
        return []
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    texts = [part.value for part in parts if isinstance(part, ast.Constant)]
    return [text for text in texts if isinstance(text, str)]


def _about(docstring: str) -> dict[str, str]:
    """Return what a docstring says of each argument: the first sentence."""
    _, _, rest = inspect.cleandoc(docstring).partition("\nArgs:\n")
    told: dict[str, str] = {}
    name = ""
    for line in rest.splitlines():
        if line and not line.startswith("    "):
            break
        if line[4:5].strip():
            name, _, text = line.strip().partition(": ")
            told[name] = text
        elif name and line.strip():
            told[name] += f" {line.strip()}"
    return {
        name: text.replace("``", "").partition(". ")[0].rstrip(".").replace("`", "")
        for name, text in told.items()
    }


def _read(module: str, name: str) -> dict[str, Parameter] | None:
    """Return the parameters of a class as its source states them, importing nothing.

    None where the source does not tell: it is not found, the class inherits its
    ``__init__``, takes what it is not asked for, or has a default that is no constant.
    """
    tree = _source(module)
    if tree is None:
        return None
    classes = [n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == name]
    if len(classes) != 1 or classes[0].decorator_list:
        return None
    makers = [
        part
        for part in classes[0].body
        if isinstance(part, ast.FunctionDef) and part.name in {"__init__", "__new__"}
    ]
    if not makers:
        return None if classes[0].bases or classes[0].keywords else {}
    docstring = ast.get_docstring(classes[0]) or ""
    return _parameters(makers[0], tree, _about(docstring))


def _parameters(
    maker: ast.FunctionDef, tree: ast.Module, about: Mapping[str, str]
) -> dict[str, Parameter] | None:
    arguments = maker.args
    if arguments.kwarg or arguments.vararg or len(arguments.args) > 1:
        return None
    parameters = {}
    pairs = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    for argument, default in pairs:
        if default is None or argument.annotation is None:
            return None
        try:
            value = _constant(default, tree)
        except ValueError:
            return None
        parameters[argument.arg] = _parameter(
            argument.annotation,
            tree,
            default=repr(value),
            about=about.get(argument.arg, ""),
        )
    return parameters


def _constant(node: ast.expr, tree: ast.Module) -> Any:
    """Return a default: a literal, or a name that its module's source gives one.

    Raises:
        ValueError: It is neither.
    """
    if not isinstance(node, ast.Name):
        return ast.literal_eval(node)
    found = _definition(node.id, tree)
    if found is None:
        raise ValueError(node.id)
    return _constant(*found)


def _definition(name: str, tree: ast.Module) -> tuple[ast.expr, ast.Module] | None:
    """Return what a module's source calls so, and the module that says it; None without.

    The name may come from another module, and may be one of several of an assignment.
    """
    for statement in tree.body:
        if isinstance(statement, ast.Assign):
            for target in statement.targets:
                if isinstance(target, ast.Name) and target.id == name:
                    return statement.value, tree
                if isinstance(target, ast.Tuple) and isinstance(
                    statement.value, ast.Tuple
                ):
                    names = [getattr(one, "id", "") for one in target.elts]
                    if name in names:
                        return statement.value.elts[names.index(name)], tree
        if isinstance(statement, ast.ImportFrom) and statement.module:
            for alias in statement.names:
                if (alias.asname or alias.name) == name:
                    source = _source(statement.module)
                    return None if source is None else _definition(alias.name, source)
    return None


def _source(module: str) -> ast.Module | None:
    """Return the source of a module, importing nothing but its packages; None without."""
    try:
        found = importlib.util.find_spec(module)
        if found is None or not found.origin or not found.origin.endswith(".py"):
            return None
        return ast.parse(Path(found.origin).read_text(encoding="utf-8"))
    except (ImportError, OSError, SyntaxError, ValueError):
        return None  # importing it says what is wrong
