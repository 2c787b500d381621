"""PRIORS: one row per cheap prior, nothing imported until it is asked for."""

from mlffbench.core.cards import GFN1_XTB, GFN2_XTB, MMFF94, UFF
from mlffbench.core.registry import Entry, Registry
from mlffbench.priors import cards

DEFAULT = "gfn2-xtb"
"""The prior used where none is named."""

PRIORS = Registry(
    "prior",
    {
        "gfn2-xtb": Entry(
            "mlffbench.priors.xtb:load_gfn2",
            "GFN2-xTB tight binding, H to Rn, any charge (default)",
            facts=GFN2_XTB,
        ),
        "gfn1-xtb": Entry(
            "mlffbench.priors.xtb:load_gfn1",
            "GFN1-xTB tight binding, H to Rn, any charge",
            facts=GFN1_XTB,
        ),
        "mmff94": Entry(
            "mlffbench.priors.classical:load_mmff94",
            "MMFF94 classical force field for organic molecules",
            extra="rdkit",
            requires=("rdkit",),
            facts=MMFF94,
        ),
        "uff": Entry(
            "mlffbench.priors.classical:load_uff",
            "UFF classical force field for any molecule",
            extra="rdkit",
            requires=("rdkit",),
            facts=UFF,
        ),
        "sgdml": Entry(
            "mlffbench.priors.sgdml:load",
            "an sGDML model file of one molecule: sgdml:PATH",
            extra="sgdml",
            requires=("sgdml",),
            facts=cards.SGDML,
        ),
        "emt": Entry(
            "mlffbench.priors.emt:load",
            "effective medium theory for Al Ni Cu Pd Ag Pt Au",
            facts=cards.EMT,
        ),
    },
    group="mlffbench.priors",
)
"""Every target is a callable ``(options: ModelOptions) -> ForceField``."""
