"""Any ASE calculator as a force field: ``ase:package.module:Class?key=value``."""

import importlib
import importlib.util
import inspect
import logging
import os
import sys
import typing
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import numpy as np
import torch
from ase.calculators.calculator import BaseCalculator
from numpy.typing import NDArray

from mlffbench.core.assembly import from_outcomes, predict_rest, refusals, singles
from mlffbench.core.errors import ModelError
from mlffbench.core.labels import Labels
from mlffbench.core.model_options import ModelOptions
from mlffbench.core.single import Computed, Outcome, Single
from mlffbench.core.structures import Structures
from mlffbench.models.cards import ASE
from mlffbench.models.pretrained.electrons import atoms_of, names_of, parameters_of

FORM = "ase:package.module:Class?key=value&key=value"
_LOG = logging.getLogger(__name__)

Value = int | float | bool | str | None
_WORDS: dict[str, Value] = {"true": True, "false": False, "none": None}
# What a benchmark wants of a calculator that has such a parameter (tblite): no tables on
# the screen, and no start from the last wave function it saw, with which results would
# depend on what came before and a resumed run would differ in the last digits.
_DEFAULTS: dict[str, Value] = {"cache_api": False, "verbosity": 0}
_BASE = frozenset({"restart", "label", "directory", "ignore_bad_restart_file"})
_METHODS = ("get_potential_energy", "get_forces")
_NEEDED = ("energy", "forces")


class AseForceField:
    """An ASE calculator, one structure after another.

    Charge and spin reach it in every place that `mlffbench.models.pretrained.electrons`
    lists, except where the user has fixed them. What the calculator changes of the
    process (folder, torch's default dtype, autograd) is put back after every structure.

    Args:
        name: How tables call it.
        calculator: The calculator; it becomes this model's own.
        given: The parameters that the user has set; no ``reset()`` undoes them.
    """

    elements = ASE.elements
    card = ASE

    def __init__(self, name: str, calculator: Any, *, given: Mapping[str, Value]) -> None:
        self.name = name
        self._calculator = calculator
        known = parameters_of(calculator)
        chosen = {key: _DEFAULTS[key] for key in _DEFAULTS.keys() & known - given.keys()}
        if chosen:
            calculator.set(**chosen)
        self._told = names_of(calculator, frozenset(given))
        self._parameters = {
            key: value
            for key, value in {**given, **chosen}.items()
            if key in parameters_of(calculator)
        }
        self._attributes = {
            key: value
            for key, value in given.items()
            if getattr(calculator, key, _METHODS) == value
        }

    def predict(self, structures: Structures) -> Labels:
        """Return float64 energies in eV and forces in eV/Å.

        A structure for which the calculator raises, or gives NaN or values of another
        shape than one energy and (n_atoms, 3) forces, is a failure.
        """
        return predict_rest(structures, refusals(structures, self.card), self._compute)

    def _compute(self, structures: Structures) -> Labels:
        outcomes = [self._compute_one(single) for single in singles(structures)]
        return from_outcomes(structures, outcomes, f"model:{self.name}")

    def _compute_one(self, single: Single) -> Outcome:
        atoms: Any = atoms_of(single)
        try:
            with _undisturbed():
                self._begin(single)
                atoms.calc = self._calculator
                energy = _energy(atoms.get_potential_energy())
                forces = _forces(atoms.get_forces(), len(single.numbers))
        except ModelError as error:
            return str(error)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - foreign code may raise anything
            lines = str(error).strip().splitlines() or ["no reason given"]
            return f"{type(error).__name__}: {lines[0][:200]}"
        return Computed(energy=energy, forces=forces)

    def _begin(self, single: Single) -> None:
        """Forget the last structure, keep what the user gave, tell charge and spin."""
        if callable(getattr(self._calculator, "reset", None)):
            self._calculator.reset()
        lost = {
            key: value
            for key, value in self._parameters.items()
            if parameters_of(self._calculator).get(key, _METHODS) != value
        }
        if lost:
            self._calculator.set(**lost)
        for key, value in self._attributes.items():
            if getattr(self._calculator, key, _METHODS) != value:
                setattr(self._calculator, key, value)
        for told in self._told:
            told.tell(self._calculator, single)


def _energy(value: Any) -> float:
    """Return an energy that may be an array or a tensor of one element.

    Raises:
        ModelError: It has several.
    """
    array = _array(value)
    if array.size != 1:
        msg = f"the energy has shape {array.shape}, expected one number"
        raise ModelError(msg)
    return float(array.reshape(()))


def _forces(value: Any, n_atoms: int) -> NDArray[np.float64]:
    """Return forces of shape (n_atoms, 3), with or without an axis of one before it.

    Raises:
        ModelError: They have another shape.
    """
    array = _array(value)
    if array.shape not in {(n_atoms, 3), (1, n_atoms, 3)}:
        msg = f"the forces have shape {array.shape}, expected {(n_atoms, 3)}"
        raise ModelError(msg)
    return array.reshape(n_atoms, 3)


