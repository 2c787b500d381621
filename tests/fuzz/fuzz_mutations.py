"""How files are damaged: bytes, text, and the headers of every container, by a seed."""

import io
import json
import os
import re
import sqlite3
import struct
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.lib import format as npy

Rng = np.random.Generator
Edit = Callable[[bytes, Rng], bytes]
DEEP = 20_000
BIG = (0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**53, 2**63 - 1, 2**64 - 1)
NUMBERS = (
    *("-1", "0", "1e300", "-1e308", "1e999", "nan", "inf", "-inf", "1e-320", "0x10"),
    *("9" * 30, "9" * 5000, "1000000000", "2147483648", "-9223372036854775809", "1_0"),
    *("٣", "²", "+5", "1.", "", "null", "True", "[1]", "1j", "1e5"),
)
WORDS = (
    *("", "null", "T", "F", "\x00", "\x1b[31m", "\u202egnp", "\ud800", "A" * 100_000),
    *("C" * 30_000, "[" * DEEP, "{" * DEEP, "(" * DEEP, "'", '"', "\\", "=", "../../x"),
    *("C(" * 9_000, "[H]" * 4_000, "$(id)", "=cmd|'/c'!A1", "<script>", "\r\n", "\ufeff"),
)
_NUMBER = re.compile(rb"-?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?")
_WORD = re.compile(rb"[A-Za-z_][A-Za-z0-9_/]*")


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


def _pick(rng: Rng, values: Sequence[Any]) -> Any:
    return values[int(rng.integers(len(values)))]


def _span(content: bytes, rng: Rng) -> tuple[int, int]:
    start = int(rng.integers(len(content) + 1))
    return start, min(len(content), start + int(2 ** rng.integers(0, 10)))


# bytes


def _bits(content: bytes, rng: Rng) -> bytes:
    out = bytearray(content)
    for _ in range(int(rng.integers(1, 9))):
        if out:
            out[int(rng.integers(len(out)))] ^= 1 << int(rng.integers(8))
    return bytes(out)


def _random_run(content: bytes, rng: Rng) -> bytes:
    start, stop = _span(content, rng)
    return content[:start] + rng.bytes(stop - start) + content[stop:]


def _same_run(content: bytes, rng: Rng) -> bytes:
    start, stop = _span(content, rng)
    return (
        content[:start] + _pick(rng, (b"\x00", b"\xff")) * (stop - start) + content[stop:]
    )


def _cut(content: bytes, rng: Rng) -> bytes:
    return content[: int(rng.integers(len(content) + 1))]


def _lost(content: bytes, rng: Rng) -> bytes:
    start, stop = _span(content, rng)
    return content[:start] + content[stop:]


def _twice(content: bytes, rng: Rng) -> bytes:
    start, stop = _span(content, rng)
    return content[:stop] + content[start:stop] + content[stop:]


def _swapped(content: bytes, rng: Rng) -> bytes:
    first, second = sorted(int(rng.integers(len(content) + 1)) for _ in range(2))
    size = min(second - first, len(content) - second, 64)
    one, two = content[first : first + size], content[second : second + size]
    return (
        content[:first]
        + two
        + content[first + size : second]
        + one
        + content[second + size :]
    )


def _integer(content: bytes, rng: Rng) -> bytes:
    size = int(_pick(rng, (2, 4, 8)))
    value = _pick(rng, BIG) & (2 ** (8 * size) - 1)
    start = int(rng.integers(len(content) + 1))
    return content[:start] + value.to_bytes(size, "little") + content[start + size :]


def _tail(content: bytes, rng: Rng) -> bytes:
    return content + rng.bytes(int(rng.integers(1, 2000)))


BYTES: tuple[Edit, ...] = (
    _bits, _bits, _random_run, _same_run, _cut, _lost, _twice, _swapped, _integer, _tail,
)  # fmt: skip


# text


def _replaced(
    content: bytes, rng: Rng, pattern: re.Pattern[bytes], by: Sequence[str]
) -> bytes:
    found = list(pattern.finditer(content))
    if not found:
        return content + _encoded(_pick(rng, by))
    one = _pick(rng, found)
    return content[: one.start()] + _encoded(_pick(rng, by)) + content[one.end() :]


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _number(content: bytes, rng: Rng) -> bytes:
    return _replaced(content, rng, _NUMBER, NUMBERS)


