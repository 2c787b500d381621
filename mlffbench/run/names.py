"""Names: what was typed, checked against the catalogues and the suite.

Importing this imports no torch, and no wrong name waits for it: refinements are built
last.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlffbench.core.errors import ModelError, SuiteError
from mlffbench.core.files import require_file
from mlffbench.datasets.catalog import DATASETS
from mlffbench.models.catalog import MODELS
from mlffbench.models.model_spec import check_not_typed, parse_spec
from mlffbench.refine.modes import load_refiner, mode_name
from mlffbench.run.settings import check_settings
from mlffbench.run.suite import Setting, Suite, is_file, load_suite

Settings = Mapping[str, Mapping[str, Setting]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """A suite with the models and modes to run on it, all of them known.

    Attributes:
        suite: The suite.
        folder: What its file names are relative to.
        models: Models as typed, else the suite's.
        modes: Modes as typed, else the suite's.
        settings: Mode -> its settings, those that were typed before the suite's.
    """

    suite: Suite
    folder: Path
    models: tuple[str, ...]
    modes: tuple[str, ...]
    settings: Mapping[str, tuple[tuple[str, Setting], ...]]


def check_names(
    suite: str,
    *,
    models: Sequence[str] = (),
    modes: Sequence[str] = (),
    settings: Settings | None = None,
    trust: bool = False,
) -> Names:
    """Return what names and settings mean; no file of structures is opened.

    Args:
        suite: Name or path.
        models: Models as typed; empty means the suite's.
        modes: Modes; empty means the suite's.
        settings: Mode -> settings that go before the suite's.
        trust: Let a suite file name models and modes that run code.

    Raises:
        BenchError: The suite is broken; a name is unknown; a setting is none of its mode,
            of a mode that is not run, or refused by the mode.
    """
    typed = settings or {}
    found, folder = load_suite(suite)
    if is_file(suite) and not trust:
        _check_runs_nothing(found, suite, models=not models, modes=not modes, typed=typed)
    chosen = tuple(modes) or found.modes
    for mode in (*chosen, *found.settings, *typed):
        mode_name(mode)
    unused = [mode for mode in typed if mode not in chosen]
    if unused:
        msg = f"settings were given for mode {unused[0]!r}, which is not run; add it to "
        raise SuiteError(msg + "--mode or leave them out")
    for model in tuple(models) or found.models:
        _check_model(model)
    merged = {
        mode: {**found.settings.get(mode, {}), **typed.get(mode, {})} for mode in chosen
    }
    for mode, values in {**found.settings, **merged}.items():
        check_settings(mode, values)
        if isinstance(values.get("prior"), str):
            _check_model(str(values["prior"]))
    _check_data(found, folder)
    for mode, values in merged.items():  # what imports torch comes last
        load_refiner(mode, values)
    return Names(
        suite=found,
        folder=folder,
        models=tuple(models) or found.models,
        modes=chosen,
        settings={mode: tuple(sorted(merged[mode].items())) for mode in chosen},
    )


def _check_data(suite: Suite, folder: Path) -> None:
    """Check that the data of a suite are there; nothing is opened.

    Raises:
        UnknownNameError: No dataset has the name.
        DataError: A file is missing.
    """
    if suite.dataset is not None:
        DATASETS.entry(suite.dataset)
    for spec in suite.splits:
        if ":" not in str(spec.file):  # else it may be no file, which opening it says
            require_file(folder / spec.file)


def _check_runs_nothing(
    suite: Suite, path: str, *, models: bool, modes: bool, typed: Settings
) -> None:
    """Check that no name in a suite file is one of code, as far as it is used.

    Args:
        suite: The suite.
        path: Its file.
        models: Whether its models are run.
        modes: Whether its modes are.
        typed: Settings that go before its own.

    Raises:
        ModelError: It names code.
    """
    found = {spec: "model" for spec in suite.models if models}
    found |= {spec: "mode" for spec in suite.modes if modes}
    for mode, values in suite.settings.items():
        found[mode] = "mode"
        for key, value in values.items():
            if isinstance(value, str) and key not in typed.get(mode, {}):
                found.setdefault(value, key)
    for spec, what in found.items():
        check_not_typed(spec, path, trust=False, what=what)


def _check_model(spec: str) -> None:
    """Check that a model, or a prior, is in the catalogue or a file that is there.

    Raises:
        UnknownNameError: No row carries the name.
        ModelError: There is no such file.
    """
    parts = parse_spec(spec)
    if not parts.is_file:
        MODELS.entry(parts.name)
    elif not Path(parts.name).is_file():
        msg = f"there is no file {parts.name}; expected path/to/model.py:factory"
        raise ModelError(msg)
