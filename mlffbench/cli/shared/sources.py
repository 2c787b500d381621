"""From names of datasets, files and priors to structures and force fields."""

from pathlib import Path

import numpy as np

from mlffbench.core.errors import DataError
from mlffbench.core.forcefield import ForceField
from mlffbench.core.model_options import ModelOptions
from mlffbench.core.structures import Structures
from mlffbench.datasets.catalog import DATASETS
from mlffbench.datasets.files.open import open_source
from mlffbench.datasets.registered import registered_splits
from mlffbench.models.catalog import is_prior
from mlffbench.models.load import load_model
from mlffbench.priors.prior_labels import LabelCache, version_of
from mlffbench.run.model_files import file_hashes


def structures_of(target: str) -> Structures:
    """Return every structure of a dataset's splits, or of a file; no label is read.

    Args:
        target: A dataset's name, or a path.

    Raises:
        DataError: It is neither, or holds no structure.
    """
    if target in DATASETS.names():
        batches = [split.structures for split in registered_splits(target)]
        return Structures.concatenate(batches)
    if not Path(target).suffix:
        DATASETS.entry(target)
    source = open_source(target, forces_required=False)
    if source.index.n_structures == 0:
        msg = f"{target} holds no structure"
        raise DataError(msg)
    return source.structures(np.arange(source.index.n_structures))


def open_prior(
    name: str, cache_dir: Path | None, workers: int | None
) -> tuple[ForceField, LabelCache]:
    """Return a prior, or any model taken for one, and the cache of its labels.

    Raises:
        BenchError: Nothing has that name, or its package is not installed.
    """
    options = ModelOptions(workers=workers)
    prior = load_model(name, options)
    if is_prior(name):
        return prior, LabelCache.of(prior, cache_dir)
    # A model of the user's is the file it comes from, not just its name.
    hashes = " ".join(f"{file} {value}" for file, value in file_hashes(name).items())
    cache = LabelCache.of(prior, cache_dir)
    version = " ".join(word for word in (name, version_of(prior), hashes) if word)
    return prior, LabelCache(folder=cache.folder, prior=prior.name, version=version)
