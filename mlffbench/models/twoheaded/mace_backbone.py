"""MACE from mace-torch's blocks, on our graph."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mlffbench.core.errors import MissingExtraError
from mlffbench.models.pretrained.mace_network import import_mace
from mlffbench.models.twoheaded.architecture import Architecture, MaceShape
from mlffbench.models.twoheaded.backbone import Atomwise, Backbone, Known


class MaceBackbone(Backbone):
    """MACE with one head; blocks and initialisation are mace-torch's.

    Args:
        architecture: Of a ``mace``.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        shape = architecture.shape
        if not isinstance(shape, MaceShape):
            raise TypeError("a MaceBackbone needs the architecture of a mace")
        self.cutoff = architecture.cutoff
        self.n_elements = len(architecture.elements)
        self.channels = shape.channels
        network = _build(architecture, shape)
        self.node_embedding: nn.Module = network.node_embedding
        self.cutoff_fn: nn.Module = network.radial_embedding.cutoff_fn
        self.bessel_fn: nn.Module = network.radial_embedding.bessel_fn
        self.spherical_harmonics: nn.Module = network.spherical_harmonics
        self.interactions: nn.ModuleList = network.interactions
        self.products: nn.ModuleList = network.products
        self.readouts: nn.ModuleList = network.readouts

    def forward(
        self,
        element_index: Tensor,
        edges: Tensor,
        vectors: Tensor,
        radius: float,
        known: Sequence[Known] = (),  # noqa: ARG002 - it knows nothing
    ) -> Atomwise:
        """Return energies and features of atoms; see `Backbone.forward`."""
        # The spherical harmonics are TorchScript all the same, and what that optimises
        # after its first calls changes the last bits of the forces.
        with torch.jit.optimized_execution(False):  # type: ignore[attr-defined]  # public
            return self._forward(element_index, edges, vectors, radius)

    def _forward(
        self, element_index: Tensor, edges: Tensor, vectors: Tensor, radius: float
    ) -> Atomwise:
        # mace's edges run from sender to receiver, and the receiver is the centre.
        sender_receiver = edges.flip(0)
        elements = nn.functional.one_hot(element_index, self.n_elements).to(vectors.dtype)
        angular = self.spherical_harmonics(-vectors)
        lengths = vectors.norm(dim=1, keepdim=True)
        envelope = self.cutoff_fn(lengths * (self.cutoff / radius))
        radial = self.bessel_fn(lengths) * envelope
        atoms = self.node_embedding(elements)
        energy, features = vectors.new_zeros(len(atoms)), []
        for interaction, product, readout in zip(
            self.interactions, self.products, self.readouts, strict=True
        ):
            messages, skipped = interaction(
                node_attrs=elements,
                node_feats=atoms,
                edge_attrs=angular,
                edge_feats=radial,
                edge_index=sender_receiver,
            )
            atoms = product(node_feats=messages, sc=skipped, node_attrs=elements)
            energy = energy + readout(atoms).squeeze(1)
            features.append(atoms[:, : self.channels])
        return Atomwise(energy, tuple(features))

    def element_slices(self, parameters: Mapping[str, Tensor]) -> Iterator[Tensor]:
        """Yield the embedding, the skip connections and the product weights."""
        for name, values in parameters.items():
            if name.startswith("node_embedding."):
                yield values.view(self.n_elements, -1)
            elif ".symmetric_contractions." in name:
                yield values
            elif ".skip_tp." in name:
                # One weight (features, elements, features) per path, laid end to end.
                skip: Any = self.get_submodule(name.removesuffix(".weight"))
                shapes = [path.path_shape for path in skip.instructions]
                sizes = [torch.Size(shape).numel() for shape in shapes]
                for weight, shape in zip(torch.split(values, sizes), shapes, strict=True):
                    yield weight.view(shape).movedim(1, 0)


def _build(architecture: Architecture, shape: MaceShape) -> Any:
    """Return a mace.modules.MACE, of which we take the parts."""
    try:
        modules = import_mace()
    except ModuleNotFoundError as error:
        raise MissingExtraError("a 'mace' network", str(error.name), "mace") from error
    from e3nn import o3
    from mace.tools.compile import disable_e3nn_codegen

    symmetries = [
        f"{shape.channels}x{ell}{'eo'[ell % 2]}" for ell in range(shape.max_l + 1)
    ]
    block = modules.RealAgnosticResidualInteractionBlock
    elements = list(architecture.elements)
    # Modules compiled to TorchScript take longer to build and are hardly faster.
    with disable_e3nn_codegen():
        return modules.MACE(
            r_max=architecture.cutoff,
            num_bessel=shape.bessel,
            num_polynomial_cutoff=shape.envelope_power,
            max_ell=shape.max_ell,
            interaction_cls=block,
            interaction_cls_first=block,
            num_interactions=shape.blocks,
            num_elements=len(elements),
            hidden_irreps=o3.Irreps("+".join(symmetries)),
            MLP_irreps=o3.Irreps(f"{shape.readout_width}x0e"),
            atomic_energies=torch.zeros(len(elements)).numpy(),
            avg_num_neighbors=shape.mean_neighbours,
            atomic_numbers=elements,
            correlation=shape.correlation,
            gate=nn.functional.silu,
            radial_MLP=list(shape.radial_widths),
            # The reduced couplings need another package, and other weights.
            use_reduced_cg=False,
        )
