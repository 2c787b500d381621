"""ANI-1x: the ensemble whose weights travel inside torchani 2.2.4."""

import copy
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

from mlffbench.core.assembly import predict_rest, refusals, require_supported
from mlffbench.core.errors import ModelError
from mlffbench.core.forcefield import CutoffScope
from mlffbench.core.labels import Labels
from mlffbench.core.model_options import ModelOptions
from mlffbench.core.plugins.install import install_line
from mlffbench.core.structures import Structures
from mlffbench.core.units import HARTREE
from mlffbench.models.cards import ANI_1X
from mlffbench.models.pretrained.ani_ensemble import Ensemble, stack_networks

N_NETWORKS = 8
MAX_PADDED_PAIRS = {"cpu": 25_000, "cuda": 1_000_000}
"""Atom pairs computed at once, padding included: on a CPU what stays in its caches (200
molecules of 10 atoms; ten times as many take twice as long), elsewhere some 0.1 GB."""
RADIAL_CUTOFF, ANGULAR_CUTOFF = 5.2, 3.5
"""Radii of the radial and of the angular terms, in Å."""
PADDING = -1
"""torchani's species of an atom that is not there."""
_FOLDER = "resources/ani-1x_8x"
_CONSTANTS = "rHCNO-5.2R_16-3.5A_a4-8.params"


class _Padded(NamedTuple):
    """Structures side by side: shapes (n, n_max) and (n, n_max, 3)."""

    atoms: Tensor
    species: Tensor
    positions: Tensor


