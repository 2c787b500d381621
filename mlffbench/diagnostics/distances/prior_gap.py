"""Prior disagreement: an alarm that needs no label."""

import numpy as np

from mlffbench.diagnostics.diagnostic import Fitted, Measured, Sample, alone
from mlffbench.metrics.forces import forces_mae


def prior_gap(train: Sample) -> Fitted:
    """Mean |F_model − F_prior| over the 3N force components of a structure, in eV/Å.

    F_model comes from the unrefined model, whatever the mode: a refinement may follow
    the prior, and an alarm must not fall silent for that.
    """
    return alone(_measure, train)


def _measure(sample: Sample) -> Measured:
    if sample.prediction is None:
        return Measured.nothing(sample, sample.why_absent("prediction"))
    if sample.prior is None:
        return Measured.nothing(sample, sample.why_absent("prior"))
    pair = sample.prediction, sample.prior
    values = forces_mae(*pair, sample.structures)[""].value
    reasons: dict[int, str] = {}
    for row in np.flatnonzero(np.isnan(values)).tolist():
        told = [labels.failures[row] for labels in pair if row in labels.failures]
        reasons[row] = told[0] if told else "no forces of the model or of the prior"
    return Measured(values, reasons)
