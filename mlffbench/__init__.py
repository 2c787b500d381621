"""How machine-learning force fields hold up when the chemistry changes.

What stands in ``__all__`` is the public API (docs/api.md). Nothing is imported until a
name is used: ``import mlffbench`` loads neither torch nor pandas.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlffbench.api.benchmark import run_suite
    from mlffbench.api.catalogues import info, list_names
    from mlffbench.api.inputs import load_labels, load_model, load_structures
    from mlffbench.api.own_molecules import calculator, predict_file, refine_file
    from mlffbench.api.own_screen import screen_file
    from mlffbench.api.results import Results, compare, read_results
    from mlffbench.core.errors import BenchError
    from mlffbench.core.forcefield import ForceField
    from mlffbench.core.labels import Labels
    from mlffbench.core.structures import Structures

__version__ = "0.1.0"

__all__ = [
    "BenchError",
    "ForceField",
    "Labels",
    "Results",
    "Structures",
    "__version__",
    "calculator",
    "compare",
    "info",
    "list_names",
    "load_labels",
    "load_model",
    "load_structures",
    "predict_file",
    "read_results",
    "refine_file",
    "run_suite",
    "screen_file",
]

_HOMES = {
    "BenchError": "mlffbench.core.errors",
    "ForceField": "mlffbench.core.forcefield",
    "Labels": "mlffbench.core.labels",
    "Results": "mlffbench.api.results",
    "Structures": "mlffbench.core.structures",
    "calculator": "mlffbench.api.own_molecules",
    "compare": "mlffbench.api.results",
    "info": "mlffbench.api.catalogues",
    "list_names": "mlffbench.api.catalogues",
    "load_labels": "mlffbench.api.inputs",
    "load_model": "mlffbench.api.inputs",
    "load_structures": "mlffbench.api.inputs",
    "predict_file": "mlffbench.api.own_molecules",
    "read_results": "mlffbench.api.results",
    "refine_file": "mlffbench.api.own_molecules",
    "run_suite": "mlffbench.api.benchmark",
    "screen_file": "mlffbench.api.own_screen",
}
"""Public name -> the module it lives in. No name may be that of a sub-package."""


def __dir__() -> list[str]:
    return sorted(__all__)


if not TYPE_CHECKING:  # type checkers shall see what there is, and nothing else

    def __getattr__(name: str) -> object:
        home = _HOMES.get(name)
        if home is None:
            msg = f"module 'mlffbench' has no attribute {name!r}"
            raise AttributeError(msg)
        value = getattr(importlib.import_module(home), name)
        globals()[name] = value
        return value
