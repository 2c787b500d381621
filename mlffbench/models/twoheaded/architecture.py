"""Architecture: everything needed to build a network again, except its weights."""

import math
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from mlffbench.core.card import ALL_ELEMENTS
from mlffbench.core.errors import ModelError

Network = Literal["mace", "schnet", "gemnet"]
Depth = Literal["min", "med", "max"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class MaceShape(_Frozen):
    """Size of a MACE; the default has 32x0e + 32x1o features.

    Attributes:
        channels: Features of each symmetry.
        max_l: Highest angular momentum of the features between blocks.
        max_ell: Highest angular momentum of the spherical harmonics of an edge.
        correlation: Body order minus one of a block's product.
        blocks: Interaction blocks.
        bessel: Radial basis functions.
        envelope_power: Power p of the polynomial envelope.
        radial_widths: Hidden widths of the radial network.
        readout_width: Hidden width of the last readout.
        mean_neighbours: Divisor of the sum over neighbours.
    """

    channels: int = Field(default=32, ge=1, le=2048)
    max_l: int = Field(default=1, ge=0, le=6)
    max_ell: int = Field(default=2, ge=0, le=8)
    correlation: int = Field(default=2, ge=1, le=4)
    blocks: int = Field(default=2, ge=2, le=32)
    bessel: int = Field(default=8, ge=1, le=1024)
    envelope_power: int = Field(default=5, ge=3, le=64)
    radial_widths: tuple[Annotated[int, Field(ge=1, le=2048)], ...] = Field(
        default=(64, 64, 64), min_length=1, max_length=16
    )
    readout_width: int = Field(default=16, ge=1, le=2048)
    mean_neighbours: float = Field(default=10.0, gt=0, le=1e6)


class SchnetShape(_Frozen):
    """Size of a SchNet.

    Attributes:
        hidden: Features of an atom.
        filters: Features of a filter.
        blocks: Interaction blocks.
        gaussians: Radial basis functions.
    """

    hidden: int = Field(default=64, ge=2, le=2048)
    filters: int = Field(default=64, ge=1, le=2048)
    blocks: int = Field(default=3, ge=2, le=32)
    gaussians: int = Field(default=32, ge=2, le=2048)


class GemnetShape(_Frozen):
    """Size of a GemNet-T; the default is the paper's for MD17 and MD22.

    Attributes:
        atom: Features of an atom.
        edge: Features of an edge.
        triplet: Features of a triplet.
        blocks: Interaction blocks.
        radial: Radial basis functions.
        projected: Width the radial and the circular basis are projected to.
        spherical: Legendre polynomials of an angle.
        atom_layers: Residual layers of an atom's update.
        envelope_power: Power p of the polynomial envelope.
        direct_forces: Whether forces are sums over edges of their own, as in GemNet-dT,
            and not the slope of the energy.
        max_neighbours: Neighbours of an atom at most; None for all within the cutoff.
    """

    atom: int = Field(default=128, ge=2, le=2048)
    edge: int = Field(default=128, ge=2, le=2048)
    triplet: int = Field(default=64, ge=1, le=2048)
    blocks: int = Field(default=4, ge=2, le=32)
    radial: int = Field(default=6, ge=2, le=1024)
    projected: int = Field(default=16, ge=1, le=1024)
    spherical: int = Field(default=7, ge=2, le=16)
    atom_layers: int = Field(default=2, ge=1, le=16)
    envelope_power: int = Field(default=5, ge=3, le=64)
    direct_forces: bool = False
    max_neighbours: int | None = Field(default=None, ge=1, le=10_000)


SHAPES: dict[str, type[MaceShape | SchnetShape | GemnetShape]] = {
    "mace": MaceShape,
    "schnet": SchnetShape,
    "gemnet": GemnetShape,
}
"""Network -> its shape, under which an `Architecture` has it too."""


class Architecture(_Frozen):
    """A network with two heads.

    Attributes:
        network: Which network; the shapes of the others must be absent.
        elements: Ascending atomic numbers of its embedding; some may be absent from the
            training set, for test-time training to learn.
        cutoff: Graph cutoff it is trained with, in Å.
        depth: How much the heads share: ``min`` the embedding and the first block,
            ``med`` all but the last block, ``max`` all but the readouts.
        element_noise: How far the elements differ before training, from 0 (all alike) to
            1 (independent). An element that training never meets keeps these weights.
            Alike elements are hard to tell apart: on the mini set 1 fits and refines
            better than 0, 0.1 and 0.3.
        mace: Shape of a ``mace``; the default one when left out.
        schnet: Shape of a ``schnet``; the default one when left out.
        gemnet: Shape of a ``gemnet``; the default one when left out.
    """

    network: Network
    elements: tuple[int, ...] = Field(min_length=1)
    cutoff: float = Field(default=4.5, gt=0, le=100)
    depth: Depth = "min"
    element_noise: float = Field(default=1.0, ge=0, le=1)
    mace: MaceShape | None = None
    schnet: SchnetShape | None = None
    gemnet: GemnetShape | None = None

    @model_validator(mode="before")
    @classmethod
    def _default_shape(cls, values: object) -> object:
        if not isinstance(values, dict):
            return values
        network = values.get("network")
        known = isinstance(network, str) and network in SHAPES
        if known and values.get(network) is None:
            return values | {network: {}}
        return values

    @field_validator("elements")
    @classmethod
    def _sorted_elements(cls, elements: tuple[int, ...]) -> tuple[int, ...]:
        strange = set(elements) - ALL_ELEMENTS
        if strange:
            msg = f"no atomic numbers: {sorted(strange)}"
            raise ValueError(msg)
        return tuple(sorted(set(elements)))

    @model_validator(mode="after")
    def _one_shape(self) -> Self:
        for other in SHAPES:
            if other != self.network and getattr(self, other) is not None:
                msg = f"a {self.network} has no shape of a {other}: "
                raise ValueError(msg + f"leave {other!r} out")
        return self

    @property
    def shape(self) -> MaceShape | SchnetShape | GemnetShape:
        """The shape of the network in use."""
        shape: MaceShape | SchnetShape | GemnetShape | None = getattr(self, self.network)
        if shape is None:
            raise ValueError("an Architecture needs the shape of its network")
        return shape

    @property
    def direct_forces(self) -> bool:
        """Whether forces are an output of their own, not the slope of the energy."""
        return isinstance(self.shape, GemnetShape) and self.shape.direct_forces

    @property
    def max_neighbours(self) -> int | None:
        """Neighbours of an atom at most; None for all within the cutoff."""
        shape = self.shape
        return shape.max_neighbours if isinstance(shape, GemnetShape) else None

    @property
    def shared_blocks(self) -> int:
        """How many of the interaction blocks both heads share, by depth."""
        blocks = self.shape.blocks
        return {"min": 1, "med": blocks - 1, "max": blocks}[self.depth]

    def check_cutoff(self, cutoff: float, name: str) -> None:
        """Raise ModelError when a cutoff is no radius, or above the trained one.

        Args:
            cutoff: In Å.
            name: Of the model, for the message.
        """
        if not (math.isfinite(cutoff) and cutoff > 0):
            msg = f"a cutoff of {cutoff} Å is no radius: give a positive, finite number"
            raise ModelError(msg)
        if cutoff > self.cutoff:
            msg = (
                f"a cutoff of {cutoff:g} Å is above the trained {self.cutoff:g} Å of "
                f"{name!r}, whose radial functions end there: it would change "
                "nothing or leave what was trained; give one at or below"
            )
            raise ModelError(msg)
