"""A dataset: three files of the package, each a split."""

from pathlib import Path

import numpy as np

from mlffbench.core.split import Role, Shift, Split
from mlffbench.datasets.files.open import open_source

_DATA = Path(__file__).parent / "data"
_FILES: dict[str, Role] = {"train": "train", "id": "id_test", "ood": "ood_test"}


def splits() -> tuple[Split, ...]:
    """Return training, control and molecules with more elements."""
    made = []
    for name, role in _FILES.items():
        source = open_source(_DATA / f"{name}.xyz", level_of_theory="harmonic wells")
        made.append(
            Split(
                name=name,
                role=role,
                source=source,
                rows=np.arange(source.index.n_structures),
                rule="every structure of the file",
                shift=Shift("elements", "contains N") if name == "ood" else None,
            )
        )
    return tuple(made)