def _word(content: bytes, rng: Rng) -> bytes:
    return _replaced(content, rng, _WORD, WORDS)


def _word_by_number(content: bytes, rng: Rng) -> bytes:
    return _replaced(content, rng, _WORD, NUMBERS)


def _lines(content: bytes, rng: Rng) -> bytes:
    lines = content.split(b"\n")
    at, to = (int(rng.integers(len(lines))) for _ in range(2))
    match int(rng.integers(4)):
        case 0:
            del lines[at]
        case 1:
            lines.insert(to, lines[at])
        case 2:
            lines[at], lines[to] = lines[to], lines[at]
        case _:
            lines[at] = b" ".join([lines[at]] * int(_pick(rng, (2, 50, 5000))))
    return b"\n".join(lines)


def _separators(content: bytes, rng: Rng) -> bytes:
    old = _pick(rng, (b"\n", b" ", b",", b":", b"=", b'"'))
    new = _pick(rng, (b"\r\n", b"\t", b"", b"  ", b"\x0b", b"\xc2\xa0", b";", b"\r"))
    return content.replace(old, new, int(_pick(rng, (1, 3, -1))))


def _not_utf8(content: bytes, rng: Rng) -> bytes:
    start = int(rng.integers(len(content) + 1))
    bad = (b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xef\xbb\xbf")
    return content[:start] + _pick(rng, bad) + content[start:]


def _utf16(content: bytes, rng: Rng) -> bytes:
    text = content.decode("utf-8", "replace")
    return text.encode(_pick(rng, ("utf-16", "utf-32", "utf-8-sig")))


TEXT: tuple[Edit, ...] = (
    _number, _number, _number, _word, _word, _word_by_number, _lines, _separators,
    _not_utf8, _utf16,
)  # fmt: skip


# extended XYZ

_CLAIMS = (
    "species:S:1:pos:R:1000000000",
    "species:S:1:pos:R:-3",
    "species:S:0:pos:R:3",
    "species:S:1:pos:R:3:x:R:99999999999999999999",
    "species:S:1:pos:I:3:REF_forces:L:3",
    "pos:R:3",
    "species:S:1",
    "species:S:1:species:S:1:pos:R:3:REF_forces:R:3",
    "species:S:1:pos:R:3:" + ":".join(f"a{n}:R:1" for n in range(3000)),
    ":::",
    "species:S:1:pos:Q:3",
)
_COMMENTS = (
    'Lattice="1e-7 0 0 0 9 0 0 0 9"', 'Lattice="1 0 0 0 1 0"', 'Lattice="0 0 0 0 0 0 0 0 0"',
    'Lattice="1e300 0 0 0 1e300 0 0 0 1e300"', 'Lattice="nan 0 0 0 9 0 0 0 9"',
    'Lattice="9 0 0 9 1e-9 0 0 0 9"', 'pbc="X Y Z"', 'pbc="T T"', "REF_energy=T",
    "REF_energy=1e308", "spin=999", "charge=1e30", "charge=nan", "total_charge=[1,2]",
    "smiles=" + "C" * 30_000, "smiles=" + "[" * DEEP, "group=" + "x" * 100_000,
    "a=[" * 3_000, "a=" + "[1," * 3_000, "energy_unit=bananas", "=", "a==b", '"' * 1001,
    "virial=\"" + "1 " * 9 + '"', "_JSON [[[", "config=_JSON " + "[" * DEEP,
)  # fmt: skip


def _claim(content: bytes, rng: Rng) -> bytes:
    return re.sub(rb"Properties=\S+", lambda _: b"Properties=" + _pick(rng, _CLAIMS).encode(), content, count=int(rng.integers(2)))  # fmt: skip


def _comment(content: bytes, rng: Rng) -> bytes:
    lines = content.split(b"\n")
    places = [n for n, line in enumerate(lines) if b"Properties" in line] or [0]
    at, more = int(_pick(rng, places)), _pick(rng, _COMMENTS).encode()
    key = more.partition(b"=")[0]
    old = re.sub(rb"(?<!\S)" + re.escape(key) + rb"=(\"[^\"]*\"|\S+)", b"", lines[at])
    lines[at] = old + b" " + more
    return b"\n".join(lines)


def _count(content: bytes, rng: Rng) -> bytes:
    lines = content.split(b"\n")
    places = [n for n, line in enumerate(lines) if line.strip().isdigit()] or [0]
    lines[int(_pick(rng, places))] = _pick(rng, NUMBERS).encode()
    return b"\n".join(lines)


# YAML and JSON

_YAMLS = (
    "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b"
    ",*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d]\n"
    "f: &f [*e,*e,*e,*e,*e,*e,*e,*e]\ng: &g [*f,*f,*f,*f,*f,*f,*f,*f]\nname: *g\n",
    "!!python/object/apply:os.system ['true']", "a: !!binary x", "a: 2001-99-99",
    "a: &a [*a]", "? [a, b]\n: c", "x: " + "[" * DEEP, "x: " + "{a: " * 3_000, "<<: 3",
    "a: 1\na: 2", "%YAML 9.9\n---\na", "--- a\n--- b", "\t", "a: 'x", "- " * 3_000, "null",
    "a: !!float x", "a: 0o9", "a: 12:61:99", "a: .inf", "? ? ? ? a", "{? a}", "path: [x]",
    "a: !!timestamp 99999-01-01", "a: !!int 0x", "a: !!set {x}", "version: true",
)  # fmt: skip


def _yaml(content: bytes, rng: Rng) -> bytes:
    text = _pick(rng, _YAMLS).encode()
    match int(rng.integers(3)):
        case 0:
            return text
        case 1:
            return content + b"\n" + text
        case _:
            lines = content.split(b"\n")
            at = int(rng.integers(len(lines)))
            key = lines[at].partition(b":")[0]
            lines[at] = key + b": " + text.partition(b": ")[2]
            return b"\n".join(lines)


_VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1e308, 10**30, "", "x", "A" * 100_000, [], {}, [[]], {"": None}, [None],
    "\u202e\x1b[1m", "0x10", "nan", 0.5, ["x"] * 5_000, {"a": {"b": {}}}, float("nan"),
    float("inf"), 2**63, "\x00", "../x", "/dev/zero", "=1+1",
)  # fmt: skip


