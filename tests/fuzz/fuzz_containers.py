"""Damage to the headers of containers: npz, HDF5, SQLite, safetensors."""

import io
import re
import sqlite3
import struct
import tempfile
import zipfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from fuzz_text import BIG, DEEP, Rng, edit_json, pick
from numpy.lib import format as npy

# npz

_SHAPES = (
    "(10000000000, 3)", "(-1, 3)", "(2, 9, 3, 99999)", "(2.0, 9, 3)", "(True, 9, 3)", "()", "(0,)",
    f"({2**70}, 9, 3)", "(2, 9)", "(54,)", "'x'", "None", "(2, 9, 3", "((((2,),),),)", "(2, 9, -3)",
    "(1000000000, 0)", "[2, 9, 3]", "(2, 'a')",
)  # fmt: skip
_TYPES = (
    "'|O'", "'<f8'", "'>f8'", "'<f2'", "'<f16'", "'<c16'", "'|S1000000000'", "'<U9'", "'|V8'",
    "'<M8[ns]'", "[('a', '<f8')]", "'x'", "None", "'<f999'", "'|b1'", "[('a', '|O')]", "'<i8'",
    "'|S0'", "('<f8', (2, 2))", "'|V0'", "[]", "'" + "x" * 9000 + "'",
)  # fmt: skip


def _header(content: bytes, rng: Rng) -> bytes:
    """Return an array whose header says something else."""
    data = io.BytesIO(content)
    try:
        version = npy.read_magic(data)
        shape, fortran, dtype = npy.read_array_header_1_0(data)
    except ValueError:
        return content
    fields = {"descr": repr(npy.dtype_to_descr(dtype)), "fortran_order": str(fortran)}
    fields |= {"shape": repr(shape)}
    key = str(pick(rng, tuple(fields)))
    choices = {"shape": _SHAPES, "descr": _TYPES, "fortran_order": ("True", "7", "None")}
    fields[key] = pick(rng, choices[key])
    text = "{" + ", ".join(f"'{k}': {v}" for k, v in fields.items()) + "}"
    broken = (
        "(" * 5000,
        "{",
        "",
        "x",
        "{'descr': 1}",
        "\xff",
        "{" * 300,
        "1+1",
        "[" * 90,
    )
    text = pick(rng, broken) if rng.random() < _SHARE_BROKEN else text
    raw = text.encode("latin-1") + b"\n"
    numbers = pick(rng, (version, version, version, (2, 0), (3, 0), (9, 9)))
    size = pick(rng, (len(raw), len(raw), len(raw), 65535, 0, 2**31))
    wide = numbers[0] > 1
    length = struct.pack("<I" if wide else "<H", size if wide else min(size, 65535))
    return b"\x93NUMPY" + bytes(numbers) + length + raw + content[data.tell() :]


_SHARE_BROKEN = 0.25


def _members(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _zipped(
    members: Sequence[tuple[str, bytes]], packing: int = zipfile.ZIP_STORED
) -> bytes:
    import warnings

    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", packing) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the same name twice
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name), data, compress_type=packing)
    return target.getvalue()


def npz_header(content: bytes, rng: Rng) -> bytes:
    members = _members(content)
    name = str(pick(rng, sorted(members)))
    members[name] = _header(members[name], rng)
    return _zipped(list(members.items()), pick(rng, (0, 8)))


def npz_members(content: bytes, rng: Rng) -> bytes:
    members = list(_members(content).items())
    at, to = (int(rng.integers(len(members))) for _ in range(2))
    (name, data), (other, more) = members[at], members[to]
    match int(rng.integers(8)):
        case 0:
            members[at], members[to] = (name, more), (other, data)
        case 1:
            members.append((name, more))
        case 2:
            del members[at]
        case 3:
            members[at] = (pick(rng, ("../x.npy", "/x.npy", "x" * 9000 + ".npy", "a\n.npy", "\x1b.npy")), data)  # fmt: skip
        case 4:
            members[at] = (name, data[: int(rng.integers(len(data) + 1))])
        case 5:
            members[at] = (name, data + bytes(20_000_000))  # what nobody announced
            return _zipped(members, 8)
        case 6:
            target = io.BytesIO()
            values = pick(rng, ([None], [1, "a"], {"a": 1}))
            np.save(target, np.array(values, dtype=object), allow_pickle=True)
            members[at] = (name, target.getvalue())
        case _:
            target = io.BytesIO()
            made = (np.zeros((300_000, 9, 3)), np.zeros(3, complex), np.full((2, 9, 3), np.nan),
                    np.full((2, 9, 3), 1e300), np.array("x" * 9999), np.array(b"\xff\xfe"),
                    np.zeros((2, 0, 3)), np.full(9, 255), np.zeros((1, 3, 3)))  # fmt: skip
            np.save(target, pick(rng, made))
            members[at] = (pick(rng, (name, "cell.npy", "charge.npy", "r_unit.npy")), target.getvalue())  # fmt: skip
    return _zipped(members, pick(rng, (0, 8)))


