import hashlib
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from mlffbench.core.errors import DataError
from mlffbench.core.labels import Labels
from mlffbench.core.split import Index, Shift, Split, check_splits, checksum_of
from mlffbench.core.structures import Structures

SHIFT = Shift("size", "more atoms than any training structure")
MOLECULES = ["water", "methane", "ethane", "propane"]
N_CONFORMERS = 3


@dataclass(frozen=True)
class Library:
    """A source in memory: four molecules of 3, 4, 5, 6 atoms, three conformers each."""

    sha256: str = "0" * 64
    groups: tuple[str, ...] = tuple(MOLECULES)
    level_of_theory: str = "none"

    @property
    def index(self):
        n = len(MOLECULES)
        return Index(
            keys=MOLECULES,
            groups=self.groups,
            smiles=[""] * n,
            subsets=[""] * n,
            elements=[frozenset({1})] * n,
            n_atoms=np.arange(3, 3 + n),
            charge=np.zeros(n, dtype=np.int64),
            multiplicity=np.ones(n, dtype=np.int64),
            periodic=np.zeros(n, dtype=bool),
            record=np.repeat(np.arange(n), N_CONFORMERS),
            conformer=np.tile(np.arange(N_CONFORMERS), n),
        )

    def structures(self, rows):
        sizes = self.index.n_atoms[self.index.record[rows]]
        return Structures.build(
            [torch.zeros((int(size), 3)).double() for size in sizes],
            [torch.ones(int(size)) for size in sizes],
            ids=self.index.ids(rows),
        )

    def labels(self, rows):
        n_atoms = int(self.index.n_atoms[self.index.record[rows]].sum())
        return Labels(
            energy=torch.from_numpy(rows).double(),
            forces=torch.zeros((n_atoms, 3)).double(),
            source=self.level_of_theory,
        )


def split(name, role, rows, *, source=None, shift=None, **more):
    if role.startswith("ood") and shift is None:
        shift = SHIFT
    return Split(
        name=name,
        role=role,
        source=source or Library(),
        rows=np.array(rows, dtype=np.int64),
        rule="by hand",
        shift=shift,
        **more,
    )


def test_a_split_reads_its_rows():
    some = split("ood_size", "ood_test", [0, 4, 11])
    assert some.ids == ["water/0", "methane/1", "propane/2"]
    assert some.groups == ["water", "methane", "propane"]
    assert some.structures.ids == tuple(some.ids)
    assert some.structures.sizes.tolist() == [3, 4, 6]
    assert some.reference.energy.tolist() == [0, 4, 11]
    digest = hashlib.sha256(b"water/0\nmethane/1\npropane/2").hexdigest()
    assert some.sha256 == digest


def test_rows_of_records_are_in_file_order():
    assert Library().index.rows_of([2, 0]).tolist() == [0, 1, 2, 6, 7, 8]
    assert Library().index.n_structures == 12


@pytest.mark.parametrize("name", ["val", "test"])
def test_a_split_says_whether_it_is_id_or_ood(name):
    with pytest.raises(DataError, match=f"may not be called '{name}'"):
        split(name, "id_test", [0])


def test_ood_splits_and_only_they_state_a_shift():
    with pytest.raises(DataError, match="OOD splits, and only they, state a shift"):
        Split(name="x", role="ood_test", source=Library(), rows=np.array([0]), rule="")
    with pytest.raises(DataError, match="OOD splits, and only they, state a shift"):
        split("x", "train", [0], shift=SHIFT)


def test_disjoint_splits_pass():
    check_splits(
        [
            split("train", "train", [0, 1, 2]),
            split("id", "id_test", [3, 4, 5]),
            split("ood_size", "ood_val", [6, 7, 8]),
            split("ood_size", "ood_test", [9, 10, 11]),
        ]
    )


@pytest.mark.parametrize("role", ["id_val", "id_test", "ood_val", "ood_test"])
def test_a_structure_in_train_and_elsewhere_is_a_leak(role):
    splits = [split("held_out", role, [5, 6]), split("train", "train", [0, 5])]
    with pytest.raises(
        DataError, match=r"1 structures of split 'held_out' .*'methane/2'"
    ):
        check_splits(splits)


def test_a_reason_does_not_excuse_a_shared_structure():
    splits = [
        split("train", "train", [0, 1]),
        split("hot", "ood_test", [1, 2], shares_molecules="hotter conformers"),
    ]
    with pytest.raises(DataError, match="1 structures of split 'hot' are in train"):
        check_splits(splits)


def test_a_shared_molecule_needs_a_reason():
    train = split("train", "train", [0, 3])
    with pytest.raises(DataError, match=r"1 molecules of split 'hot' .*'water'; if that"):
        check_splits([train, split("hot", "ood_test", [1])])
    check_splits([train, split("hot", "ood_test", [1], shares_molecules="hotter")])


def test_every_train_split_counts():
    splits = [
        split("train", "train", [0]),
        split("more", "train", [3]),
        split("id", "id_test", [4]),
    ]
    with pytest.raises(DataError, match="molecules of split 'id' are in train"):
        check_splits(splits)


def test_the_same_id_in_another_file_is_another_structure():
    other = Library(sha256="1" * 64, groups=("a", "b", "c", "d"))
    check_splits(
        [split("train", "train", [0]), split("id", "id_test", [0], source=other)]
    )


def test_the_same_molecule_in_another_file_is_a_leak():
    other = Library(sha256="1" * 64)
    splits = [split("train", "train", [0]), split("id", "id_test", [1], source=other)]
    with pytest.raises(DataError, match="'water'"):
        check_splits(splits)


def test_a_name_appears_once_per_role():
    splits = [split("id", "id_test", [0]), split("id", "id_test", [3])]
    with pytest.raises(DataError, match="'id' appears twice with role 'id_test'"):
        check_splits(splits)


def test_tuning_may_not_see_the_molecules_of_the_test_half():
    halves = [split("ood_size", "ood_val", [0, 1]), split("ood_size", "ood_test", [2, 3])]
    with pytest.raises(DataError, match=r"e\.g\. 'water'"):
        check_splits(halves)
    check_splits([halves[0], split("ood_size", "ood_test", [3, 4])])


def test_a_checksum_of_lines_is_that_of_their_text():
    lines = [f"molecule {number}/0" for number in range(25_000)]
    expected = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    assert checksum_of(iter(lines)) == expected
    assert checksum_of([]) == hashlib.sha256(b"").hexdigest()
