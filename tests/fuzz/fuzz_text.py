"""Damage to bytes, text, extended XYZ, YAML and JSON."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

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


def pick(rng: Rng, values: Sequence[Any]) -> Any:
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
        content[:start] + pick(rng, (b"\x00", b"\xff")) * (stop - start) + content[stop:]
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
    size = int(pick(rng, (2, 4, 8)))
    value = pick(rng, BIG) & (2 ** (8 * size) - 1)
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
        return content + _encoded(pick(rng, by))
    one = pick(rng, found)
    return content[: one.start()] + _encoded(pick(rng, by)) + content[one.end() :]


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
            lines[at] = b" ".join([lines[at]] * int(pick(rng, (2, 50, 5000))))
    return b"\n".join(lines)


def _separators(content: bytes, rng: Rng) -> bytes:
    old = pick(rng, (b"\n", b" ", b",", b":", b"=", b'"'))
    new = pick(rng, (b"\r\n", b"\t", b"", b"  ", b"\x0b", b"\xc2\xa0", b";", b"\r"))
    return content.replace(old, new, int(pick(rng, (1, 3, -1))))


def _not_utf8(content: bytes, rng: Rng) -> bytes:
    start = int(rng.integers(len(content) + 1))
    bad = (b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xef\xbb\xbf")
    return content[:start] + pick(rng, bad) + content[start:]


def _utf16(content: bytes, rng: Rng) -> bytes:
    text = content.decode("utf-8", "replace")
    return text.encode(pick(rng, ("utf-16", "utf-32", "utf-8-sig")))


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


def claim(content: bytes, rng: Rng) -> bytes:
    return re.sub(rb"Properties=\S+", lambda _: b"Properties=" + pick(rng, _CLAIMS).encode(), content, count=int(rng.integers(2)))  # fmt: skip


def comment(content: bytes, rng: Rng) -> bytes:
    lines = content.split(b"\n")
    places = [n for n, line in enumerate(lines) if b"Properties" in line] or [0]
    at, more = int(pick(rng, places)), pick(rng, _COMMENTS).encode()
    key = more.partition(b"=")[0]
    old = re.sub(rb"(?<!\S)" + re.escape(key) + rb"=(\"[^\"]*\"|\S+)", b"", lines[at])
    lines[at] = old + b" " + more
    return b"\n".join(lines)


def count(content: bytes, rng: Rng) -> bytes:
    lines = content.split(b"\n")
    places = [n for n, line in enumerate(lines) if line.strip().isdigit()] or [0]
    lines[int(pick(rng, places))] = pick(rng, NUMBERS).encode()
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


def edit_yaml(content: bytes, rng: Rng) -> bytes:
    text = pick(rng, _YAMLS).encode()
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


def edit_json(content: bytes, rng: Rng) -> bytes:
    lines = content.split(b"\n")
    whole = [content] if not content.startswith(b'{"') else lines
    at = int(rng.integers(len(whole)))
    try:
        tree = [json.loads(whole[at])]
    except ValueError:
        return pick(
            rng, (b"null", b"[]", b'""', b"1", b"{}", b"[" * DEEP, b'{"a":' * DEEP)
        )
    parent, key = pick(rng, list(_places(tree)))
    match int(rng.integers(5)):
        case 0 if parent is not tree:
            del parent[key]
        case 1:
            parent[key] = [parent[key]]
        case 2:
            others = list(_places(tree))
            other, place = pick(rng, others)
            parent[key] = json.loads(json.dumps(other[place]))
        case 3 if isinstance(parent, dict):
            parent[str(pick(rng, ("", "x", "a" * 9_999, "\ud800")))] = pick(rng, _VALUES)
        case _:
            parent[key] = pick(rng, _VALUES)
    whole[at] = json.dumps(tree[0]).encode() if tree else b""
    return b"\n".join(whole)
