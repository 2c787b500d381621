import json
from pathlib import Path

import pytest
from pair_fields import line

import mlffbench
from mlffbench.core.errors import DataError, StoreError
from mlffbench.core.spectrum import SpectralReference
from mlffbench.core.structures import Structures
from mlffbench.datasets.sets.mini.splits import splits
from mlffbench.models.twoheaded.checkpoint import read_manifest
from mlffbench.refine.radius.reference import reference_of, remembered
from mlffbench.refine.refiner import Training

CHECKPOINTS = Path(mlffbench.__file__).parent / "models" / "twoheaded" / "shipped"


class Book:
    """Training structures that count how often they are read."""

    def __init__(self, *structures: Structures) -> None:
        self.structures, self.readings = structures, 0

    def read(self) -> Structures:
        self.readings += 1
        return Structures.concatenate(self.structures)

    def as_training(self, sha256: str = "a" * 64) -> Training:
        return Training(name="toy/train", sha256=sha256, read=self.read)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLFFBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "spectra"


def test_it_is_that_of_the_structures_and_read_once(cache: Path) -> None:
    book = Book(line(0, 1.5, 3.0), line(0, 1))
    first = reference_of(book.as_training(), 2.0)
    assert first.spectrum == SpectralReference.of(book.read(), 2.0)
    assert first.origin == "2 structures of toy/train"
    again = reference_of(book.as_training(), 2.0)
    assert again == first
    assert book.readings == 2  # one of them is this test's own
    [file] = cache.iterdir()
    assert json.loads(file.read_text())["n_structures"] == 2


def test_other_structures_and_other_cutoffs_are_other_references(cache: Path) -> None:
    book = Book(line(0, 1.5, 3.0))
    wide = reference_of(book.as_training(), 3.5).spectrum
    narrow = reference_of(book.as_training(), 2.0).spectrum
    reference_of(book.as_training("b" * 64), 2.0)
    assert book.readings == 3
    assert wide.mean != narrow.mean
    assert len(list(cache.iterdir())) == 3


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"cutoff": NaN}', b"\xff\xfe"])
def test_a_damaged_file_is_computed_again(cache: Path, content: bytes) -> None:
    book = Book(line(0, 1))
    expected = reference_of(book.as_training(), 2.0)
    [file] = cache.iterdir()
    file.write_bytes(content)
    assert reference_of(book.as_training(), 2.0) == expected
    assert reference_of(book.as_training(), 2.0) == expected
    assert book.readings == 2


def test_an_empty_split_is_one_sentence(cache: Path) -> None:
    book = Book(line(0, 1).select([]))
    with pytest.raises(DataError, match="without structures has no mean spectrum"):
        reference_of(book.as_training(), 2.0)
    assert not cache.exists()


def test_a_cache_that_cannot_be_written_is_one_sentence(cache: Path) -> None:
    cache.parent.mkdir()
    cache.write_text("in the way")
    with pytest.raises(StoreError, match="cannot create the folder"):
        reference_of(Book(line(0, 1)).as_training(), 2.0)


def test_a_model_that_remembers_is_believed() -> None:
    class Model:
        training_spectrum: SpectralReference | None = SpectralReference.of(line(0, 1), 2)

    found = remembered(Model())
    assert found is not None
    assert found.spectrum is Model.training_spectrum
    assert found.origin == "1 training structures, as the model remembers them"
    Model.training_spectrum = None
    assert remembered(Model()) is None
    assert remembered(object()) is None


@pytest.mark.parametrize(
    "name", ["mini-mace", "mini-mace-scratch", "mini-schnet", "mini-gemnet"]
)
def test_a_shipped_model_remembers_the_graphs_of_its_training_split(name: str) -> None:
    manifest = read_manifest(CHECKPOINTS / name)
    [train] = [split for split in splits() if split.role == "train"]
    known = SpectralReference.from_json(manifest.history["spectral_reference"])
    assert known is not None
    assert (known.cutoff, known.n_structures) == (4.5, len(train.rows))
    computed = SpectralReference.of(train.structures, known.cutoff)
    assert known.mean == pytest.approx(computed.mean, abs=1e-9)
    assert known.quantiles == pytest.approx(computed.quantiles, abs=1e-9)
