"""Every option of `train`, declared once."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from mlffbench.cli.shared.options import option


class Recipe(StrEnum):
    """What is learned from which labels, in which order."""

    scratch = "scratch"
    joint = "joint"
    prior_freeze_finetune = "prior-freeze-finetune"
    attach_prior_head = "attach-prior-head"


class Depth(StrEnum):
    """How many interaction blocks both heads share."""

    min = "min"
    med = "med"
    max = "max"


Schedule = StrEnum("Schedule", "cosine plateau constant")
"""What becomes of the learning rate."""

Amp = StrEnum("Amp", "off bf16")
"""Mixed precision while training."""

_NETWORK, _LOOP = "Network", "Optimisation"
_LABELS, _WHERE = "Prior labels", "Where results go"

NetworkOption = Annotated[
    str,
    option(
        "--model -m",
        "mace, schnet, gemnet or gemnet-dt; for attach-prior-head any pretrained model.",
        _NETWORK,
    ),
]
DepthOption = Annotated[
    Depth,
    option(
        "--depth",
        "Interaction blocks that both heads share: the first, all but the last, or all.",
        _NETWORK,
    ),
]
CutoffOption = Annotated[float, option("--cutoff", "Of the graph, in Å.", _NETWORK)]
ChannelsOption = Annotated[
    int | None, option("--channels", "Features per atom.", _NETWORK, least=1)
]
ShapeOption = Annotated[
    list[str] | None,
    option(
        "--shape",
        "NAME=VALUE of the network's shape, e.g. blocks=2; may be repeated.",
        _NETWORK,
    ),
]
RecipeOption = Annotated[
    Recipe,
    option("--recipe", "What is learned from which labels, in which order.", _LOOP),
]
EpochsOption = Annotated[
    int, option("--epochs", "Epochs on reference labels at most.", _LOOP, least=1)
]
PriorEpochsOption = Annotated[
    int, option("--prior-epochs", "Epochs on prior labels at most.", _LOOP, least=1)
]
BatchOption = Annotated[
    int, option("--batch", "Structures whose gradient is taken at once.", _LOOP, least=1)
]
AccumulateOption = Annotated[
    int,
    option(
        "--accumulate",
        "Batches whose mean gradient makes a step: less memory than a larger batch.",
        _LOOP,
        least=1,
    ),
]
AmpOption = Annotated[
    Amp,
    option(
        "--amp",
        "Mixed precision: matrix products in bfloat16, weights stay float32.",
        _LOOP,
    ),
]
LearningRateOption = Annotated[
    float | None,
    option(
        "--lr", "On reference labels; left out: 3e-3 for mace, 1e-3 for others.", _LOOP
    ),
]
PriorLearningRateOption = Annotated[
    float | None,
    option(
        "--prior-lr", "On prior labels; left out: 1e-2 for mace, 2e-3 for others.", _LOOP
    ),
]
PriorWeightOption = Annotated[
    float, option("--prior-weight", "w of L = L_ref + w L_prior (recipe joint).", _LOOP)
]
EnergyWeightOption = Annotated[
    float, option("--energy-weight", "Of the mean |ΔE| per atom, in eV.", _LOOP)
]
ForceWeightOption = Annotated[
    float, option("--force-weight", "Of the L2-MAE of forces, in eV/Å.", _LOOP)
]
ScheduleOption = Annotated[
    Schedule, option("--schedule", "What becomes of the learning rate.", _LOOP)
]
ClipOption = Annotated[float, option("--clip", "Largest gradient norm.", _LOOP)]
AverageOption = Annotated[
    float,
    option("--ema", "Share of the moving average of weights that a step keeps.", _LOOP),
]
WeightDecayOption = Annotated[float, option("--weight-decay", "Of AdamW.", _LOOP)]
PatienceOption = Annotated[
    int,
    option(
        "--patience",
        "Epochs without a better ID validation error after which a stage stops.",
        _LOOP,
        least=1,
    ),
]
ExtraGeometriesOption = Annotated[
    list[str] | None,
    option(
        "--extra-geometries",
        "DATASET or FILE of further training geometries, used with prior labels "
        "only; may be repeated.",
        _LABELS,
    ),
]
CheckpointOption = Annotated[
    Path, option("--out", "Path of the checkpoint, without suffix.", _WHERE)
]
TensorboardOption = Annotated[
    bool, option("--tensorboard", "Also log for TensorBoard.", _WHERE)
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimisation:
    """What every stage of a training has in common."""

    batch: BatchOption = 8
    accumulate: AccumulateOption = 1
    energy_weight: EnergyWeightOption = 1.0
    force_weight: ForceWeightOption = 10.0
    schedule: ScheduleOption = Schedule.cosine
    clip: ClipOption = 10.0
    average: AverageOption = 0.995
    weight_decay: WeightDecayOption = 1e-6
    patience: PatienceOption = 50