def _places(node: Any) -> Iterator[tuple[Any, Any]]:
    keys = list(node) if isinstance(node, dict) else range(len(node))
    for key in keys:
        yield node, key
        if isinstance(node[key], dict | list):
            yield from _places(node[key])


def _json(content: bytes, rng: Rng) -> bytes:
    lines = content.split(b"\n")
    whole = [content] if not content.startswith(b'{"') else lines
    at = int(rng.integers(len(whole)))
    try:
        tree = [json.loads(whole[at])]
    except ValueError:
        return _pick(
            rng, (b"null", b"[]", b'""', b"1", b"{}", b"[" * DEEP, b'{"a":' * DEEP)
        )
    parent, key = _pick(rng, list(_places(tree)))
    match int(rng.integers(5)):
        case 0 if parent is not tree:
            del parent[key]
        case 1:
            parent[key] = [parent[key]]
        case 2:
            others = list(_places(tree))
            other, place = _pick(rng, others)
            parent[key] = json.loads(json.dumps(other[place]))
        case 3 if isinstance(parent, dict):
            parent[str(_pick(rng, ("", "x", "a" * 9_999, "\ud800")))] = _pick(
                rng, _VALUES
            )
        case _:
            parent[key] = _pick(rng, _VALUES)
    whole[at] = json.dumps(tree[0]).encode() if tree else b""
    return b"\n".join(whole)


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
    key = str(_pick(rng, tuple(fields)))
    choices = {"shape": _SHAPES, "descr": _TYPES, "fortran_order": ("True", "7", "None")}
    fields[key] = _pick(rng, choices[key])
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
    text = _pick(rng, broken) if rng.random() < _SHARE_BROKEN else text
    raw = text.encode("latin-1") + b"\n"
    numbers = _pick(rng, (version, version, version, (2, 0), (3, 0), (9, 9)))
    size = _pick(rng, (len(raw), len(raw), len(raw), 65535, 0, 2**31))
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


def _npz_header(content: bytes, rng: Rng) -> bytes:
    members = _members(content)
    name = str(_pick(rng, sorted(members)))
    members[name] = _header(members[name], rng)
    return _zipped(list(members.items()), _pick(rng, (0, 8)))


