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

CUTOFF = 5.0
"""Reach in Å."""
N_RADIAL, N_ANGULAR = 4, 3
"""Radial functions, and the highest angular momentum."""


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
    rows = []
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
    for index, single in enumerate(singles(structures)):
        maker = makers[bool(single.pbc.any())]
        size = len(single.numbers), maker.get_number_of_features()
        if index in reasons:
            rows.append(np.full(size, np.nan))
            continue
        atoms = Atoms(single.numbers, single.positions, cell=single.cell, pbc=single.pbc)
        found = np.asarray(maker.create(atoms)).reshape(size)
        length = np.linalg.norm(found, axis=1, keepdims=True)
        rows.append(np.divide(found, length, out=np.zeros(size), where=length > 0))
    width = makers[False].get_number_of_features()
    values = torch.from_numpy(np.concatenate([np.zeros((0, width)), *rows]))
    return AtomFeatures(values, f"SOAP within {CUTOFF:g} Å", reasons)
