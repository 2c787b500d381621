"""What has to be downloaded for a dataset or a suite."""

from pathlib import Path
from typing import Any

import yaml

from mlffbench.core.card import DataCard
from mlffbench.core.errors import SuiteError, UnknownNameError
from mlffbench.datasets.catalog import DATASETS
from mlffbench.datasets.downloads import DOWNLOADS
from mlffbench.run.catalog import suite_rows, suites_folder


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
        return _of_dataset(name)
    if Path(name).suffix in {".yaml", ".yml"}:
        return _of_suite(Path(name))
    if name in suite_rows():
        return _of_suite(suites_folder() / f"{name}.yaml")
    raise UnknownNameError(
        "dataset or suite", name, {*DOWNLOADS, *DATASETS.names(), *suite_rows()}
    )


def _of_dataset(name: str) -> tuple[str, ...]:
    facts = DATASETS.entry(name).facts
    return facts.downloads if isinstance(facts, DataCard) else ()


def _of_suite(path: Path) -> tuple[str, ...]:
    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        dataset = content.get("dataset")
    except (OSError, ValueError, yaml.YAMLError, AttributeError) as error:
        reason = getattr(error, "strerror", None) or "it is not a mapping in YAML"
        msg = f"cannot read the suite {path}: {reason}"
        raise SuiteError(msg) from error
    return _of_dataset(dataset) if dataset is not None else ()