def _npz_members(content: bytes, rng: Rng) -> bytes:
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
            members[at] = (_pick(rng, ("../x.npy", "/x.npy", "x" * 9000 + ".npy", "a\n.npy", "\x1b.npy")), data)  # fmt: skip
        case 4:
            members[at] = (name, data[: int(rng.integers(len(data) + 1))])
        case 5:
            members[at] = (name, data + bytes(100_000_000))  # what nobody announced
            return _zipped(members, 8)
        case 6:
            target = io.BytesIO()
            values = _pick(rng, ([None], [1, "a"], {"a": 1}))
            np.save(target, np.array(values, dtype=object), allow_pickle=True)
            members[at] = (name, target.getvalue())
        case _:
            target = io.BytesIO()
            made = (np.zeros((300_000, 9, 3)), np.zeros(3, complex), np.full((2, 9, 3), np.nan),
                    np.full((2, 9, 3), 1e300), np.array("x" * 9999), np.array(b"\xff\xfe"),
                    np.zeros((2, 0, 3)), np.full(9, 255), np.zeros((1, 3, 3)))  # fmt: skip
            np.save(target, _pick(rng, made))
            members[at] = (_pick(rng, (name, "cell.npy", "charge.npy", "r_unit.npy")), target.getvalue())  # fmt: skip
    return _zipped(members, _pick(rng, (0, 8)))


def _zip_fields(content: bytes, rng: Rng) -> bytes:
    """Return a zip file whose headers say something else of a member."""
    out = bytearray(content)
    found = [
        m.start() for m in re.finditer(rb"PK\x01\x02|PK\x03\x04|PK\x05\x06", content)
    ]
    at = int(_pick(rng, found)) + int(rng.integers(4, 46))
    size = int(_pick(rng, (2, 4)))
    value = _pick(rng, (*BIG, 1, 9, 12, 14, 99)) & (2 ** (8 * size) - 1)
    out[at : at + size] = value.to_bytes(size, "little")
    return bytes(out)


# HDF5


def _hdf5(content: bytes, rng: Rng) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.h5"
        path.write_bytes(content)
        with h5py.File(path, "r+") as file:
            datasets: list[str] = []
            file.visititems(lambda n, o: datasets.append(n) if isinstance(o, h5py.Dataset) else None)  # fmt: skip
            _HDF5_EDITS[int(rng.integers(len(_HDF5_EDITS)))](
                file, str(_pick(rng, datasets)), rng
            )
        return path.read_bytes()


def _put(file: h5py.File, name: str, **how: Any) -> None:
    attributes = dict(file[name].attrs)
    del file[name]
    file.create_dataset(name, **how).attrs.update(attributes)


def _claims(file: h5py.File, name: str, rng: Rng) -> None:
    shape = list(file[name].shape) or [1]
    at = int(rng.integers(len(shape)))
    shape[at] = int(_pick(rng, (10**5, 10**8, 2 * 10**9, 10**12)))
    packing = _pick(rng, ({}, {"chunks": True}, {"chunks": True, "compression": "gzip"}))
    kind = file[name].dtype
    _put(file, name, shape=tuple(shape), dtype=kind, **packing)


def _all_claim(file: h5py.File, name: str, rng: Rng) -> None:
    group = file[name].parent
    count = int(_pick(rng, (10**5, 10**7, 10**9)))
    for key in [k for k in group if isinstance(group[k], h5py.Dataset)]:
        old = group[key]
        if len(old.shape) and old.dtype.kind == "f":
            _put(
                file,
                f"{group.name}/{key}",
                shape=(count, *old.shape[1:]),
                dtype=old.dtype,
            )


def _bomb(file: h5py.File, name: str, rng: Rng) -> None:
    shape = file[name].shape[1:]
    count = int(_pick(rng, (10**4, 4 * 10**6)))
    with_zeros = {"chunks": (min(count, 10**5), *shape), "compression": "gzip"}
    _put(file, name, shape=(count, *shape), dtype="f4", **with_zeros)
    file[name][:1] = 0


def _empty(file: h5py.File, name: str, rng: Rng) -> None:
    shape = _pick(rng, ((0,), (), (10**9, 0, 3), (0, 3), None, (2, 2, 2, 2), (1,) * 30))
    how = {"data": h5py.Empty("f8")} if shape is None else {"shape": shape, "dtype": "f8"}
    _put(file, name, **how)


