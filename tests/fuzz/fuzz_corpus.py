"""Mutants that got through once: made by code, or kept as they were found.

``corpus/BASE--NAME--FILE.gz`` is a file of an example as it was damaged, packed.
"""

import gzip
import json
import os
import zipfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from fuzz_bases import Files
from fuzz_containers import put
from fuzz_mutations import Mutant

_FOLDER = Path(__file__).with_name("corpus")
Remake = Callable[[Files], dict[str, bytes]]


def kept() -> Iterator[tuple[str, str, str, bytes]]:
    """Yield example, name, file and content of every mutant that was kept."""
    for path in sorted(_FOLDER.glob("*.gz")):
        base, name, file = path.stem.split("--")
        yield base, name, file.replace("+", "/"), gzip.decompress(path.read_bytes())


def as_mutant(files: Files, changed: dict[str, bytes], how: str) -> Mutant:
    """Return a mutant with some files in place of those of an example."""
    return Mutant({**files, **changed}, {}, how, is_rewritten=True, touched="")


def _xyz(properties: str = "", **more: str) -> Remake:
    columns = properties or "species:S:1:pos:R:3:REF_forces:R:3"
    said = {"REF_energy": "-1", "group": "x", **more}
    comment = " ".join(f"{name}={value}" for name, value in said.items())
    atoms = "O 0 0 0 0 0 0\nH 0 0 1 0 0 0\nH 0 1 0 0 0 0\n"
    text = f"3\nProperties={columns} {comment}\n{atoms}"
    return lambda _: {"a.xyz": text.encode()}


def _npz(header: str = "", **arrays: Any) -> Remake:
    """Return an npz file whose ``R`` has another header, or with other arrays."""

    def remake(files: Files) -> dict[str, bytes]:
        target = BytesIO()
        with zipfile.ZipFile(BytesIO(files["a.npz"])) as old:
            members = {name: old.read(name) for name in old.namelist()}
        if header:
            size = 10 + int.from_bytes(members["R.npy"][8:10], "little")
            raw = header.encode("latin-1") + b"\n"
            begin = b"\x93NUMPY\x01\x00" + len(raw).to_bytes(2, "little")
            members["R.npy"] = begin + raw + members["R.npy"][size:]
        for name, value in arrays.items():
            made = BytesIO()
            np.save(made, value)
            members[f"{name}.npy"] = made.getvalue()
        with zipfile.ZipFile(target, "w") as new:
            for name, content in members.items():
                new.writestr(name, content)
        return {"a.npz": target.getvalue()}

    return remake


def _field(offset: int, value: int) -> Remake:
    """Return an npz file with two other bytes in its first central header."""

    def remake(files: Files) -> dict[str, bytes]:
        out = bytearray(files["a.npz"])
        at = out.index(b"PK\x01\x02") + offset
        out[at : at + 2] = value.to_bytes(2, "little")
        return {"a.npz": bytes(out)}

    return remake


def _hdf5(file: str, edit: Callable[[h5py.File], object]) -> Remake:
    def remake(files: Files) -> dict[str, bytes]:
        buffer = BytesIO(files[file])
        with h5py.File(buffer, "r+") as opened:
            edit(opened)
        return {file: buffer.getvalue()}

    return remake


def _put(name: str, **how: Any) -> Callable[[h5py.File], object]:
    return lambda file: put(file, name, **how)


def _link(file: h5py.File) -> None:
    file["aaa"] = h5py.ExternalLink("pipe.h5", "/x")


def _virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout(shape=(2, 3, 3), dtype="f8")
    layout[...] = h5py.VirtualSource("other.h5", "x", shape=(2, 3, 3))
    del file["water/conformations"]
    file.create_virtual_dataset("water/conformations", layout)


def _circle(file: h5py.File) -> None:
    file["water/inner"] = file["/"]


def _deep(file: h5py.File) -> None:
    file.create_group("/".join("d" * 400))


def _endless_heap(files: Files) -> dict[str, bytes]:
    """Return a file whose texts lie in a heap with an object that ends where it begins."""
    out = bytearray(files["a.hdf5"])
    at = out.index(b"GCOL") + 24
    out[at : at + 8] = (2**64 - 16).to_bytes(8, "little")
    return {"a.hdf5": bytes(out)}


def _outside(files: Files) -> dict[str, bytes]:
    place = [(str(Path(os.devnull)), 0, h5py.h5f.UNLIMITED)]
    edit = _put("water/conformations", shape=(2, 3, 3), dtype="f4", external=place)
    return _hdf5("a.hdf5", edit)(files)