def zip_fields(content: bytes, rng: Rng) -> bytes:
    """Return a zip file whose headers say something else of a member."""
    out = bytearray(content)
    found = [
        m.start() for m in re.finditer(rb"PK\x01\x02|PK\x03\x04|PK\x05\x06", content)
    ]
    at = int(pick(rng, found)) + int(rng.integers(4, 46))
    size = int(pick(rng, (2, 4)))
    value = pick(rng, (*BIG, 1, 9, 12, 14, 99)) & (2 ** (8 * size) - 1)
    out[at : at + size] = value.to_bytes(size, "little")
    return bytes(out)


# HDF5


def edit_hdf5(content: bytes, rng: Rng) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.h5"
        path.write_bytes(content)
        with h5py.File(path, "r+") as file:
            datasets: list[str] = []
            file.visititems(lambda n, o: datasets.append(n) if isinstance(o, h5py.Dataset) else None)  # fmt: skip
            _HDF5_EDITS[int(rng.integers(len(_HDF5_EDITS)))](
                file, str(pick(rng, datasets)), rng
            )
        return path.read_bytes()


def put(file: h5py.File, name: str, **how: Any) -> None:
    attributes = dict(file[name].attrs)
    del file[name]
    file.create_dataset(name, **how).attrs.update(attributes)


def _claims(file: h5py.File, name: str, rng: Rng) -> None:
    shape = list(file[name].shape) or [1]
    at = int(rng.integers(len(shape)))
    shape[at] = int(pick(rng, (10**5, 10**8, 2 * 10**9, 10**12)))
    packing = pick(rng, ({}, {"chunks": True}, {"chunks": True, "compression": "gzip"}))
    kind = file[name].dtype
    put(file, name, shape=tuple(shape), dtype=kind, **packing)


def _all_claim(file: h5py.File, name: str, rng: Rng) -> None:
    group = file[name].parent
    count = int(pick(rng, (10**5, 10**7, 10**9)))
    for key in [k for k in group if isinstance(group[k], h5py.Dataset)]:
        old = group[key]
        if len(old.shape) and old.dtype.kind == "f":
            put(
                file,
                f"{group.name}/{key}",
                shape=(count, *old.shape[1:]),
                dtype=old.dtype,
            )


def _bomb(file: h5py.File, name: str, rng: Rng) -> None:
    shape = file[name].shape[1:]
    count = int(pick(rng, (10**4, 4 * 10**6)))
    with_zeros = {"chunks": (min(count, 10**5), *shape), "compression": "gzip"}
    put(file, name, shape=(count, *shape), dtype="f4", **with_zeros)
    file[name][:1] = 0


def _empty(file: h5py.File, name: str, rng: Rng) -> None:
    shape = pick(rng, ((0,), (), (10**9, 0, 3), (0, 3), None, (2, 2, 2, 2), (1,) * 30))
    how = {"data": h5py.Empty("f8")} if shape is None else {"shape": shape, "dtype": "f8"}
    put(file, name, **how)


def _kinds(file: h5py.File, name: str, rng: Rng) -> None:
    old = file[name]
    shape = old.shape
    kinds: tuple[Any, ...] = (
        "c16", "?", "f2", ">f8", "u8", "S9", "V16", h5py.string_dtype(), "i1",
        h5py.vlen_dtype(np.int32), np.dtype([("a", "f8")]), h5py.enum_dtype({"A": 1}),
        h5py.ref_dtype, np.dtype(("f8", (3,))),
    )  # fmt: skip
    put(file, name, shape=shape, dtype=pick(rng, kinds))


def _values(file: h5py.File, name: str, rng: Rng) -> None:
    old = file[name]
    if old.dtype.kind in "iuf":
        value = pick(rng, (np.nan, np.inf, 1e300, -1, 0, 255, 1e-300))
        with np.errstate(all="ignore"):
            old[...] = np.full(old.shape, value).astype(old.dtype)
    else:
        words = ("", "C" * 30_000, "[" * DEEP, b"\xff\xfe", "x", "[Fr+9]", "C>>C")
        old[...] = pick(rng, words)


