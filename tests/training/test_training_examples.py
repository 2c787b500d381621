import pytest
import torch

from mlffbench.core.errors import DataError
from mlffbench.core.labels import Labels
from mlffbench.core.structures import Structures
from mlffbench.training.examples import (
    Examples,
    Loader,
    batches,
    fit_baseline,
    has_label,
)


def molecules(compositions: list[list[int]]) -> Structures:
    generator = torch.Generator().manual_seed(0)
    return Structures.build(
        [
            torch.randn(len(c), 3, generator=generator, dtype=torch.float64)
            for c in compositions
        ],
        [torch.tensor(c) for c in compositions],
        ids=[f"m{i}" for i in range(len(compositions))],
    )


def labelled(structures: Structures, energy: list[float], **failures: str) -> Labels:
    generator = torch.Generator().manual_seed(1)
    forces = torch.randn(structures.n_atoms, 3, generator=generator, dtype=torch.float64)
    return Labels(
        energy=torch.tensor(energy, dtype=torch.float64),
        forces=forces,
        source="hand",
        failures={int(key[1:]): why for key, why in failures.items()},
    )


def test_atomic_energies_are_recovered_and_failures_ignored() -> None:
    structures = molecules([[1, 1, 8], [6, 1, 1, 1, 1], [6, 8], [8, 8], [7, 7]])
    energy = [2 * -1.0 - 8.0, -6.0 - 4.0, -14.0, -16.0, 1e6]
    labels = labelled(structures, energy, m4="SCF")
    fitted = fit_baseline(structures, labels)
    assert sorted(fitted.atomic_energies) == [1, 6, 8]
    assert fitted.atomic_energies == pytest.approx({1: -1.0, 6: -6.0, 8: -8.0})
    used = labels.forces[: -len([7, 7])]
    assert fitted.scale == pytest.approx(float(used.square().mean().sqrt()))


def test_nothing_to_fit_is_said() -> None:
    structures = molecules([[1, 1]])
    with pytest.raises(DataError, match="no training structure has a label"):
        fit_baseline(structures, labelled(structures, [0.0], m0="SCF"))


def test_a_loader_takes_the_same_batches_as_select() -> None:
    structures = molecules([[1], [6, 1], [8, 1, 1], [7]])
    examples = Examples(
        structures=structures,
        labels={"ref": labelled(structures, [1.0, 2, 3, 4], m1="x")},
    )
    batch = Loader(examples).batch([2, 1])
    expected = structures.select([2, 1])
    for name in ("positions", "numbers", "system", "charge", "cell", "pbc"):
        assert torch.equal(getattr(batch.structures, name), getattr(expected, name))
    assert batch.structures.ids == expected.ids
    labels = batch.labels["ref"]
    assert labels.energy.tolist() == [3.0, 2.0]
    assert torch.equal(labels.forces[:3], examples.labels["ref"].forces[3:6])
    assert dict(labels.failures) == {1: "x"}


def test_merging_marks_labels_that_only_some_have() -> None:
    first, second = molecules([[1], [6]]), molecules([[8]])
    merged = Examples.merge(
        [
            Examples(
                structures=first,
                labels={
                    "ref": labelled(first, [1.0, 2.0]),
                    "prior": labelled(first, [3.0, 4.0]),
                },
            ),
            Examples(structures=second, labels={"prior": labelled(second, [5.0])}),
        ]
    )
    assert has_label(merged.labels["ref"]).tolist() == [True, True, False]
    assert merged.labels["prior"].energy.tolist() == [3.0, 4.0, 5.0]


def test_only_structures_with_a_label_are_usable() -> None:
    structures = molecules([[1], [6], [8]])
    examples = Examples(
        structures=structures, labels={"ref": labelled(structures, [1.0, 2, 3], m1="x")}
    )
    assert examples.usable().structures.ids == ("m0", "m2")


def test_every_structure_is_in_one_batch_and_the_order_follows_the_seed() -> None:
    def order(seed: int) -> list[list[int]]:
        return list(batches(10, 4, torch.Generator().manual_seed(seed)))

    assert sorted(place for batch in order(0) for place in batch) == list(range(10))
    assert [len(batch) for batch in order(0)] == [4, 4, 2]
    assert order(0) == order(0)
    assert order(0) != order(1)