class AniForceField:
    """ANI-1x, batched by padding; the networks run on the real atoms only.

    Args:
        aev_computer: torchani's module that turns positions into atomic environments.
        ensemble: The networks of all elements.
        self_energies: Shape (4,), float64, in hartree: one per element.
        device: Where to compute.
        dtype: Floating-point type to compute in.

    Attributes:
        cutoff: Radius of the radial terms, in Å; that of the angular terms is 3.5 Å or,
            where it is less, the same.
        cutoff_scope: Always ``"graph+envelope"``: torchani lists neighbours up to where
            its cosine envelope vanishes, so the two move together.
    """

    name = "ani-1x"
    elements = ANI_1X.elements
    card = ANI_1X
    cutoff_scope: CutoffScope = "graph+envelope"

    def __init__(
        self,
        aev_computer: torch.nn.Module,
        ensemble: Ensemble,
        self_energies: Tensor,
        *,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self._aev_computer: Any = aev_computer.to(device=device, dtype=dtype)
        self.cutoff = RADIAL_CUTOFF
        self._ensemble = ensemble.to(device=device, dtype=dtype)
        self._self_energies = self_energies.to(device=device)
        self._device, self._dtype = device, dtype
        species = torch.full((max(self.elements) + 1,), PADDING)
        species[sorted(self.elements)] = torch.arange(len(self.elements))
        self._species = species.to(device)

    def predict(self, structures: Structures) -> Labels:
        """Return float64 energies in eV and forces in eV/Å."""
        refused = refusals(structures, self.card)
        return predict_rest(structures, refused, self._compute)

    def with_cutoff(self, cutoff: float) -> Self:
        """Return the same networks on environments of another radius in Å.

        Both envelopes end there, the angular one only where it would reach farther. The
        symmetry functions stay where they are.

        Raises:
            ModelError: The radius is not positive, or above the trained one, beyond which
                the networks never saw a neighbour.
        """
        if not 0 < cutoff <= RADIAL_CUTOFF:
            msg = (
                f"'ani-1x' cannot use a cutoff of {cutoff:g} Å: it must be above 0, and "
                f"beyond the trained {RADIAL_CUTOFF:g} Å its networks never saw a "
                "neighbour"
            )
            raise ModelError(msg)
        twin = copy.copy(self)
        twin.cutoff = float(cutoff)
        twin._aev_computer = copy.copy(self._aev_computer)
        twin._aev_computer.Rcr = twin.cutoff
        twin._aev_computer.Rca = min(ANGULAR_CUTOFF, twin.cutoff)
        return twin

    def embed(self, structures: Structures) -> Tensor:
        """Return atomic environment vectors, shape (n_atoms, 384), dimensionless.

        Raises:
            ModelError: A structure has elements or a cell that ANI-1x does not know.
        """
        require_supported(structures, self.card, self.name)
        vectors = torch.zeros(
            (structures.n_atoms, self._ensemble.n_inputs), dtype=self._dtype
        ).to(self._device)
        for padded in self._padded(structures):
            real = padded.species != PADDING
            vectors[padded.atoms[real]] = self._environments(padded)[real]
        return vectors.to(structures.positions.device)

    def _compute(self, structures: Structures) -> Labels:
        shape = (structures.n_atoms, 3)
        forces = torch.zeros(shape, dtype=torch.float64, device=self._device)
        atomic = torch.zeros(structures.n_atoms, dtype=torch.float64, device=self._device)
        for padded in self._padded(structures):
            padded.positions.requires_grad_()
            vectors = self._environments(padded).flatten(0, 1)
            interaction = self._ensemble(padded.species.flatten(), vectors)
            (gradient,) = torch.autograd.grad(interaction.sum(), padded.positions)
            real = padded.species != PADDING
            atoms, interaction = padded.atoms[real], interaction.detach()[real.flatten()]
            forces[atoms] = -gradient[real].double()
            atomic[atoms] = (
                interaction.double() + self._self_energies[padded.species[real]]
            )
        energy = forces.new_zeros(structures.n_systems)
        energy.index_add_(0, structures.system.to(self._device), atomic)
        device = structures.positions.device
        return Labels(
            energy=(energy * HARTREE).to(device),
            forces=(forces * HARTREE).to(device),
            source="model:ani-1x, total energies",
        )

    def _environments(self, padded: _Padded) -> Tensor:
        """Return environment vectors, shape (n, n_max, 384); zeros for padding."""
        environments: Tensor = self._aev_computer((padded.species, padded.positions))[1]
        return environments

    def _padded(self, structures: Structures) -> Iterator[_Padded]:
        """Yield all structures, those of similar size together, within bounded memory."""
        sizes = structures.sizes.cpu()
        starts = torch.cumsum(sizes, 0) - sizes
        order = torch.argsort(sizes, stable=True).tolist()
        species = self._species[structures.numbers.to(self._device)]
        positions = structures.positions.detach().to(self._device, self._dtype)
        most = MAX_PADDED_PAIRS.get(self._device.type, MAX_PADDED_PAIRS["cuda"])
        first = 0
        for stop in range(1, len(order) + 1):
            fits = (stop + 1 - first) * int(sizes[order[stop % len(order)]]) ** 2 <= most
            if stop < len(order) and fits:
                continue
            chunk = torch.tensor(order[first:stop])
            first = stop
            column = torch.arange(int(sizes[chunk].max()))
            missing = (column >= sizes[chunk, None]).to(self._device)
            atoms = (starts[chunk, None] + column).clamp(max=structures.n_atoms - 1)
            atoms = atoms.to(self._device)
            yield _Padded(
                atoms=atoms,
                species=species[atoms].masked_fill(missing, PADDING),
                positions=positions[atoms].masked_fill(missing[:, :, None], 0.0),
            )


def load(options: ModelOptions) -> AniForceField:
    """Return ANI-1x with the weights inside the installed torchani.

    Raises:
        ModelError: The installed torchani carries no ANI-1x weights.
    """
    device, dtype = options.torch_device(), options.torch_dtype(ANI_1X)
    torchani = _import_torchani()
    folder = Path(str(torchani.__file__)).parent / _FOLDER
    if not (folder / "train0" / "networks").is_dir():
        msg = f"the installed torchani carries no ANI-1x weights in {folder}; "
        raise ModelError(msg + f"run: {install_line('ani')} (torchani 2.2.4)")
    constants = torchani.neurochem.Constants(str(folder / _CONSTANTS))
    networks = torchani.neurochem.load_model_ensemble(
        constants.species, str(folder / "train"), N_NETWORKS
    )
    shifter = torchani.neurochem.load_sae(str(folder / "sae_linfit.dat"))
    return AniForceField(
        torchani.AEVComputer(**constants),
        stack_networks([list(network.values()) for network in networks]),
        shifter.self_energies.double(),
        device=device,
        dtype=dtype,
    )


def _import_torchani() -> ModuleType:
    with warnings.catch_warnings():
        # "cuaev not installed", pkg_resources, lark's sre_parse: of no use to a user.
        warnings.simplefilter("ignore")
        import torchani
    module: ModuleType = torchani
    return module