def _text(file: str, text: str) -> Remake:
    return lambda _: {file: text.encode("utf-8", "surrogatepass")}


def _edited(file: str, **changes: Any) -> Remake:
    """Return a JSON file with other values; keys are paths with ``__`` between them."""

    def remake(files: Files) -> dict[str, bytes]:
        tree = json.loads(files[file])
        for key, value in changes.items():
            *path, last = key.split("__")
            node = tree
            for part in path:
                node = node[part]
            node[last] = value
        return {file: json.dumps(tree).encode()}

    return remake


_ALIASES = "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n"
    for a, b in zip("abcdefg", "bcdefgh", strict=True)
)
_BIG = "water/conformations"
HOSTILE: dict[str, tuple[str, Remake]] = {
    "a thousand million columns": ("xyz", _xyz("species:S:1:pos:R:3:x:R:1000000000")),
    "columns below zero": ("xyz", _xyz("species:S:-1:pos:R:3:REF_forces:R:3")),
    "a SMILES without end": ("xyz", _xyz(smiles="C" * 50_000)),
    "brackets without end": ("xyz", _xyz(smiles="[" * 20_000)),
    "atoms nobody has": ("xyz", _text("a.xyz", "999999999999\nx\nH 0 0 0\n")),
    "a line without end": ("xyz", _text("a.xyz", "2\n" + "x" * (2 << 20) + "\nH 0 0 0\nH 0 0 1\n")),
    "a shape of endless numbers": ("npz", _npz("{'descr': '<f8', 'fortran_order': False, 'shape': (" + "9" * 70 + ", 9, 3)}")),
    "a shape of truths": ("npz", _npz("{'descr': '<f8', 'fortran_order': False, 'shape': (True, 9, 3)}")),
    "a shape below zero": ("npz", _npz("{'descr': '<f8', 'fortran_order': False, 'shape': (-2, 9, 3)}")),
    "a header of brackets": ("npz", _npz("(" * 5_000)),
    "a header that does not end": ("npz", _npz("{'descr': '<f8', ")),
    "entries of no byte": ("npz", _npz("{'descr': '|S0', 'fortran_order': False, 'shape': (1000000000,)}")),
    "a unit that is no text": ("npz", _npz(e_unit=np.array(b"\xff\xfe"))),
    "a packing of nobody": ("npz", _field(10, 99)),
    "a version of nobody": ("npz", _field(6, 99)),
    "conformers nobody has": ("spice", _hdf5("a.hdf5", _put(_BIG, shape=(10**8, 3, 3), dtype="f4"))),
    "conformers of no byte": ("spice", _hdf5("a.hdf5", _put(_BIG, shape=(10**9, 0, 3), dtype="f4"))),
    "a link to another file": ("spice", _hdf5("a.hdf5", _link)),
    "numbers in another file": ("spice", _outside),
    "a dataset of other files": ("spice", _hdf5("a.hdf5", _virtual)),
    "a group in itself": ("spice", _hdf5("a.hdf5", _circle)),
    "groups without end": ("spice", _hdf5("a.hdf5", _deep)),
    "a heap without end": ("spice", _endless_heap),
    "a bomb": ("spice", _hdf5("a.hdf5", _put(_BIG, shape=(3 * 10**6, 3, 3), dtype="f4", chunks=(10**5, 3, 3), compression="gzip", fillvalue=1))),
    "atoms of ANI nobody has": ("ani-1x", _hdf5("a.h5", _put("C1H4/atomic_numbers", shape=(2 * 10**9,), dtype="u1"))),
    "a database of nothing": ("db-json", _text("a.json", "null")),
    "an array nobody has": (
        "db-json",
        _text("a.json", '{"1": {"numbers": {"__ndarray__": [[2000000000], "int64", []]}}, "ids": [1], "nextid": 2}'),
    ),
    "brackets for a database": ("db-json", _text("a.json", "[" * 20_000)),
    "half a character": ("suite", _text("suite.yaml", 'name: x\nversion: 1\nsummary: "\ud800"\n')),
    "aliases of aliases": ("suite", _text("suite.yaml", f"a: &a [x, x, x]\n{_ALIASES}name: *h\n")),
    "brackets for a suite": ("suite", _text("suite.yaml", "[" * 20_000)),
    "a date of nobody": ("described", _text("data.yaml", "path: !!timestamp x")),
    "filters nobody has": ("checkpoint", _edited("tiny.json", architecture__schnet__filters=2**62)),
    "a table of one line": ("csv", _text("table.csv", "id," * 20_000)),
}  # fmt: skip
"""What it is -> the example it is made from, and how; none of them may be read."""
