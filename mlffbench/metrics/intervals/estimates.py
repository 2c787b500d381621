"""From samples to numbers with 95 % intervals over molecules, and their comparisons.

Atoms of one structure and frames of one molecule are not independent, molecules are; so
molecules are what is counted. Molecules without an evaluated structure take no part.
`metrics.intervals.spread` says which interval and how well it covers. Nothing is drawn
at random, and the order of structures is of no consequence.
"""

from mlffbench.core.record import Comparison, MetricValue
from mlffbench.metrics.intervals.of_totals import (
    WorstGroup,
    decisive_of,
    gap_of,
    mean_of,
    pair_of,
    worst_of,
)
from mlffbench.metrics.intervals.verdict import Decisive
from mlffbench.metrics.metric_card import MetricCard
from mlffbench.metrics.molecules import Molecules, sum_molecules
from mlffbench.metrics.samples import Samples


def estimate(
    samples: Samples, molecules: Molecules, *, card: MetricCard
) -> MetricValue | None:
    """Return the metric with its interval; None when no structure was evaluated.

    With fewer than `FEWEST` molecules there is the range of the molecules instead.

    Args:
        samples: What the metric measured on each structure.
        molecules: The molecules of the same structures.
        card: How the samples become one number.

    Raises:
        DataError: Samples and molecules are not of the same structures.
    """
    return mean_of(sum_molecules(samples, molecules), card=card)


def paired(
    a: Samples, b: Samples, molecules: Molecules, *, card: MetricCard
) -> Comparison | None:
    """Return a against b on the structures both evaluated; None when there are none.

    What both share on a molecule cancels. Better and worse are said of ``a``.

    A metric that couples structures (``energy_mae_relative``) needs both predictions cut
    to the structures they share first: `mlffbench.metrics.pairs.blank`.

    Args:
        a: Samples of one mode.
        b: Samples of the other on the same structures, in the same order.
        molecules: The molecules of these structures.
        card: How the samples become one number.

    Raises:
        DataError: The samples and molecules are not of the same structures.
    """
    this = sum_molecules(a.where(b.evaluated), molecules)
    other = sum_molecules(b.where(a.evaluated), molecules)
    return pair_of(this, other, card=card)


def gap(
    ood: Samples,
    ood_molecules: Molecules,
    control: Samples,
    control_molecules: Molecules,
    *,
    card: MetricCard,
) -> Comparison | None:
    """Return an OOD split against its ID control; None when either has nothing.

    ``"worse"``: the model is worse out of distribution. Molecules in both splits are
    counted as the same. ``n`` counts the structures of both, and ``n_molecules`` the
    molecules of the union.

    Args:
        ood: Samples of the OOD split.
        ood_molecules: Its molecules.
        control: Samples of the ID control.
        control_molecules: Its molecules.
        card: How the samples become one number.

    Raises:
        DataError: Samples and molecules are not of the same structures.
    """
    this = sum_molecules(ood, ood_molecules)
    other = sum_molecules(control, control_molecules)
    return gap_of(this, other, card=card)


def worst_group(
    samples: Samples, molecules: Molecules, *, card: MetricCard
) -> WorstGroup | None:
    """Return the molecule with the worst value, the first by key among equals.

    None when no structure was evaluated.

    Raises:
        DataError: Samples and molecules are not of the same structures.
    """
    return worst_of(sum_molecules(samples, molecules), card=card)


def decisive_group(samples: Samples, molecules: Molecules) -> Decisive | None:
    """Return the molecule that carries more than `HALF` of the error; None if none does.

    With fewer than `FEWEST` molecules none is named: there is no interval either.

    Raises:
        DataError: Samples and molecules are not of the same structures.
    """
    return decisive_of(sum_molecules(samples, molecules))
