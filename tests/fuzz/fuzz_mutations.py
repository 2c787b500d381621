"""Mutants: files damaged by a seed, each in a way that its layout knows or in any way."""

import os
from pathlib import Path
from typing import NamedTuple

from fuzz_containers import (
    edit_hdf5,
    edit_sqlite,
    npz_header,
    npz_members,
    tensors,
    zip_fields,
)
from fuzz_text import BYTES, TEXT, Edit, Rng, claim, comment, count, edit_json, edit_yaml


class Mutant(NamedTuple):
    """Damaged files.

    Attributes:
        files: By relative name; what is not there was removed.
        stand_in: Relative name -> what stands in place of the file: ``fifo``, ``folder``,
            ``loop`` (a link to itself), ``zero`` (a link to a device) or ``nowhere``.
        how: What was done.
        is_rewritten: It was written anew, so that its checksums are right again.
    """

    files: dict[str, bytes]
    stand_in: dict[str, str]
    how: str
    is_rewritten: bool
    touched: str


def mutate(files: dict[str, bytes], rng: Rng) -> Mutant:
    """Return one mutant of some files."""
    name = str(rng.choice(sorted(files)))
    if rng.random() < _SHARE_STAND_INS:
        what = str(rng.choice(STAND_INS))
        return Mutant({k: v for k, v in files.items() if k != name}, {name: what}, what,
                      is_rewritten=True, touched=name)  # fmt: skip
    suffix = Path(name).suffix
    own = EDITS.get(suffix, ())
    edits = [*own, *own, *(TEXT if suffix in _TEXTS else ()), *BYTES]
    edit = edits[int(rng.integers(len(edits)))]
    content = edit(files[name], rng)
    anew = edit in own and suffix not in _TEXTS
    how = f"{name}: {edit.__name__.strip('_')}"
    return Mutant({**files, name: content}, {}, how, is_rewritten=anew, touched=name)


_SHARE_STAND_INS = 0.02
STAND_INS = ("fifo", "folder", "loop", "zero", "nowhere")
_TEXTS = {".xyz", ".csv", ".yaml", ".json", ".jsonl", ".extxyz"}


def put(mutant: Mutant, folder: Path) -> None:
    """Write a mutant into an empty folder."""
    for name, content in mutant.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    for name, what in mutant.stand_in.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if what == "fifo":
            os.mkfifo(path)
        elif what == "folder":
            path.mkdir()
        elif what == "loop":
            path.symlink_to(path.name)
        elif what == "zero":
            path.symlink_to("/dev/zero")


EDITS: dict[str, tuple[Edit, ...]] = {
    ".xyz": (claim, comment, comment, count),
    ".extxyz": (claim, comment, count),
    ".yaml": (edit_yaml, edit_yaml, edit_yaml),
    ".json": (edit_json, edit_json, edit_json, edit_json),
    ".jsonl": (edit_json, edit_json, edit_json),
    ".npz": (
        npz_header,
        npz_header,
        npz_header,
        npz_members,
        npz_members,
        zip_fields,
    ),
    ".hdf5": (edit_hdf5, edit_hdf5, edit_hdf5, edit_hdf5, edit_hdf5),
    ".h5": (edit_hdf5, edit_hdf5, edit_hdf5, edit_hdf5, edit_hdf5),
    ".db": (edit_sqlite, edit_sqlite, edit_sqlite),
    ".sqlite": (edit_sqlite, edit_sqlite, edit_sqlite),
    ".safetensors": (tensors, tensors),
}
"""Suffix -> edits that know the layout of such files."""
