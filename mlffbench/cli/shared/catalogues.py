"""Every catalogue there is, and whether a download is here."""

from enum import StrEnum

from mlffbench.core.errors import DataError
from mlffbench.core.registry import Entry


class Kind(StrEnum):
    """What can be listed."""

    datasets = "datasets"
    downloads = "downloads"
    models = "models"
    priors = "priors"
    refiners = "refiners"
    metrics = "metrics"
    diagnostics = "diagnostics"
    suites = "suites"


def all_rows() -> dict[Kind, dict[str, Entry]]:
    """Return every catalogue."""
    from mlffbench.datasets.catalog import DATASETS
    from mlffbench.datasets.download.table import download_rows
    from mlffbench.diagnostics.catalog import DIAGNOSTICS
    from mlffbench.metrics.catalog import METRICS
    from mlffbench.models.catalog import MODELS, prior_rows
    from mlffbench.refine.catalog import REFINERS
    from mlffbench.run.catalog import suite_rows

    return {
        Kind.suites: suite_rows(),
        Kind.datasets: DATASETS.rows(),
        Kind.downloads: download_rows(),
        Kind.models: MODELS.rows(),
        Kind.priors: prior_rows(),
        Kind.refiners: REFINERS.rows(),
        Kind.metrics: METRICS.rows(),
        Kind.diagnostics: DIAGNOSTICS.rows(),
    }


def download_state(key: str) -> str:
    """Return whether a download is here; a damaged note is told, not fatal."""
    from mlffbench.datasets.download.local import state_of

    try:
        return state_of(key)
    except DataError:
        return "damaged"
