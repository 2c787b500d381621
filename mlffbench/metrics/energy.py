"""How wrong the energies are. Each docstring is the definition that reports print.

All functions are of type `Metric`: labels in eV, one `Samples` under the label ``""``.
E is the reference, Ê the prediction, N the number of atoms. A structure with an energy
that is not finite in either is missing; forces play no part.
"""

import numpy as np
from numpy.typing import NDArray

from mlffbench.core.labels import Labels
from mlffbench.core.structures import Structures
from mlffbench.metrics.element_counts import composition
from mlffbench.metrics.pairs import EnergyPair, pair_energies
from mlffbench.metrics.samples import Samples


def energy_mae_raw(
    prediction: Labels, reference: Labels, structures: Structures
) -> dict[str, Samples]:
    """Mean over structures of |Ê − E| / N, in eV/atom, with the energies as they come.

    Between two levels of theory it is dominated by their different zeros of energy.
    """
    return {"": _per_atom(pair_energies(prediction, reference, structures))}


def energy_mae_aligned(
    prediction: Labels, reference: Labels, structures: Structures
) -> dict[str, Samples]:
    """Mean over structures of |Ê − E| / N, in eV/atom, after the zeros are aligned.

    One energy per element is taken off every prediction. These shifts are fitted on the
    ID training split, never on test labels, and the same ones serve every mode. A
    structure with an element that the training split lacks has no aligned energy and is
    missing.
    """
    return {"": _per_atom(pair_energies(prediction, reference, structures))}


def energy_mae_relative(
    prediction: Labels, reference: Labels, structures: Structures
) -> dict[str, Samples]:
    """Mean over structures of |e − ē| / N with e = Ê − E, in eV/atom.

    ē is the mean error over the evaluated structures of the same molecule, composition,
    charge and spin, so any zero of energy cancels and nothing is fitted. A structure
    without such a partner has no relative energy: it is missing, not 0. For independent
    errors, m partners shrink the value by about √(1 − 1/m): compare it between models and
    modes on the same structures rather than between sets with few and many conformers.
    """
    pair = pair_energies(prediction, reference, structures)
    species = _species(structures)[pair.complete]
    error = pair.error[pair.complete]
    # sorted by error within a species: the mean does not depend on the structures' order
    order = np.lexsort((error, species))
    partners = np.bincount(species)
    total = np.bincount(species[order], weights=error[order])
    centred = np.full(len(pair.error), np.nan)
    centred[pair.complete] = error - total[species] / partners[species]
    evaluated = pair.complete.copy()
    evaluated[pair.complete] = partners[species] > 1
    centred_pair = EnergyPair(error=centred, sizes=pair.sizes, complete=evaluated)
    return {"": _per_atom(centred_pair)}


def _per_atom(pair: EnergyPair) -> Samples:
    value = np.divide(
        np.abs(pair.error), pair.sizes, out=np.zeros_like(pair.error), where=pair.complete
    )
    return Samples.of(value, weight=np.ones_like(value), evaluated=pair.complete)


def _species(structures: Structures) -> NDArray[np.int64]:
    """Return a number per structure that conformers of one species share."""
    counts = composition(structures).counts
    charge, multiplicity = structures.charge.tolist(), structures.multiplicity.tolist()
    known: dict[tuple[str, bytes, int, int], int] = {}
    numbers = [
        known.setdefault((group, row.tobytes(), charge[i], multiplicity[i]), len(known))
        for i, (group, row) in enumerate(zip(structures.group, counts, strict=True))
    ]
    return np.array(numbers, dtype=np.int64)
