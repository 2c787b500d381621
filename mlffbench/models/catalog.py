"""MODELS: one row per force field, priors too; nothing imported until asked for."""

from mlffbench.core.card import ModelCard
from mlffbench.core.registry import Entry, Registry
from mlffbench.models import cards

_MACE = ("mace", "e3nn")
# torchani 2.2.4 imports pkg_resources, which setuptools dropped in version 81.
_ANI = ("torchani", "pkg_resources")

ARGUMENTS = {
    "mace": "mace:PATH[?head=NAME&backend=cueq]",
    "ani": "ani:FOLDER",
    "matgl": "matgl:FOLDER",
    "checkpoint": "checkpoint:PATH",
    "attached": "attached:PATH",
    "sgdml": "sgdml:PATH",
    "ase": "ase:package.module:Class[?key=value&key=value]",
}
"""Rows that take an argument after a colon -> how it is typed."""

DEFAULT_PRIOR = "gfn2-xtb"
"""The prior used where none is named."""

_TWOHEADED = "mlffbench.models.twoheaded.loading"
MODELS = Registry(
    "model",
    {
        "zero": Entry(
            "mlffbench.models.physics.zero:load",
            "zero forces, isolated-atom energies: the floor any model must beat",
            card=cards.ZERO,
        ),
        "ani-1x": Entry(
            "mlffbench.models.pretrained.ani:load",
            "ANI-1x, ensemble of 8 networks for H C N O",
            extra="ani",
            requires=_ANI,
            card=cards.ANI_1X,
        ),
        "ani": Entry(
            "mlffbench.models.pretrained.ani:load_folder",
            "ANI-2x, ANI-1ccx or another folder of the ANI model zoo: ani:FOLDER",
            extra="ani",
            requires=_ANI,
            card=cards.ANI,
        ),
        "gfn2-xtb": Entry(
            "mlffbench.models.physics.xtb:load_gfn2",
            "GFN2-xTB tight binding, H to Rn, any charge",
            card=cards.GFN2_XTB,
            prior=True,
        ),
        "gfn1-xtb": Entry(
            "mlffbench.models.physics.xtb:load_gfn1",
            "GFN1-xTB tight binding, H to Rn, any charge",
            card=cards.GFN1_XTB,
            prior=True,
        ),
        "mmff94": Entry(
            "mlffbench.models.physics.classical:load_mmff94",
            "MMFF94 classical force field for organic molecules",
            extra="rdkit",
            requires=("rdkit",),
            card=cards.MMFF94,
            prior=True,
        ),
        "uff": Entry(
            "mlffbench.models.physics.classical:load_uff",
            "UFF classical force field for any molecule",
            extra="rdkit",
            requires=("rdkit",),
            card=cards.UFF,
            prior=True,
        ),
        "emt": Entry(
            "mlffbench.models.physics.emt:load",
            "effective medium theory for Al Ni Cu Pd Ag Pt Au",
            card=cards.EMT,
            prior=True,
        ),
        "sgdml": Entry(
            "mlffbench.models.physics.sgdml:load",
            "an sGDML model file of one molecule: sgdml:PATH",
            extra="sgdml",
            requires=("sgdml",),
            card=cards.SGDML,
            prior=True,
        ),
        "mace-spice": Entry(
            "mlffbench.models.pretrained.mace:load_spice",
            "a small MACE trained on SPICE 1 by OpenMM-ML; ships in the package",
            extra="mace",
            requires=_MACE,
            card=cards.MACE_SPICE,
        ),
        "mace-off23-small": Entry(
            "mlffbench.models.pretrained.mace:load_off23_small",
            "MACE-OFF23 small, organic molecules",
            extra="mace",
            requires=_MACE,
            card=cards.MACE_OFF23_SMALL,
        ),
        "mace-off23-medium": Entry(
            "mlffbench.models.pretrained.mace:load_off23_medium",
            "MACE-OFF23 medium, organic molecules",
            extra="mace",
            requires=_MACE,
            card=cards.MACE_OFF23_MEDIUM,
        ),
        "mace-off23-large": Entry(
            "mlffbench.models.pretrained.mace:load_off23_large",
            "MACE-OFF23 large, organic molecules",
            extra="mace",
            requires=_MACE,
            card=cards.MACE_OFF23_LARGE,
        ),
        "mace-mp-0": Entry(
            "mlffbench.models.pretrained.mace:load_mp_0",
            "MACE-MP-0 medium, 89 elements, inorganic materials",
            extra="mace",
            requires=_MACE,
            card=cards.MACE_MP_0,
        ),
        "mace": Entry(
            "mlffbench.models.pretrained.mace:load_file",
            "any MACE model file of yours: mace:PATH",
            extra="mace",
            requires=_MACE,
            card=cards.MACE,
        ),
        "matgl": Entry(
            "mlffbench.models.pretrained.matgl_file:load",
            "a TensorNet that matgl saved: matgl:FOLDER",
            card=cards.MATGL,
        ),
        "mini-mace": Entry(
            f"{_TWOHEADED}:mini_mace",
            "MACE with a prior head, trained on GFN2-xTB, then on mini",
            extra="mace",
            requires=_MACE,
            card=cards.MINI_MACE,
        ),
        "mini-schnet": Entry(
            f"{_TWOHEADED}:mini_schnet",
            "SchNet with a prior head, trained on GFN2-xTB, then on mini",
            card=cards.MINI_SCHNET,
        ),
        "mini-mace-scratch": Entry(
            f"{_TWOHEADED}:mini_mace_scratch",
            "the control of mini-mace: trained on mini alone",
            extra="mace",
            requires=_MACE,
            card=cards.MINI_MACE_SCRATCH,
        ),
        "checkpoint": Entry(
            f"{_TWOHEADED}:from_checkpoint",
            "a model that mlffbench train wrote: checkpoint:PATH",
            card=cards.CHECKPOINT,
        ),
        "attached": Entry(
            "mlffbench.training.attached:load_attached",
            "a pretrained model with a prior head of its own: attached:PATH",
            card=cards.ATTACHED,
        ),
        "ase": Entry(
            "mlffbench.models.pretrained.ase:load",
            "any ASE calculator: ase:package.module:Class?key=value",
            card=cards.ASE,
        ),
    },
    group="mlffbench.models",
    prior_group="mlffbench.priors",
    card=ModelCard,
)
"""Every target is a callable ``(options: ModelOptions) -> ForceField``."""


def prior_rows() -> dict[str, Entry]:
    """Return the rows of force fields that are cheap enough to guide a refinement."""
    return {name: entry for name, entry in MODELS.rows().items() if entry.prior}


def is_prior(spec: str) -> bool:
    """Return whether a force field, ``name`` or ``name:argument``, is a prior."""
    return spec.partition(":")[0] in prior_rows()