def _array(value: Any) -> NDArray[np.float64]:
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy()
    array = np.asarray(value)
    if array.dtype.kind not in "fiu":
        msg = f"the calculator returned {array.dtype} values, expected real numbers"
        raise ModelError(msg)
    return array.astype(np.float64)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Put back what foreign code may change of the process."""
    folder, dtype, grad = Path.cwd(), torch.get_default_dtype(), torch.is_grad_enabled()
    try:
        yield
    finally:
        os.chdir(folder)
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(grad)


def load(options: ModelOptions) -> AseForceField:
    """Return the calculator that ``options.argument`` names.

    ``device`` and ``dtype`` are passed on where the class has parameters of these names,
    the user has not set them, and, for ``dtype``, has asked for one.

    Raises:
        ModelError: There is no such class, it is no calculator, it does not take the
            values, or it gives no energy or no forces.
    """
    device = options.torch_device()
    target, given = parse_target(options.argument, FORM)
    values = dict(given)
    factory = _find(target)
    accepted = _parameters(factory)
    if "device" in accepted:
        values.setdefault("device", str(device))
    if "dtype" in accepted and options.dtype is not None:
        values.setdefault("dtype", options.dtype)
    try:
        with _undisturbed():
            calculator = factory(**values)
    except (Exception, SystemExit) as error:
        msg = f"{target} cannot be made with {values}: {type(error).__name__}: {error}"
        raise ModelError(msg) from error
    if not all(callable(getattr(calculator, method, None)) for method in _METHODS):
        msg = f"{target} makes a {type(calculator).__name__}, which is no ASE calculator"
        raise ModelError(msg)
    listed = getattr(calculator, "implemented_properties", None) or _NEEDED
    lacking = [name for name in _NEEDED if name not in listed]
    if lacking:
        msg = (
            f"{target} gives no {' and no '.join(lacking)}, only {', '.join(listed)}; "
            "mlffbench needs a calculator with both in its implemented_properties"
        )
        raise ModelError(msg)
    _warn_of_strangers(calculator, values.keys() - accepted)
    return AseForceField(f"ase:{target.rpartition(':')[2]}", calculator, given=given)


def parse_value(text: str) -> Value:
    """Return a word as the int, float, bool or None that it spells, else as it is.

    Example:
        >>> [parse_value(text) for text in ("3", "0.5", "true", "GFN2-xTB")]
        [3, 0.5, True, 'GFN2-xTB']
    """
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def parse_target(argument: str, form: str) -> tuple[str, dict[str, Value]]:
    """Return ``package.module:Class`` and the values behind it, by name.

    Args:
        argument: As typed, after the colon.
        form: What was expected, for the message.

    Raises:
        ModelError: What follows the question mark is no list of values.
    """
    target, _, query = argument.partition("?")
    if not query:
        return target, {}
    try:
        # A plus sign is a plus sign here, not a blank.
        pairs = parse_qsl(
            query.replace("+", "%2B"), strict_parsing=True, keep_blank_values=True
        )
    except ValueError as error:
        msg = f"cannot read {query!r}: expected {form}"
        raise ModelError(msg) from error
    return target, {key: parse_value(text) for key, text in pairs}


def _find(target: str) -> Any:
    """Return what makes the calculator ``package.module:Class``; nothing is called.

    Raises:
        ModelError: There is no such thing, or it makes no calculator.
    """
    module_name, colon, attribute = target.partition(":")
    if not (colon and module_name and attribute):
        msg = f"cannot read {target!r}: expected {FORM}"
        raise ModelError(msg)
    _look_here(module_name.partition(".")[0])
    try:
        with _undisturbed():
            module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        msg = f"cannot import {module_name!r}: {type(error).__name__}: {error}"
        raise ModelError(msg) from error
    if not hasattr(module, attribute):
        msg = f"{module_name} has no {attribute!r}; expected {FORM}"
        raise ModelError(msg)
    found = getattr(module, attribute)
    if isinstance(found, type):
        legal = _is_calculator(found)
    elif inspect.isroutine(found):
        legal = _makes_calculator(found)
    elif legal := _has_methods(found):
        return lambda: found
    if not legal:
        msg = (
            f"{target} is a {type(found).__name__} that is no ASE calculator: expected a "
            "subclass of ase.calculators.calculator.Calculator, an object with the "
            "methods get_potential_energy and get_forces, or a function annotated to "
            "return one of these; it was not called"
        )
        raise ModelError(msg)
    return found


def _look_here(package: str) -> None:
    """Let a module of the current folder be imported, after all that is installed."""
    here = Path.cwd()
    known = package in sys.modules or importlib.util.find_spec(package) is not None
    if not known and ((here / f"{package}.py").is_file() or (here / package).is_dir()):
        sys.path.append(str(here))
        importlib.invalidate_caches()


def _is_calculator(kind: object) -> bool:
    return isinstance(kind, type) and (
        issubclass(kind, BaseCalculator) or _has_methods(kind)
    )


def _has_methods(thing: object) -> bool:
    return all(callable(getattr(thing, method, None)) for method in _METHODS)


def _makes_calculator(function: Any) -> bool:
    """Return whether a function says that it returns a calculator, among others."""
    try:
        returned = typing.get_type_hints(function).get("return")
    except Exception:  # noqa: BLE001 - a hint may name what is not there
        return False
    return any(_is_calculator(kind) for kind in (returned, *typing.get_args(returned)))


def _warn_of_strangers(calculator: Any, values: Set[str]) -> None:
    """Say which values the calculator does not list: ASE's base class takes any."""
    known = set(getattr(calculator, "default_parameters", None) or {})
    if known and (strange := values - known - _BASE):
        _LOG.warning(
            "%s lists no parameter %s and may ignore it; it lists: %s",
            type(calculator).__name__,
            ", ".join(sorted(strange)),
            ", ".join(sorted(known)),
        )


def _parameters(factory: Any) -> frozenset[str]:
    try:
        return frozenset(inspect.signature(factory).parameters)
    except (TypeError, ValueError):  # some classes of C extensions have no signature
        return frozenset()