def _links(file: h5py.File, name: str, rng: Rng) -> None:
    parent = file[name].parent
    key = name.rpartition("/")[2]
    target = pick(rng, (
        h5py.ExternalLink("other.h5", "/x"), h5py.ExternalLink("/dev/zero", "/"),
        h5py.SoftLink("/nowhere"), h5py.SoftLink(f"{parent.name}/{key}"), h5py.SoftLink("/"),
    ))  # fmt: skip
    place = int(rng.integers(3))
    if place == 0:
        del parent[key]
        parent[key] = target
    elif place == 1:
        file["aaa"] = target
    else:
        file["zzz"] = file["/"]  # a hard link to the root: a circle
        parent["circle"] = parent


def _outside(file: h5py.File, name: str, rng: Rng) -> None:
    old = file[name]
    shape, dtype = old.shape or (1,), old.dtype if old.dtype.kind in "iuf" else "f8"
    if rng.random() < 0.5:
        put(file, name, shape=shape, dtype=dtype, external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)])  # fmt: skip
    else:
        layout = h5py.VirtualLayout(shape=shape, dtype=dtype)
        layout[...] = h5py.VirtualSource("other.h5", "x", shape=shape)
        del file[name]
        file.create_virtual_dataset(name, layout, fillvalue=0)


def _attributes(file: h5py.File, name: str, rng: Rng) -> None:
    one = pick(rng, (file[name], file[name].parent, file))
    for key in [*one.attrs, "units", "u", "level_of_theory"]:
        value = pick(rng, ("", "bananas", 3, "x" * 60_000, [1.0, 2.0], b"\xff", h5py.Empty("f"),
                            "hartree", "angstrom", "\x1b[1m"))  # fmt: skip
        one.attrs[key] = value


def _names(file: h5py.File, name: str, rng: Rng) -> None:
    first, _, _ = name.partition("/")
    new = pick(
        rng, ("x" * 9_000, "\x1b[31m", "a\nb", "../x", "data", "\u202e", "a" * 300)
    )
    match int(rng.integers(4)):
        case 0:
            file.move(first, new)
        case 1:
            file.move(name, f"{name}_")
        case 2:
            file.create_group("/".join("d" * 300))
        case _:
            for n in range(300):
                file.create_group(f"g{n}")


_HDF5_EDITS = (
    _claims, _claims, _all_claim, _bomb, _empty, _kinds, _kinds, _values, _values, _links,
    _links, _outside, _attributes, _names,
)  # fmt: skip


# SQLite


def edit_sqlite(content: bytes, rng: Rng) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.db"
        path.write_bytes(content)
        with closing(sqlite3.connect(path)) as connection:
            rows = connection.execute("SELECT name FROM sqlite_master WHERE type='table'")
            tables = [name for (name,) in rows if not name.startswith("sqlite_")]
            table = (
                "systems"
                if "systems" in tables and rng.random() < 0.7
                else pick(rng, tables)
            )
            columns = [
                row[1] for row in connection.execute(f"PRAGMA table_info({table})")
            ]
            column = pick(rng, columns)
            values = (None, 0, -1, 2**62, 1e308, float("inf"), "", "x", b"", b"\x00" * 7,
                      "[" * DEEP, '{"a": {"__ndarray__": [[2000000000], "float64", [1]]}}',
                      "{}", "null", b"\xff" * 24, "X" * 10**6, '{"__complex__": [0, 1]}',
                      '{"REF_energy": "x"}', '{"total_charge": 1e30}', rng.bytes(72))  # fmt: skip
            connection.execute("PRAGMA ignore_check_constraints = on")
            match int(rng.integers(6)):
                case 0:
                    connection.execute(f"DROP TABLE {table}")
                case 1:
                    connection.execute(f"DELETE FROM {table}")
                case _:
                    try:
                        connection.execute(
                            f"UPDATE {table} SET {column} = ?", (pick(rng, values),)
                        )
                    except sqlite3.Error:  # a key that may not be twice
                        connection.execute(f"DELETE FROM {table}")
            connection.commit()
        return path.read_bytes()


# safetensors


def tensors(content: bytes, rng: Rng) -> bytes:
    size = int.from_bytes(content[:8], "little")
    header = edit_json(content[8 : 8 + size], rng)
    claimed = pick(rng, (len(header), len(header), 2**62, 0, 10**9))
    return claimed.to_bytes(8, "little") + header + content[8 + size :]
