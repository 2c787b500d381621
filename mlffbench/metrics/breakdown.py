"""The force error by kind of atom. Each docstring is the definition that reports print.

Both functions are of type `Metric`: labels in eV/Å, one `Samples` per part. A structure
that has no atom of a part is missing from that part, and so is one with a force that is
not finite.
"""

from itertools import pairwise

import numpy as np

from mlffbench.core.card import SYMBOLS
from mlffbench.core.labels import Labels
from mlffbench.core.structures import Structures
from mlffbench.metrics.forces import absolute_error, norm
from mlffbench.metrics.pairs import COMPONENTS, pair_forces
from mlffbench.metrics.samples import Samples

NORM_EDGES = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Lower edges of the bins of reference force norm, in eV/Å; the last bin is open."""


def norm_labels() -> tuple[str, ...]:
    """Return the names of the bins, in order.

    Example:
        >>> norm_labels()
        ('0-1', '1-2', '2-4', '4-8', '8-16', '16+')
    """
    closed = [f"{low:g}-{high:g}" for low, high in pairwise(NORM_EDGES)]
    return (*closed, f"{NORM_EDGES[-1]:g}+")


def forces_mae_by_element(
    prediction: Labels, reference: Labels, structures: Structures
) -> dict[str, Samples]:
    """Mean absolute error of the force components, pooled over the atoms of one element.

    One number in eV/Å for every element that occurs in the structures.
    """
    pair = pair_forces(prediction, reference, structures)
    error = absolute_error(pair)
    numbers = structures.numbers.cpu().numpy()
    return {
        SYMBOLS[element]: pair.average(
            error, weight_per_atom=COMPONENTS, chosen=numbers == element
        )
        for element in np.unique(numbers).tolist()
    }


def forces_mae_by_norm(
    prediction: Labels, reference: Labels, structures: Structures
) -> dict[str, Samples]:
    """Mean absolute error of the force components, pooled over atoms of like |F|.

    One number in eV/Å per bin of the norm of the atom's reference force; the edges are
    fixed at 0, 1, 2, 4, 8 and 16 eV/Å, the lower edge belongs to its bin, and the last
    bin is open.
    """
    pair = pair_forces(prediction, reference, structures)
    error = absolute_error(pair)
    # the norm is NaN only in structures that are missing anyway
    bins = np.searchsorted(NORM_EDGES, norm(pair.reference), side="right") - 1
    return {
        label: pair.average(error, weight_per_atom=COMPONENTS, chosen=bins == index)
        for index, label in enumerate(norm_labels())
    }
