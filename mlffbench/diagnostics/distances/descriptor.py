"""A fixed description of atoms, for models without an embedding: SOAP (dscribe).

Smooth overlap of atomic positions, Bartók, Kondor & Csányi, Phys. Rev. B 87, 184115
(2013), in the compression "mu1nu1" (Darby et al., npj Comput. Mater. 8, 166 (2022)), and
normalised, so distances lie between 0 and √2.
"""

from collections.abc import Sequence

import numpy as np
import torch

from mlffbench.core.assembly import singles
from mlffbench.core.errors import MissingExtraError
from mlffbench.core.guards.geometry import impossible
from mlffbench.core.structures import Structures
from mlffbench.diagnostics.diagnostic import AtomFeatures
from mlffbench.diagnostics.feature_room import FeatureRoom, give_back

CUTOFF = 5.0
"""Reach in Å."""
N_RADIAL, N_ANGULAR = 4, 3
"""Radial functions, and the highest angular momentum."""
_AT_A_TIME = 5000
"""Structures in arrays of their own at once."""


def describe(structures: Structures, elements: Sequence[int]) -> AtomFeatures:
    """Return the descriptor of every atom.

    Args:
        structures: Any batch, of molecules and periodic structures alike.
        elements: Atomic numbers that have features: those of all samples to be compared.

    Raises:
        MissingExtraError: dscribe is not installed.
    """
    try:
        from ase import Atoms
        from dscribe.descriptors import SOAP
    except ModuleNotFoundError as error:
        what = "the fixed descriptor of atoms"
        raise MissingExtraError(what, error.name or "dscribe", "descriptor") from error
    makers = {
        periodic: SOAP(
            species=list(elements),
            r_cut=CUTOFF,
            n_max=N_RADIAL,
            l_max=N_ANGULAR,
            periodic=periodic,
            compression={"mode": "mu1nu1", "species_weighting": None},
        )
        for periodic in (False, True)
    }
    reasons = impossible(structures)
    width = makers[False].get_number_of_features()
    room = FeatureRoom.of(structures.n_atoms, width)
    stop = 0
    for start in range(0, structures.n_systems, _AT_A_TIME):
        rows = range(start, min(start + _AT_A_TIME, structures.n_systems))
        for index, single in zip(rows, singles(structures.select(rows)), strict=True):
            size = len(single.numbers), width
            stop += len(single.numbers)
            if index in reasons:
                continue
            atoms = Atoms(
                single.numbers, single.positions, cell=single.cell, pbc=single.pbc
            )
            maker = makers[bool(single.pbc.any())]
            found = np.asarray(maker.create(atoms)).reshape(size)
            length = np.linalg.norm(found, axis=1, keepdims=True)
            found = np.divide(found, length, out=np.zeros(size), where=length > 0)
            room.values[stop - len(found) : stop] = torch.from_numpy(found)
        give_back(room.mapped)
    origin = f"SOAP within {CUTOFF:g} Å"
    return AtomFeatures(room.values, origin, reasons, mapped=room.mapped)
