"""MODELS: one row per force field, priors too; nothing imported until asked for."""

from dataclasses import replace

from mlffbench.core.card import ModelCard
from mlffbench.core.registry import Entry, Registry
from mlffbench.models import cards

_REQUIRES = {
    "": (),
    "mace": ("mace", "e3nn"),
    # torchani 2.2.4 imports pkg_resources, which setuptools dropped in version 81.
    "ani": ("torchani", "pkg_resources"),
    "rdkit": ("rdkit",),
    "sgdml": ("sgdml",),
    "sevenn": ("sevenn",),
    "orb": ("orb_models",),
    "aimnet": ("aimnet",),
    "nequip": ("nequip",),
    "pet": ("metatrain", "metatomic"),
    "fairchem": ("fairchem",),
    "torchsim": ("torch_sim",),
}
"""Extra -> import names that tell whether it is installed."""

ARGUMENTS = {
    "mace": "mace:PATH[?head=NAME&backend=cueq]",
    "ani": "ani:FOLDER",
    "matgl": "matgl:FOLDER",
    "checkpoint": "checkpoint:PATH",
    "attached": "attached:PATH",
    "refined": "refined:FOLDER",
    "sgdml": "sgdml:PATH",
    "sevennet": "sevennet:PATH[?modal=NAME]",
    "orb": "orb:NAME[?weights=PATH]",
    "aimnet": "aimnet:PATH",
    "nequip": "nequip:PATH",
    "pet": "pet:PATH[?target=NAME]",
    "fairchem": "fairchem:PATH[?task=NAME]",
    "torchsim": "torchsim:package.module:Class[?key=value&key=value]",
    "ase": "ase:package.module:Class[?key=value&key=value]",
}
"""Rows that take an argument after a colon -> how it is typed."""

_FAMILIES = "models.pretrained.families"

DEFAULT_PRIOR = "gfn2-xtb"
"""The prior used where none is named."""


def _row(extra: str, target: str, summary: str, card: ModelCard) -> Entry:
    return Entry(
        f"mlffbench.{target}",
        summary,
        extra=extra or None,
        requires=_REQUIRES[extra],
        card=card,
    )


def _prior(extra: str, target: str, summary: str, card: ModelCard) -> Entry:
    return replace(_row(extra, target, summary, card), prior=True)


