"""Fingerprints of geometries that do not depend on numbering, place or orientation.

A fingerprint is the list of all distances between two atoms, in Å, ordered by the pair of
elements and then by length. Renumbered, moved, turned and mirrored copies share it.
"""

import hashlib
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

RESOLUTION = 1e-3
"""Å: hashes round distances to this."""
_OFF_THE_DECIMALS = 0.2718
"""Moves the edges of rounding off the short decimals that files are full of."""
_MOST_DISTANCES = 4_000_000
"""In memory at a time."""
_ELEMENTS = 128
"""More than there are, so that a pair of elements is one number."""

Hashes = NDArray[np.int64]


def fingerprints(
    numbers: NDArray[np.int64], positions: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the fingerprint of each conformer of one molecule.

    Args:
        numbers: Shape (n_atoms,), atomic numbers.
        positions: Shape (n_conformers, n_atoms, 3), in Å.

    Returns:
        Shape (n_conformers, n_atoms · (n_atoms − 1) / 2), in Å.
    """
    # Atoms in order of element make pairs of elements contiguous.
    order = np.argsort(numbers, kind="stable")
    first, second = _pairs(len(numbers))
    ordered = positions.take(order, 1)
    vectors = ordered.take(first, 1) - ordered.take(second, 1)
    lengths = np.sqrt(np.einsum("cpx,cpx->cp", vectors, vectors))
    sorted_numbers = numbers[order]
    kinds = sorted_numbers[first] * _ELEMENTS + sorted_numbers[second]
    by_kind = np.argsort(kinds, kind="stable")
    lengths, kinds = lengths[:, by_kind], kinds[by_kind]
    for block in np.split(np.arange(len(kinds)), np.flatnonzero(np.diff(kinds)) + 1):
        if len(block) > 1:
            part = slice(int(block[0]), int(block[-1]) + 1)
            lengths[:, part] = np.sort(lengths[:, part], axis=1)
    return np.asarray(lengths, dtype=np.float64)


def geometry_hashes(
    numbers: NDArray[np.int64],
    positions: NDArray[np.float64],
    *,
    charge: int,
    multiplicity: int,
) -> Hashes:
    """Return a hash of each conformer: elements, state and rounded distances.

    Equal geometries have equal hashes; near ones have not. A distance that moved by a
    rounding error can fall to the other side of a rounding edge, so single copies written
    with fewer digits can be missed, a molecule with many conformers cannot.

    Args:
        numbers: Shape (n_atoms,), atomic numbers.
        positions: Shape (n_conformers, n_atoms, 3), in Å.
        charge: Total charge in e.
        multiplicity: 2S + 1.

    Returns:
        Shape (n_conformers,), int64.
    """
    state = repr((charge, multiplicity)).encode() + np.sort(numbers).tobytes()
    values = np.empty(len(positions), dtype=np.int64)
    n_pairs = max(len(numbers) * (len(numbers) - 1) // 2, 1)
    step = max(1, _MOST_DISTANCES // n_pairs)
    first, second = _pairs(len(numbers))
    kinds = _kinds(numbers.tobytes())
    for start in range(0, len(positions), step):
        chunk = positions[start : start + step]
        vectors = chunk.take(first, 1) - chunk.take(second, 1)
        lengths = np.sqrt(np.einsum("cpx,cpx->cp", vectors, vectors))
        steps = np.rint(lengths / RESOLUTION + _OFF_THE_DECIMALS).astype(np.int64)
        steps = np.sort(steps + kinds, axis=1)
        for number, row in enumerate(steps, start):
            digest = hashlib.blake2b(state, digest_size=8)
            digest.update(row)
            values[number] = int.from_bytes(digest.digest(), "little", signed=True)
    return values


@lru_cache(maxsize=512)
def _pairs(n_atoms: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    first, second = np.triu_indices(n_atoms, 1)
    return first, second


@lru_cache(maxsize=1)
def _kinds(raw: bytes) -> NDArray[np.int64]:
    """Return per pair of atoms its elements as a number above any rounded distance."""
    numbers = np.frombuffer(raw, dtype=np.int64)
    first, second = _pairs(len(numbers))
    low = np.minimum(numbers[first], numbers[second])
    high = np.maximum(numbers[first], numbers[second])
    return (low * _ELEMENTS + high) << 32
