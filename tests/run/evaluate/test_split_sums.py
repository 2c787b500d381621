"""A run scored a piece at a time gives the records of one scored at once."""

import json
from pathlib import Path
from typing import Any

import pytest

from mlffbench.core.errors import StoreError
from mlffbench.core.record import Record
from mlffbench.run.evaluate import split_sums
from mlffbench.run.evaluate.evaluation_score import compare_runs, score_run
from mlffbench.run.evaluate.open_run import OpenRun
from mlffbench.run.evaluate.stored import StoredRun
from mlffbench.run.folder import RunFolder, read_arrays, write_arrays
from mlffbench.run.loop import run_campaign
from mlffbench.run.request import Request, resolve


@pytest.fixture
def folders(suite_file: Path, springs: str, tmp_path: Path) -> list[RunFolder]:
    asked = Request(suite=str(suite_file), models=("zero", springs), out=tmp_path / "r")
    return run_campaign(resolve(asked)).folders


def told(records: list[Record]) -> list[dict[str, Any]]:
    """Return records without aligned energies: a matrix product rounds by its size."""
    found = [json.loads(one.model_dump_json()) for one in records]
    for record in found:
        for part in ("metrics", "gap", "paired", "against_prior"):
            record[part].pop("energy_mae_aligned", None)
    return found


def test_pieces_of_any_size_give_the_same_records(
    folders: list[RunFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = [score_run(one).records for one in folders]
    compared = compare_runs(*folders)
    assert whole[1][0].against_zero
    assert all("energy_mae_relative" in pairs for _, pairs in compared)
    for most in (1, 20):  # a structure each, so that molecules are cut; whole ones
        monkeypatch.setattr(split_sums, "PIECE_ATOMS", most)
        for folder, expected in zip(folders, whole, strict=True):
            found = score_run(folder).records
            assert told(found) == told(expected)
            for one, other in zip(found, expected, strict=True):
                aligned = [r.metrics["energy_mae_aligned"].value for r in (one, other)]
                assert aligned[0] == pytest.approx(aligned[1], rel=1e-9)
        for pairs, expected_pairs in zip(compare_runs(*folders), compared, strict=True):
            assert pairs[1].pop("energy_mae_aligned")
            assert pairs[1].items() < expected_pairs[1].items()


def test_what_is_read_in_pieces_is_what_is_read_at_once(folders: list[RunFolder]) -> None:
    run, stored = OpenRun.open(folders[1]), StoredRun.read(folders[1])
    for opened, split in zip(run.splits, stored.splits, strict=True):
        cuts = list(opened.cuts(7))
        assert len(cuts) > 1
        start = atom = 0
        for (first, last), piece in zip(cuts, run.pieces(opened, cuts), strict=True):
            assert first == start
            n = piece.structures.n_atoms
            assert piece.structures.ids == split.structures.ids[first:last]
            assert piece.structures.smiles == split.structures.smiles[first:last]
            forces = split.prediction.forces[atom : atom + n]
            assert piece.prediction.forces.nan_to_num().equal(forces.nan_to_num())
            assert piece.reference.energy.equal(split.reference.energy[first:last])
            start, atom = last, atom + n
        assert start == split.structures.n_systems


def test_other_structures_of_the_same_ids_are_not_compared(
    folders: list[RunFolder],
) -> None:
    path = folders[0].path / "structures.npz"
    (folders[0].path / "sha256sums").unlink()
    arrays = read_arrays(path)
    write_arrays(path, {**arrays, "positions": arrays["positions"] + 0.1})
    with pytest.raises(StoreError, match="structures of the same ids that are not"):
        compare_runs(*folders)


@pytest.mark.parametrize("name", ["forces", "reference", "structures"])
def test_files_of_other_runs_are_one_sentence(
    folders: list[RunFolder], name: str
) -> None:
    path = folders[0].path / f"{name}.npz"
    (folders[0].path / "sha256sums").unlink()  # nothing tells but the files themselves
    shorter = {key: array[:-1] for key, array in read_arrays(path).items()}
    write_arrays(path, shorter)
    with pytest.raises(StoreError, match=r"do not belong together .* --overwrite"):
        score_run(folders[0])
