"""Samples that names decide: the same in every process, and of many molecules."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence


def in_turn(groups: Sequence[str], ids: Sequence[str], seed: int = 0) -> list[int]:
    """Return all places: of every molecule the first, then of every one the second.

    Molecules, and the conformers of each, are ordered by a checksum of their names and
    the seed. The first n places are of as many molecules as n structures can have.

    Args:
        groups: The molecule of each structure.
        ids: Its name.
        seed: Another one gives another order.

    Example:
        >>> sorted(in_turn(["a", "a", "b"], ["a1", "a2", "b1"])[:2])[-1]
        2
    """
    members: dict[str, list[int]] = defaultdict(list)
    for place in sorted(range(len(ids)), key=lambda one: digest(seed, ids[one])):
        members[groups[place]].append(place)
    turns = [
        (turn, digest(seed, group), place)
        for group, places in members.items()
        for turn, place in enumerate(places)
    ]
    return [place for _, _, place in sorted(turns)]


def digest(seed: int, name: str) -> str:
    """Return a checksum of a name and a seed, to order names by."""
    return hashlib.sha256(f"{seed}/{name}".encode()).hexdigest()
