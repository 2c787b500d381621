"""The refinement modes: one row each, a class whose arguments are its settings."""

from mlffbench.core.registry import Entry, Registry

REFINERS = Registry(
    "mode",
    {
        "baseline": Entry("mlffbench.refine.none:Baseline", "the model as it comes"),
        "ttt": Entry(
            "mlffbench.refine.ttt:PriorTuning",
            "test-time training on a prior's forces of the test structures",
        ),
    },
)
