"""Prior heads of a run: a refinement that follows a prior gets one where none is."""

from mlffbench.core.errors import BenchError, CapabilityError, DataError
from mlffbench.core.forcefield import ForceField
from mlffbench.core.model_options import ModelOptions
from mlffbench.models.load import load_model
from mlffbench.refine.prior_head import FollowsPrior, has_prior_head
from mlffbench.refine.refiner import Refiner, Training
from mlffbench.training.automatic_head import Progress, with_prior_head
from mlffbench.training.trunk import as_trunk


def subject_of(
    refiner: Refiner,
    model: ForceField,
    training: Training,
    *,
    base: str,
    progress: Progress,
) -> ForceField:
    """Return what a refinement works on: the model, with a prior head where it needs one.

    A refinement that can do without a head does so where none can be had, and its
    settings say why.

    Args:
        refiner: The refinement.
        model: As loaded.
        training: Geometries of the suite's training.
        base: How the model is named on the command line.
        progress: Told how far the fit is.

    Raises:
        CapabilityError: The refinement needs a head, and the model cannot be given one.
        DataError: There are too few training geometries for one.
    """
    if not isinstance(refiner, FollowsPrior) or has_prior_head(model):
        return model
    wish = refiner.wants_head(model)
    if wish == "no":
        return model
    try:
        as_trunk(model)
    except BenchError as error:
        if wish == "must":
            msg = f"mode {refiner.name!r} needs a prior head, and {error}"
            raise CapabilityError(msg) from error
        refiner.no_head_because = str(error)
        return model
    prior = load_model(refiner.prior, ModelOptions())
    try:
        return with_prior_head(
            model, base=base, training=training, prior=prior, progress=progress
        )
    except DataError as error:
        if wish == "must":
            raise
        refiner.no_head_because = str(error)
        return model
