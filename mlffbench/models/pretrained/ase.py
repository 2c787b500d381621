"""Any ASE calculator as a force field: ``ase:package.module:Class?key=value``."""

import importlib
import inspect
import logging
from collections.abc import Set
from typing import Any
from urllib.parse import parse_qsl

from ase import Atoms

from mlffbench.core.assembly import from_outcomes, predict_rest, refusals, singles
from mlffbench.core.errors import ModelError
from mlffbench.core.labels import Labels
from mlffbench.core.model_options import ModelOptions
from mlffbench.core.single import Computed, Outcome, Single
from mlffbench.core.structures import Structures
from mlffbench.models.cards import ASE

FORM = "ase:package.module:Class?key=value&key=value"
_LOG = logging.getLogger(__name__)

Value = int | float | bool | str | None
_WORDS: dict[str, Value] = {"true": True, "false": False, "none": None}
# What a benchmark wants of a calculator that has such a parameter (tblite): no tables on
# the screen, and no start from the last wave function it saw, with which results would
# depend on what came before and a resumed run would differ in the last digits.
_DEFAULTS: dict[str, Value] = {"cache_api": False, "verbosity": 0}
_ELECTRONS = frozenset({"charge", "multiplicity"})
_BASE = frozenset({"restart", "label", "directory", "ignore_bad_restart_file"})
_METHODS = ("get_potential_energy", "get_forces")


class AseForceField:
    """An ASE calculator, one structure after another.

    Charge and spin multiplicity go into ``atoms.info`` as ``charge`` and ``spin``, and to
    the calculator itself where ``charge`` and ``multiplicity`` are among its parameters
    and the user has not fixed them.

    Args:
        name: How tables call it.
        calculator: The calculator; it becomes this model's own.
        fixed: Names of the parameters that the user has set.
    """

    elements = ASE.elements
    card = ASE

    def __init__(self, name: str, calculator: Any, *, fixed: frozenset[str]) -> None:
        self.name = name
        self._calculator = calculator
        known = getattr(calculator, "default_parameters", None) or {}
        self._told = sorted(_ELECTRONS & set(known) - fixed)
        chosen = {key: _DEFAULTS[key] for key in _DEFAULTS.keys() & set(known) - fixed}
        if chosen:
            calculator.set(**chosen)

    def predict(self, structures: Structures) -> Labels:
        """Return float64 energies in eV and forces in eV/Å.

        A structure for which the calculator raises, or gives NaN, is a failure.
        """
        return predict_rest(structures, refusals(structures, self.card), self._compute)

    def _compute(self, structures: Structures) -> Labels:
        outcomes = [self._compute_one(single) for single in singles(structures)]
        return from_outcomes(structures, outcomes, f"model:{self.name}")

    def _compute_one(self, single: Single) -> Outcome:
        atoms: Any = Atoms(
            numbers=single.numbers,
            positions=single.positions,
            cell=single.cell,
            pbc=single.pbc,
            info={"charge": single.charge, "spin": single.multiplicity},
        )
        electrons = {"charge": single.charge, "multiplicity": single.multiplicity}
        try:
            self._calculator.reset()
            if self._told:
                self._calculator.set(**{name: electrons[name] for name in self._told})
            atoms.calc = self._calculator
            return Computed(
                energy=float(atoms.get_potential_energy()), forces=atoms.get_forces()
            )
        except Exception as error:  # noqa: BLE001 - foreign code may raise anything
            lines = str(error).strip().splitlines() or ["no reason given"]
            return f"{type(error).__name__}: {lines[0][:200]}"


def load(options: ModelOptions) -> AseForceField:
    """Return the calculator that ``options.argument`` names.

    ``device`` and ``dtype`` are passed on where the class has parameters of these names,
    the user has not set them, and, for ``dtype``, has asked for one.

    Raises:
        ModelError: There is no such class, it does not take the values, or what it makes
            is no calculator.
    """
    device = options.torch_device()
    target, _, query = options.argument.partition("?")
    values = {key: parse_value(text) for key, text in _pairs(query)}
    factory = _find(target)
    accepted = _parameters(factory)
    if "device" in accepted:
        values.setdefault("device", str(device))
    if "dtype" in accepted and options.dtype is not None:
        values.setdefault("dtype", options.dtype)
    try:
        calculator = factory(**values)
    except Exception as error:
        msg = f"{target} cannot be made with {values}: {type(error).__name__}: {error}"
        raise ModelError(msg) from error
    if not all(callable(getattr(calculator, method, None)) for method in _METHODS):
        msg = f"{target} makes a {type(calculator).__name__}, which is no ASE calculator"
        raise ModelError(msg)
    _warn_of_strangers(calculator, values.keys() - accepted)
    return AseForceField(
        f"ase:{target.rpartition(':')[2]}", calculator, fixed=frozenset(values)
    )


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


def _pairs(query: str) -> list[tuple[str, str]]:
    if not query:
        return []
    try:
        # A plus sign is a plus sign here, not a blank.
        return parse_qsl(
            query.replace("+", "%2B"), strict_parsing=True, keep_blank_values=True
        )
    except ValueError as error:
        msg = f"cannot read {query!r}: expected {FORM}"
        raise ModelError(msg) from error


def _find(target: str) -> Any:
    """Return the class ``package.module:Class``."""
    module_name, colon, attribute = target.partition(":")
    if not (colon and module_name and attribute):
        msg = f"cannot read {target!r}: expected {FORM}"
        raise ModelError(msg)
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        msg = f"cannot import {module_name!r}: {type(error).__name__}: {error}"
        raise ModelError(msg) from error
    if not hasattr(module, attribute):
        msg = f"{module_name} has no {attribute!r}; expected {FORM}"
        raise ModelError(msg)
    return getattr(module, attribute)


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
