"""The embedded set: roles, sizes, determinism, and that nothing leaks."""

from collections import Counter, defaultdict
from functools import cache
from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray
from processes import python

from mlffbench.core.card import DataCard, elements
from mlffbench.core.split import Source, Split, check_splits
from mlffbench.datasets.catalog import DATASETS
from mlffbench.datasets.sets.mini.splits import (
    prior_geometries,
    prior_source,
    reference_source,
    splits,
)

SIZES = {
    ("train", "train"): (333, 82),
    ("id_conformers", "id_val"): (40, 40),
    ("id_conformers", "id_test"): (39, 39),
    ("id_molecules", "id_val"): (41, 10),
    ("id_molecules", "id_test"): (76, 21),
    ("ood_elements", "ood_val"): (47, 10),
    ("ood_elements", "ood_test"): (83, 22),
    ("ood_force_norm", "ood_val"): (40, 11),
    ("ood_force_norm", "ood_test"): (71, 21),
    ("ood_connectivity", "ood_val"): (44, 11),
    ("ood_connectivity", "ood_test"): (69, 20),
    ("ood_dimers", "ood_val"): (54, 11),
    ("ood_dimers", "ood_test"): (92, 20),
    ("ood_extreme", "ood_val"): (37, 10),
    ("ood_extreme", "ood_test"): (74, 20),
    ("ood_composition", "ood_val"): (30, 10),
    ("ood_composition", "ood_test"): (60, 20),
    ("ood_radicals", "ood_val"): (30, 10),
    ("ood_radicals", "ood_test"): (63, 21),
}
NEAR_DUPLICATE = 0.01
"""Å: structures of one composition whose every sorted distance agrees to this are one."""

Fingerprint = tuple[tuple[int, ...], NDArray[np.float64]]


@pytest.fixture(scope="module")
def every_split() -> dict[tuple[str, str], Split]:
    return {(split.name, split.role): split for split in splits()}


@cache
def fingerprints(source: Source) -> list[Fingerprint]:
    """Return composition and sorted distances per pair of elements, of every structure.

    Sorted distances of two structures differ by at most what their distances differ by
    under the best renumbering: different fingerprints are different geometries.
    """
    structures = source.structures(np.arange(source.index.n_structures))
    found: list[Fingerprint] = []
    for i in range(structures.n_systems):
        atoms = (structures.system == i).numpy()
        numbers = structures.numbers.numpy()[atoms]
        positions = structures.positions.numpy()[atoms]
        by_pair: dict[tuple[int, ...], list[float]] = defaultdict(list)
        for a, b in combinations(range(len(numbers)), 2):
            pair = tuple(sorted((int(numbers[a]), int(numbers[b]))))
            by_pair[pair].append(float(np.linalg.norm(positions[a] - positions[b])))
        distances = [np.sort(by_pair[pair]) for pair in sorted(by_pair)]
        found.append((tuple(sorted(numbers.tolist())), np.concatenate(distances)))
    return found


def closest(some: list[Fingerprint], others: list[Fingerprint]) -> float:
    """Return the smallest largest difference of sorted distances, in Å."""
    return min(
        float(np.abs(distances - other).max())
        for composition, distances in some
        for other_composition, other in others
        if composition == other_composition
    )


def test_sizes_and_roles(every_split: dict[tuple[str, str], Split]) -> None:
    found = {
        key: (len(split.rows), len(set(split.groups)))
        for key, split in every_split.items()
    }
    assert found == SIZES


def test_every_labelled_structure_is_in_exactly_one_split(
    every_split: dict[tuple[str, str], Split],
) -> None:
    count = Counter(row for split in every_split.values() for row in split.rows.tolist())
    index = reference_source().index
    spelt = {"CNC(C)=O", "OCCN"}  # trained molecules under another spelling, left out
    left_out = [
        row for row in range(index.n_structures) if index.keys[index.record[row]] in spelt
    ]
    assert set(count) == set(range(index.n_structures)) - set(left_out)
    assert len(left_out) == 11
    assert set(count.values()) == {1}


def test_no_molecule_is_trained_under_another_spelling(
    every_split: dict[tuple[str, str], Split],
) -> None:
    chem = pytest.importorskip("rdkit.Chem")

    def canonical(split: Split) -> set[str]:
        found = set()
        index = split.source.index
        for record in set(index.record[split.rows].tolist()):
            molecule = chem.MolFromSmiles(index.smiles[record])
            for atom in molecule.GetAtoms():
                atom.SetAtomMapNum(0)
            found.add(chem.MolToSmiles(chem.RemoveHs(molecule)))
        return found

    trained = canonical(every_split["train", "train"])
    for split in every_split.values():
        if split.role != "train" and not split.shares_molecules:
            assert canonical(split).isdisjoint(trained), split.name


