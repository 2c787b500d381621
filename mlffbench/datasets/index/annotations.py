"""Facts: what an index says of each structure, found piece by piece."""

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlffbench.core.card import SYMBOLS
from mlffbench.core.errors import DataError
from mlffbench.core.units import force_factor
from mlffbench.datasets.files.frame import hill_formula
from mlffbench.datasets.files.walk import Piece
from mlffbench.datasets.molecules.fingerprints import geometry_hashes
from mlffbench.datasets.molecules.smiles import canonical_smiles

LARGEST_GRADIENT = force_factor("hartree/bohr")
"""eV/Å: SPICE's own filter drops a structure with any component beyond 1 hartree/bohr."""
_WORDS = pa.dictionary(pa.int32(), pa.string())
SCHEMA = pa.schema(
    [
        ("id", pa.string()),  # key/conformer
        ("record", pa.int32()),  # number of the record in the file
        ("conformer", pa.int32()),
        ("key", _WORDS),  # name of the record in the file
        ("molecule", _WORDS),  # canonical SMILES, else the file's own molecule key
        ("smiles", _WORDS),  # as in the file, empty where unknown
        ("canonical", _WORDS),  # canonical SMILES, empty where unknown
        ("formula", _WORDS),  # Hill formula
        ("elements", _WORDS),  # symbols by atomic number, e.g. "H C O"
        ("subset", _WORDS),  # the file's own label
        ("n_atoms", pa.int32()),
        ("charge", pa.int32()),  # e
        ("multiplicity", pa.int32()),  # 2S + 1
        ("periodic", pa.bool_()),
        ("geometry", pa.int64()),  # hash that ignores numbering and orientation
        ("mean_force", pa.float64()),  # mean atomic |F|, eV/Å; NaN where not known
        ("max_force", pa.float64()),  # largest atomic |F|, eV/Å; NaN where not known
        ("energy_finite", pa.bool_()),
        ("gradient_passes", pa.bool_()),  # every component finite and within the filter
    ]
)
"""Columns of an index: one row per structure, in the file's order."""
WORDS = tuple(field.name for field in SCHEMA if field.type == _WORDS)
"""Columns that repeat few words."""


def facts_of(pieces: Iterable[Piece]) -> pa.Table:
    """Return the facts of some pieces as a table of `SCHEMA`.

    Raises:
        DataError: A position is not finite, or a piece cannot be read.
    """
    words: dict[str, list[str]] = {name: [] for name in WORDS}
    per_record: list[tuple[int, int, int, int, bool, int]] = []
    columns: dict[str, list[NDArray[np.generic]]] = {
        name: []
        for name in ("conformer", "geometry", "mean", "max", "energy", "gradient")
    }
    ids: list[str] = []
    for piece in pieces:
        _require_finite(piece)
        canonical = canonical_smiles(piece.smiles)
        elements = np.unique(piece.numbers).tolist()
        for name, word in (
            ("key", piece.key),
            ("molecule", canonical or piece.group),
            ("smiles", piece.smiles),
            ("canonical", canonical),
            ("formula", hill_formula(piece.numbers)),
            ("elements", " ".join(SYMBOLS[number] for number in elements)),
            ("subset", piece.subset),
        ):
            words[name].append(word)
        per_record.append(
            (
                piece.record,
                len(piece.numbers),
                piece.charge,
                piece.multiplicity,
                piece.periodic,
                len(piece.conformers),
            )
        )
        ids += [f"{piece.key}/{number}" for number in piece.conformers.tolist()]
        norms = np.sqrt(np.einsum("cax,cax->ca", piece.forces, piece.forces))
        largest = np.abs(piece.forces).max(axis=(1, 2))
        columns["conformer"].append(piece.conformers)
        columns["geometry"].append(
            geometry_hashes(
                piece.numbers,
                piece.positions,
                charge=piece.charge,
                multiplicity=piece.multiplicity,
            )
        )
        columns["mean"].append(norms.mean(axis=1))
        columns["max"].append(norms.max(axis=1))
        columns["energy"].append(np.isfinite(piece.energy))
        columns["gradient"].append(largest <= LARGEST_GRADIENT)  # False where NaN
    return _table(words, per_record, columns, ids)


def _table(
    words: dict[str, list[str]],
    per_record: list[tuple[int, int, int, int, bool, int]],
    columns: dict[str, list[NDArray[np.generic]]],
    ids: list[str],
) -> pa.Table:
    if not per_record:
        return SCHEMA.empty_table()
    facts = np.array(per_record, dtype=np.int64)
    place = np.repeat(np.arange(len(facts), dtype=np.int32), facts[:, 5])
    joined = {name: np.concatenate(parts) for name, parts in columns.items()}
    values: dict[str, object] = {
        "id": ids,
        "record": facts[place, 0],
        "conformer": joined["conformer"],
        "n_atoms": facts[place, 1],
        "charge": facts[place, 2],
        "multiplicity": facts[place, 3],
        "periodic": facts[place, 4].astype(bool),
        "geometry": joined["geometry"],
        "mean_force": joined["mean"],
        "max_force": joined["max"],
        "energy_finite": joined["energy"],
        "gradient_passes": joined["gradient"],
    }
    for name, entries in words.items():
        known, codes = np.unique(np.array(entries, dtype=object), return_inverse=True)
        values[name] = pa.DictionaryArray.from_arrays(
            pa.array(codes[place].astype(np.int32)), pa.array(known, pa.string())
        )
    arrays = [
        values[field.name]
        if field.name in words
        else pa.array(values[field.name], field.type)
        for field in SCHEMA
    ]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def _require_finite(piece: Piece) -> None:
    finite = np.isfinite(piece.positions).all(axis=(1, 2))
    if not finite.all():
        conformer = int(piece.conformers[np.flatnonzero(~finite)[0]])
        msg = f"structure '{piece.key}/{conformer}' has a position that is not finite; "
        raise DataError(msg + "correct or remove it")