MODELS = Registry(
    "model",
    {
        "zero": _row(
            "",
            "models.physics.zero:load",
            "zero forces, isolated-atom energies: the floor any model must beat",
            cards.ZERO,
        ),
        "ani-1x": _row(
            "ani",
            "models.pretrained.ani:load",
            "ANI-1x, ensemble of 8 networks for H C N O",
            cards.ANI_1X,
        ),
        "ani": _row(
            "ani",
            "models.pretrained.ani:load_folder",
            "ANI-2x, ANI-1ccx or another folder of the ANI model zoo: ani:FOLDER",
            cards.ANI,
        ),
        "gfn2-xtb": _prior(
            "",
            "models.physics.xtb:load_gfn2",
            "GFN2-xTB tight binding, H to Rn, any charge",
            cards.GFN2_XTB,
        ),
        "gfn1-xtb": _prior(
            "",
            "models.physics.xtb:load_gfn1",
            "GFN1-xTB tight binding, H to Rn, any charge",
            cards.GFN1_XTB,
        ),
        "mmff94": _prior(
            "rdkit",
            "models.physics.classical:load_mmff94",
            "MMFF94 classical force field for organic molecules",
            cards.MMFF94,
        ),
        "uff": _prior(
            "rdkit",
            "models.physics.classical:load_uff",
            "UFF classical force field for any molecule",
            cards.UFF,
        ),
        "emt": _prior(
            "",
            "models.physics.emt:load",
            "effective medium theory for Al Ni Cu Pd Ag Pt Au",
            cards.EMT,
        ),
        "sgdml": _prior(
            "sgdml",
            "models.physics.sgdml:load",
            "an sGDML model file of one molecule: sgdml:PATH",
            cards.SGDML,
        ),
        "mace-spice": _row(
            "mace",
            "models.pretrained.mace:load_spice",
            "a small MACE trained on SPICE 1 by OpenMM-ML; ships in the package",
            cards.MACE_SPICE,
        ),
        "mace-off23-small": _row(
            "mace",
            "models.pretrained.mace:load_off23_small",
            "MACE-OFF23 small, organic molecules",
            cards.MACE_OFF23_SMALL,
        ),
        "mace-off23-medium": _row(
            "mace",
            "models.pretrained.mace:load_off23_medium",
            "MACE-OFF23 medium, organic molecules",
            cards.MACE_OFF23_MEDIUM,
        ),
        "mace-off23-large": _row(
            "mace",
            "models.pretrained.mace:load_off23_large",
            "MACE-OFF23 large, organic molecules",
            cards.MACE_OFF23_LARGE,
        ),
        "mace-mp-0": _row(
            "mace",
            "models.pretrained.mace:load_mp_0",
            "MACE-MP-0 medium, 89 elements, inorganic materials",
            cards.MACE_MP_0,
        ),
        "mace": _row(
            "mace",
            "models.pretrained.mace:load_file",
            "any MACE model file of yours: mace:PATH",
            cards.MACE,
        ),
        "matgl": _row(
            "",
            "models.pretrained.matgl_file:load",
            "a TensorNet that matgl saved: matgl:FOLDER",
            cards.MATGL,
        ),
        "7net-0": _row(
            "sevenn",
            f"{_FAMILIES}.sevennet:load_0",
            "SevenNet-0, 89 elements, inorganic materials",
            cards.SEVENNET_0,
        ),
        "sevennet": _row(
            "sevenn",
            f"{_FAMILIES}.sevennet:load_file",
            "any SevenNet checkpoint of yours: sevennet:PATH",
            cards.SEVENNET,
        ),
        "orb": _row(
            "orb",
            f"{_FAMILIES}.orb:load",
            "ORB v3 and OrbMol: orb:orb-v3-conservative-omol",
            cards.ORB_V3,
        ),
        "aimnet2": _row(
            "aimnet",
            f"{_FAMILIES}.aimnet2:load_wb97m",
            "AIMNet2, 14 elements, any charge",
            cards.AIMNET2,
        ),
        "aimnet": _row(
            "aimnet",
            f"{_FAMILIES}.aimnet2:load_file",
            "any AIMNet2 file of yours: aimnet:PATH",
            cards.AIMNET,
        ),
        "nequip": _row(
            "nequip",
            f"{_FAMILIES}.nequip_allegro:load_file",
            "any NequIP or Allegro file of yours: nequip:PATH",
            cards.NEQUIP,
        ),
        "pet": _row(
            "pet",
            f"{_FAMILIES}.pet:load_file",
            "any PET of metatrain, PET-MAD and UPET among them: pet:PATH",
            cards.PET,
        ),
        "fairchem": _row(
            "fairchem",
            f"{_FAMILIES}.fairchem:load_file",
            "any UMA or eSEN of fairchem: fairchem:PATH?task=omol",
            cards.FAIRCHEM,
        ),
        "torchsim": _row(
            "torchsim",
            f"{_FAMILIES}.torchsim:load",
            "any model of TorchSim: torchsim:package.module:Class?key=value",
            cards.TORCHSIM,
        ),
        "mini-mace": _row(
            "mace",
            "models.twoheaded.loading:mini_mace",
            "MACE with a prior head, trained on GFN2-xTB, then on mini",
            cards.MINI_MACE,
        ),
        "mini-schnet": _row(
            "",
            "models.twoheaded.loading:mini_schnet",
            "SchNet with a prior head, trained on GFN2-xTB, then on mini",
            cards.MINI_SCHNET,
        ),
        "mini-gemnet": _row(
            "",
            "models.twoheaded.loading:mini_gemnet",
            "GemNet with a prior head, trained on GFN2-xTB, then on mini",
            cards.MINI_GEMNET,
        ),
        "mini-mace-scratch": _row(
            "mace",
            "models.twoheaded.loading:mini_mace_scratch",
            "the control of mini-mace: trained on mini alone",
            cards.MINI_MACE_SCRATCH,
        ),
        "checkpoint": _row(
            "",
            "models.twoheaded.loading:from_checkpoint",
            "a model that mlffbench train wrote: checkpoint:PATH",
            cards.CHECKPOINT,
        ),
        "attached": _row(
            "",
            "training.attached:load_attached",
            "a pretrained model with a prior head of its own: attached:PATH",
            cards.ATTACHED,
        ),
        "refined": _row(
            "",
            "deploy.refined_model:load_refined",
            "a model with the weights that mlffbench refine kept: refined:FOLDER",
            cards.CHECKPOINT,
        ),
        "ase": _row(
            "",
            "models.pretrained.ase:load",
            "any ASE calculator: ase:package.module:Class?key=value",
            cards.ASE,
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
