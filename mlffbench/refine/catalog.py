"""The refinement modes: one row each, a class whose arguments are its settings."""

from mlffbench.core.registry import Entry, Registry

REFINERS = Registry(
    "mode",
    {
        "baseline": Entry("mlffbench.refine.baseline:Baseline", "the model as it comes"),
        "rr": Entry(
            "mlffbench.refine.radius.radius:RadiusRefinement",
            "radius refinement: the cutoff that suits each test structure",
        ),
        "rr-paper": Entry(
            "mlffbench.refine.radius.published_radius:PublishedRadius",
            "radius refinement as published: 10 radii from 3 to 9 Å by spectra",
        ),
        "ttt": Entry(
            "mlffbench.refine.ttt:PriorTuning",
            "test-time training on a prior's forces of the test structures",
        ),
        "ttt-paper": Entry(
            "mlffbench.refine.published_tuning:PublishedTuning",
            "test-time training as published: 500 steps of SGD on the whole test set",
        ),
        "rr+ttt": Entry(
            "mlffbench.refine.composed:TunedRadius",
            "test-time training, then radius refinement of what it made",
        ),
    },
    group="mlffbench.refiners",
)
