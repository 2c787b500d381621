"""Licences: under what terms results, their data and their models may be used."""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from mlffbench.core.card import DataCard, ModelCard
from mlffbench.datasets.catalog import DATASETS
from mlffbench.models.catalog import MODELS
from mlffbench.run.catalog import suite_rows
from mlffbench.run.suite import load_suite

NOT_STATED = "not stated"


def data_licences(suite: Mapping[str, Any]) -> dict[str, str]:
    """Return data set or file -> licence of the data behind a suite.

    Args:
        suite: The suite as ``run.json`` has it.
    """
    dataset = suite.get("dataset")
    if isinstance(dataset, str):
        return _of_name(dataset) or {dataset: NOT_STATED}
    found: dict[str, str] = {}
    for spec in suite.get("splits") or ():
        file = str(spec.get("file", "")) if isinstance(spec, Mapping) else ""
        found |= _of_name(file.partition(":")[0]) or {PurePath(file).name: NOT_STATED}
    return found


def model_licence(manifest: Mapping[str, Any]) -> str:
    """Return the licence on the card of a run's model."""
    model = manifest.get("model") or {}
    told = str((model.get("card") or {}).get("licence") or NOT_STATED)
    if told != NOT_STATED:
        return told
    name = str(model.get("name"))  # a curve keeps no card
    card = MODELS.entry(name).card if name in MODELS.names() else None
    return (card.licence if isinstance(card, ModelCard) else "") or NOT_STATED


def _of_name(name: str) -> dict[str, str]:
    """Return the licences behind a dataset or a shipped suite; nothing of a file."""
    if name in DATASETS.names():
        card = DATASETS.entry(name).card
        return {name: card.licence if isinstance(card, DataCard) else NOT_STATED}
    if name in suite_rows():
        return data_licences(load_suite(name)[0].model_dump())
    return {}