def test_no_split_leaks(every_split: dict[tuple[str, str], Split]) -> None:
    check_splits(list(every_split.values()))
    shares = {name for (name, _), split in every_split.items() if split.shares_molecules}
    assert shares == {"id_conformers", "ood_force_norm"}


def test_val_and_test_share_no_molecule(
    every_split: dict[tuple[str, str], Split],
) -> None:
    for (name, role), split in every_split.items():
        if role.endswith("_val"):
            test = every_split[name, role.replace("_val", "_test")]
            assert set(split.groups).isdisjoint(test.groups)


def test_no_test_geometry_is_close_to_a_trained_one(
    every_split: dict[tuple[str, str], Split],
) -> None:
    everything = fingerprints(reference_source())
    train = every_split["train", "train"].rows
    held = np.setdiff1d(np.arange(len(everything)), train)
    trained = [everything[row] for row in train]
    held_out = [everything[row] for row in held]
    further = fingerprints(prior_geometries())
    assert closest(held_out, trained) > NEAR_DUPLICATE
    assert closest(held_out, further) > NEAR_DUPLICATE
    assert closest(trained, trained) == 0.0, "the measure finds what is there"


def test_further_geometries_are_of_trained_molecules_only() -> None:
    index = prior_geometries().index
    assert index.n_structures == 408
    trained = {group for split in splits()[:1] for group in split.groups}
    assert set(index.groups) == trained


def test_prior_source_has_the_same_rows() -> None:
    reference, prior = reference_source().index, prior_source().index
    assert list(reference.keys) == list(prior.keys)
    assert list(reference.groups) == list(prior.groups)
    assert (reference.record == prior.record).all()


def test_shifts_are_what_they_say(every_split: dict[tuple[str, str], Split]) -> None:
    train = every_split["train", "train"].structures
    known = set(train.numbers.tolist())
    assert known == elements("H C N O")
    for role in ("ood_val", "ood_test"):
        foreign = every_split["ood_elements", role].structures
        for i in range(foreign.n_systems):
            assert set(foreign.numbers[foreign.system == i].tolist()) - known
        assert _median_force_norm(every_split["ood_force_norm", role]) > 1.7 * (
            _median_force_norm(every_split["train", "train"])
        )
        dimers = every_split["ood_dimers", role]
        assert all("." in name for name in dimers.groups)
        assert every_split["ood_extreme", role].structures.sizes.min() >= 13
        radicals = every_split["ood_radicals", role].structures
        assert set(radicals.multiplicity.tolist()) == {2}
    for split in every_split.values():
        if split.name != "ood_radicals":
            assert set(split.structures.multiplicity.tolist()) == {1}
    assert train.sizes.median() <= 9
    assert not any("." in name for name in every_split["train", "train"].groups)


def _median_force_norm(split: Split) -> float:
    structures, norms = split.structures, split.reference.forces.norm(dim=1)
    means = [norms[structures.system == i].mean() for i in range(structures.n_systems)]
    return float(np.median(means))


def test_controls_and_rules(every_split: dict[tuple[str, str], Split]) -> None:
    for (name, role), split in every_split.items():
        assert len(split.rule) > 20
        expected = {"ood_force_norm": "id_conformers"}.get(name, "id_molecules")
        assert split.control == (expected if role.startswith("ood") else "")


def test_splits_are_the_same_in_another_process(
    every_split: dict[tuple[str, str], Split],
) -> None:
    command = (
        "from mlffbench.datasets.sets.mini.splits import splits\n"
        "print(*(split.sha256 for split in splits()))"
    )
    run = python("-c", command)
    assert run.stdout.split() == [split.sha256 for split in every_split.values()]


def test_catalogue_row_tells_the_truth(
    every_split: dict[tuple[str, str], Split],
) -> None:
    assert DATASETS.load("mini") is splits
    card = DATASETS.entry("mini").card
    assert isinstance(card, DataCard)
    index = reference_source().index
    assert card.elements == frozenset().union(*index.elements)
    assert set(index.charge.tolist()) == {0}
    assert (int(index.n_atoms.min()), int(index.n_atoms.max())) == (3, 23)
    molecules = {group for split in every_split.values() for group in split.groups}
    assert (
        f"{index.n_structures} labelled structures of {len(molecules)} mol" in card.size
    )
    assert f"{prior_geometries().index.n_structures} further" in card.size