def _kinds(file: h5py.File, name: str, rng: Rng) -> None:
    old = file[name]
    shape = old.shape
    kinds: tuple[Any, ...] = (
        "c16", "?", "f2", ">f8", "u8", "S9", "V16", h5py.string_dtype(), "i1",
        h5py.vlen_dtype(np.int32), np.dtype([("a", "f8")]), h5py.enum_dtype({"A": 1}),
        h5py.ref_dtype, np.dtype(("f8", (3,))),
    )  # fmt: skip
    _put(file, name, shape=shape, dtype=_pick(rng, kinds))


def _values(file: h5py.File, name: str, rng: Rng) -> None:
    old = file[name]
    if old.dtype.kind in "iuf":
        value = _pick(rng, (np.nan, np.inf, 1e300, -1, 0, 255, 1e-300))
        with np.errstate(all="ignore"):
            old[...] = np.full(old.shape, value).astype(old.dtype)
    else:
        words = ("", "C" * 30_000, "[" * DEEP, b"\xff\xfe", "x", "[Fr+9]", "C>>C", "\x00")
        old[...] = _pick(rng, words)


def _links(file: h5py.File, name: str, rng: Rng) -> None:
    parent = file[name].parent
    key = name.rpartition("/")[2]
    target = _pick(rng, (
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
        _put(file, name, shape=shape, dtype=dtype, external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)])  # fmt: skip
    else:
        layout = h5py.VirtualLayout(shape=shape, dtype=dtype)
        layout[...] = h5py.VirtualSource("other.h5", "x", shape=shape)
        del file[name]
        file.create_virtual_dataset(name, layout, fillvalue=0)


def _attributes(file: h5py.File, name: str, rng: Rng) -> None:
    one = _pick(rng, (file[name], file[name].parent, file))
    for key in [*one.attrs, "units", "u", "level_of_theory"]:
        value = _pick(rng, ("", "bananas", 3, "x" * 60_000, [1.0, 2.0], b"\xff", h5py.Empty("f"),
                            "hartree", "angstrom", "\x1b[1m"))  # fmt: skip
        one.attrs[key] = value


def _names(file: h5py.File, name: str, rng: Rng) -> None:
    first, _, _ = name.partition("/")
    new = _pick(
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


def _sqlite(content: bytes, rng: Rng) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.db"
        path.write_bytes(content)
        with closing(sqlite3.connect(path)) as connection:
            rows = connection.execute("SELECT name FROM sqlite_master WHERE type='table'")
            tables = [name for (name,) in rows if not name.startswith("sqlite_")]
            table = (
                "systems"
                if "systems" in tables and rng.random() < 0.7
                else _pick(rng, tables)
            )
            columns = [
                row[1] for row in connection.execute(f"PRAGMA table_info({table})")
            ]
            column = _pick(rng, columns)
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
                            f"UPDATE {table} SET {column} = ?", (_pick(rng, values),)
                        )
                    except sqlite3.Error:  # a key that may not be twice
                        connection.execute(f"DELETE FROM {table}")
            connection.commit()
        return path.read_bytes()


# safetensors


def _tensors(content: bytes, rng: Rng) -> bytes:
    size = int.from_bytes(content[:8], "little")
    header = _json(content[8 : 8 + size], rng)
    claimed = _pick(rng, (len(header), len(header), 2**62, 0, 10**9))
    return claimed.to_bytes(8, "little") + header + content[8 + size :]


EDITS: dict[str, tuple[Edit, ...]] = {
    ".xyz": (_claim, _comment, _comment, _count),
    ".extxyz": (_claim, _comment, _count),
    ".yaml": (_yaml, _yaml, _yaml),
    ".json": (_json, _json, _json, _json),
    ".jsonl": (_json, _json, _json),
    ".npz": (
        _npz_header,
        _npz_header,
        _npz_header,
        _npz_members,
        _npz_members,
        _zip_fields,
    ),
    ".hdf5": (_hdf5, _hdf5, _hdf5, _hdf5, _hdf5),
    ".h5": (_hdf5, _hdf5, _hdf5, _hdf5, _hdf5),
    ".db": (_sqlite, _sqlite, _sqlite),
    ".sqlite": (_sqlite, _sqlite, _sqlite),
    ".safetensors": (_tensors, _tensors),
}
"""Suffix -> edits that know the layout of such files."""
