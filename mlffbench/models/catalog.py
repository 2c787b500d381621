"""MODELS: one row per force field, nothing imported until it is asked for."""

from mlffbench.core.cards import GFN1_XTB, GFN2_XTB, MMFF94, UFF
from mlffbench.core.registry import Entry, Registry
from mlffbench.models import cards

_MACE = ("mace", "e3nn")
# torchani 2.2.4 imports pkg_resources, which setuptools dropped in version 81.
_ANI = ("torchani", "pkg_resources")

ARGUMENTS = {
    "mace": "mace:PATH[?head=NAME]",
    "checkpoint": "checkpoint:PATH",
    "attached": "attached:PATH",
    "ase": "ase:package.module:Class[?key=value&key=value]",
}
"""Rows that take an argument after a colon -> how it is typed."""

_TWOHEADED = "mlffbench.models.twoheaded.loading"
MODELS = Registry(
    "model",
    {
        "zero": Entry(
            "mlffbench.models.zero:load",
            "zero forces, isolated-atom energies: the floor any model must beat",
            facts=cards.ZERO,
        ),
        "ani-1x": Entry(
            "mlffbench.models.ani:load",
            "ANI-1x, ensemble of 8 networks for H C N O",
            extra="ani",
            requires=_ANI,
            facts=cards.ANI_1X,
        ),
        "gfn2-xtb": Entry(
            "mlffbench.priors.xtb:load_gfn2",
            "GFN2-xTB tight binding, H to Rn, any charge",
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
        "mace-off23-small": Entry(
            "mlffbench.models.mace:load_off23_small",
            "MACE-OFF23 small, organic molecules",
            extra="mace",
            requires=_MACE,
            facts=cards.MACE_OFF23_SMALL,
        ),
        "mace-off23-medium": Entry(
            "mlffbench.models.mace:load_off23_medium",
            "MACE-OFF23 medium, organic molecules",
            extra="mace",
            requires=_MACE,
            facts=cards.MACE_OFF23_MEDIUM,
        ),
        "mace-off23-large": Entry(
            "mlffbench.models.mace:load_off23_large",
            "MACE-OFF23 large, organic molecules",
            extra="mace",
            requires=_MACE,
            facts=cards.MACE_OFF23_LARGE,
        ),
        "mace-mp-0": Entry(
            "mlffbench.models.mace:load_mp_0",
            "MACE-MP-0 medium, 89 elements, inorganic materials",
            extra="mace",
            requires=_MACE,
            facts=cards.MACE_MP_0,
        ),
        "mace": Entry(
            "mlffbench.models.mace:load_file",
            "any MACE model file of yours: mace:PATH",
            extra="mace",
            requires=_MACE,
            facts=cards.MACE,
        ),
        "mini-mace": Entry(
            f"{_TWOHEADED}:mini_mace",
            "MACE with a prior head, trained on GFN2-xTB, then on mini",
            extra="mace",
            requires=_MACE,
            facts=cards.MINI_MACE,
        ),
        "mini-schnet": Entry(
            f"{_TWOHEADED}:mini_schnet",
            "SchNet with a prior head, trained on GFN2-xTB, then on mini",
            facts=cards.MINI_SCHNET,
        ),
        "mini-mace-scratch": Entry(
            f"{_TWOHEADED}:mini_mace_scratch",
            "the control of mini-mace: trained on mini alone",
            extra="mace",
            requires=_MACE,
            facts=cards.MINI_MACE_SCRATCH,
        ),
        "checkpoint": Entry(
            f"{_TWOHEADED}:from_checkpoint",
            "a model that mlffbench train wrote: checkpoint:PATH",
            facts=cards.CHECKPOINT,
        ),
        "attached": Entry(
            "mlffbench.training.attached:load_attached",
            "a pretrained model with a prior head of its own: attached:PATH",
            facts=cards.ATTACHED,
        ),
        "ase": Entry(
            "mlffbench.models.ase:load",
            "any ASE calculator: ase:package.module:Class?key=value",
            facts=cards.ASE,
        ),
    },
    group="mlffbench.models",
)
"""Every target is a callable ``(options: ModelOptions) -> ForceField``."""
