from dataclasses import replace

import numpy as np
import pytest
import torch
from diagnostic_samples import shaken
from torch import Tensor

from mlffbench.core.card import ModelCard
from mlffbench.core.errors import StoreError
from mlffbench.core.spectrum import Spectra
from mlffbench.core.structures import Structures
from mlffbench.diagnostics import feature_room
from mlffbench.diagnostics.diagnostic import AtomFeatures, Fit, Sample
from mlffbench.diagnostics.distances import connectivity, features
from mlffbench.diagnostics.distances.connectivity import quantile_distance
from mlffbench.diagnostics.distances.mahalanobis import embedding_mahalanobis
from mlffbench.diagnostics.distances.neighbours import embedding_distance
from mlffbench.diagnostics.evidence import with_embedding
from mlffbench.diagnostics.feature_room import FeatureRoom, give_back
from mlffbench.models.physics.zero import ZeroForceField

MOLECULES = ["CH3OH", "C2H6", "H2O", "CH4"] * 5


def in_a_file(sample: Sample) -> Sample:
    """Return a sample whose features lie in a file."""
    assert sample.embedding is not None
    values = sample.embedding.values
    room = FeatureRoom.of(*values.shape)
    assert room.mapped is not None
    assert torch.isnan(room.values).all()
    room.values[:] = values
    give_back(room.mapped)
    kept = AtomFeatures(room.values, sample.embedding.origin, mapped=room.mapped)
    return replace(sample, embedding=kept)


@pytest.mark.parametrize("fit", [embedding_distance, embedding_mahalanobis])
def test_distances_are_the_same_from_a_file_and_in_pieces(
    fit: Fit, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, test = shaken(MOLECULES), shaken(MOLECULES, seed=1, scale=0.2)
    whole = fit(train)
    measured = whole.measure(test)
    monkeypatch.setattr(feature_room, "MOST_HELD", 0)
    monkeypatch.setattr(features, "PIECE_BYTES", 8 * 4 * 7)  # seven atoms
    pieces = fit(in_a_file(train))
    np.testing.assert_allclose(pieces.train.values, whole.train.values, rtol=1e-4)
    found = pieces.measure(in_a_file(test))
    np.testing.assert_allclose(found.values, measured.values, rtol=1e-4)


def test_spectra_are_computed_on_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    train, test = shaken(MOLECULES), shaken(MOLECULES, seed=1, scale=0.4)
    whole = quantile_distance(train).measure(test)
    seen: list[int] = []
    pieces = connectivity._pieces

    def counted(graphs: object) -> list[Spectra]:
        made = list(pieces(graphs))  # type: ignore[arg-type]
        seen.extend(len(one.sizes) for one in made)
        return made

    monkeypatch.setattr(connectivity, "_AT_A_TIME", 8)
    monkeypatch.setattr(connectivity, "_pieces", counted)
    found = quantile_distance(train).measure(test)
    assert seen == [8, 8, 4] * 2
    assert found.values.tolist() == whole.values.tolist()


def test_a_disk_without_room_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_room, "MOST_HELD", 0)
    monkeypatch.setattr(feature_room.tempfile, "tempdir", "/dev/full")
    with pytest.raises(StoreError, match=r"no room in /dev/full for .* TMPDIR"):
        FeatureRoom.of(3, 2)


def test_a_batch_of_another_width_is_not_spread_over_all_features() -> None:
    train, widths = shaken(MOLECULES), iter([3, 1])
    card = ModelCard(elements=frozenset({1, 6, 8}))

    class Odd(ZeroForceField):
        def embed(self, structures: Structures) -> Tensor:
            return torch.zeros(structures.n_atoms, next(widths))

    n_atoms = train.structures.n_atoms // 2 + 1
    found = with_embedding(
        replace(train, embedding=None),
        Odd(),
        card,
        device="cpu",
        dtype=torch.float64,
        batch_atoms=n_atoms,
    )
    assert "1 features per atom of one batch, 3 of another" in found.absent["embedding"]


def test_atoms_are_spread_over_more_than_float32_can_count() -> None:
    n = (1 << 24) + 4
    numbers = torch.ones(n, dtype=torch.bool)
    atoms = features.Atoms(AtomFeatures(numbers[:0], ""), *[numbers] * 3)
    kept = atoms.spread_over(numbers, 3)
    assert kept.tolist() == [0, n // 2 - 1, n - 1]
