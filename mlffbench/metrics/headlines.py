"""Headlines: the metrics that tables show, by what their cards say."""

from typing import NamedTuple

from mlffbench.metrics.catalog import METRICS
from mlffbench.metrics.metric_card import MetricCard


class Headline(NamedTuple):
    """A metric that is a column.

    Attributes:
        name: Its name in the catalogue and in records.
        card: How to read it.
    """

    name: str
    card: MetricCard

    @property
    def label(self) -> str:
        """Heading of its column, without unit."""
        return self.card.label or self.name.replace("_", " ")


def force_headlines() -> list[Headline]:
    """Return the columns of the force table; the force MAE is the first."""
    return [one for one in _headlines() if one.card.energies is None]


def energy_headlines() -> list[Headline]:
    """Return the columns of the energy table."""
    return [one for one in _headlines() if one.card.energies is not None]


def _headlines() -> list[Headline]:
    rows = METRICS.rows().items()
    cards = [(name, entry.card) for name, entry in rows]
    return [
        Headline(name, card)
        for name, card in cards
        if isinstance(card, MetricCard) and card.headline
    ]
