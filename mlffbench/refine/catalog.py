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
            "mlffbench.refine.radius.radius:PublishedRadiusRefinement",
            "radius refinement as published: by the distance of zero-padded spectra",
        ),
        "ttt": Entry(
            "mlffbench.refine.ttt:PriorTuning",
            "test-time training on a prior's forces of the test structures",
        ),
        "rr+ttt": Entry(
            "mlffbench.refine.composed:TunedRadius",
            "test-time training, then radius refinement of what it made",
        ),
    },
    group="mlffbench.refiners",
)
