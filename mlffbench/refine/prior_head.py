"""What refinements that follow a prior need: its labels, and a model's prior head."""

from typing import Literal, Protocol, cast, runtime_checkable

from mlffbench.core.errors import CapabilityError
from mlffbench.core.forcefield import ForceField, HasPriorHead
from mlffbench.core.labels import Labels
from mlffbench.core.model_options import ModelOptions
from mlffbench.core.structures import Structures
from mlffbench.models.load import load_model
from mlffbench.priors.prior_labels import LabelCache, label, version_of

Wish = Literal["must", "better", "no"]
"""Whether a refinement cannot do without a prior head, can, or has no use for one."""


@runtime_checkable
class FollowsPrior(Protocol):
    """A refinement that follows a prior through a model's prior head.

    Attributes:
        prior: Name of the prior.
        no_head_because: Why a model that would be better with a head was given none.
    """

    prior: str
    no_head_because: str

    def wants_head(self, model: ForceField) -> Wish:
        """Return whether a model without a prior head should be given one."""
        ...


def origin_of(model: object) -> str | None:
    """Return what a prior head was fitted to, in words, where the model says so."""
    words = getattr(model, "head_origin", "")
    return str(words) or None


def has_prior_head(model: object) -> bool:
    """Return whether a model has a prior head that was trained."""
    # Only networks that may come with an untrained head state which are trained.
    trained = "prior" in getattr(model, "trained_heads", ("prior",))
    return isinstance(model, HasPriorHead) and trained


def require_prior_head(model: ForceField, what: str) -> HasPriorHead:
    """Return the model as one with a trained prior head.

    Args:
        model: Any model.
        what: Who needs it, for the message.

    Raises:
        CapabilityError: It has no prior head, or an untrained one.
    """
    if not isinstance(model, HasPriorHead):
        msg = (
            f"model {model.name!r} has no prior head, which {what} needs; add "
            "one with: mlffbench train --recipe attach-prior-head, or train a "
            "network that has one with --recipe prior-freeze-finetune"
        )
        raise CapabilityError(msg)
    if not has_prior_head(model):
        msg = (
            f"the prior head of model {model.name!r} was never trained, so {what} would "
            "follow noise; add one that is with: mlffbench train --recipe "
            "attach-prior-head, or train the network with --recipe "
            "prior-freeze-finetune or joint"
        )
        raise CapabilityError(msg)
    return cast("HasPriorHead", model)


class PriorLabels:
    """The labels of a prior, cached on disk; the prior is loaded on first use.

    Args:
        name: Name of the prior, or of any model taken for one.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._prior: ForceField | None = None

    @property
    def version(self) -> str:
        """The prior's name and what its numbers depend on beside it."""
        return f"{self.name} {version_of(self._loaded())}"

    def of(self, structures: Structures) -> Labels:
        """Return labels of structures; those that have none are in ``failures``."""
        prior = self._loaded()
        return label(structures, prior, LabelCache.of(prior))

    def _loaded(self) -> ForceField:
        if self._prior is None:
            self._prior = load_model(self.name, ModelOptions())
        return self._prior
