"""What is mutated: one tiny healthy example of everything that is read, and its reader.

A reader returns a checksum of the meaning of what it read, so that a mutant is harmless,
another dataset, or damage that nobody noticed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fuzz_examples import (
    frames_of,
    meaning,
    read_cache,
    read_checkpoint,
    read_curve,
    read_run,
    read_simulation,
    read_suite,
    write_cache,
    write_checkpoint,
    write_curve,
    write_database,
    write_described,
    write_hdf5_frames,
    write_packed_spice,
    write_run,
    write_simulation,
    write_suite,
    write_table,
    write_xyz,
)
from small_files import write_spice
from small_layouts import write_ani1x, write_modelforge, write_npz, write_transition1x

Files = dict[str, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """A healthy example.

    Attributes:
        name: What it is called in counts.
        write: Writes it into an empty folder.
        read: Reads it there, and returns a checksum of what it means.
        checksummed: Suffixes of files whose content somebody keeps a checksum of: for
            these, other bytes may not pass for another meaning.
        weight: How often it is drawn.
    """

    name: str
    write: Callable[[Path], object]
    read: Callable[[Path], str]
    checksummed: frozenset[str] = frozenset()
    weight: int = 2

    def files(self, folder: Path) -> Files:
        """Write the example into a folder and return its files by relative name."""
        self.write(folder)
        return {
            str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.name != ".lock"
        }


def _file(
    name: str,
    file: str,
    write: Callable[[Path], object],
    *,
    weight: int = 2,
    checksummed: str = "",
    **options: Any,
) -> Base:
    return Base(
        name=name,
        write=lambda folder: write(folder / file),
        read=lambda folder: meaning(folder / file, **options),
        checksummed=frozenset(checksummed.split()),
        weight=weight,
    )


def _frame_layout(name: str, datasets: str, **options: Any) -> Base:
    names: Any = tuple(datasets.split())
    return _file(
        name,
        f"{name}.h5",
        lambda path: write_hdf5_frames(path, names),
        weight=1,
        **options,
    )


_SEALED = frozenset({".npz", ".parquet", ".json", ".jsonl"})
_EV = {"energy_unit": "eV", "length_unit": "angstrom"}
BASES = (
    _file(
        "xyz", "a.xyz", lambda p: write_xyz(p, frames_of("H2O", "CH4", "H2")), weight=6
    ),
    _file("xyz-cell", "a.xyz", lambda p: write_xyz(p, frames_of("H2O", cell=True))),
    _file(
        "npz",
        "a.npz",
        lambda p: write_npz(p, "md22", n_frames=2),
        weight=5,
        checksummed=".npz",
    ),
    _file(
        "npz-packed",
        "a.npz",
        lambda p: write_npz(p, "words", n_frames=2, packed=True),
        weight=3,
        checksummed=".npz",
        **_EV,
    ),
    _file("spice", "a.hdf5", lambda p: write_spice(p, n_conformers=2), weight=6),
    _file("spice-packed", "a.hdf5", write_packed_spice, weight=3),
    _file("ani-1x", "a.h5", write_ani1x),
    _file("transition1x", "a.h5", write_transition1x),
    _file("modelforge", "a.hdf5", write_modelforge),
    _frame_layout("ani", "species coordinates energies forces"),
    _frame_layout("torchmd", "types pos energy forces", **_EV),
    _file("db", "a.db", write_database, weight=4),
    _file("db-json", "a.json", write_database, weight=3),
    Base(
        name="csv",
        write=write_table,
        read=lambda folder: meaning(folder / "data.yaml"),
        weight=4,
    ),
    Base(
        name="described",
        write=write_described,
        read=lambda folder: meaning(folder / "data.yaml"),
        weight=3,
    ),
    Base(name="suite", write=write_suite, read=read_suite, weight=4),
    Base(
        name="checkpoint",
        write=write_checkpoint,
        read=read_checkpoint,
        checksummed=frozenset({".safetensors"}),
        weight=4,
    ),
    Base(name="run", write=write_run, read=read_run, checksummed=_SEALED, weight=4),
    Base(
        name="simulation",
        write=write_simulation,
        read=read_simulation,
        checksummed=_SEALED,
    ),
    Base(name="curve", write=write_curve, read=read_curve, checksummed=_SEALED),
    Base(name="labels", write=write_cache, read=read_cache, weight=3),
)
BY_NAME = {base.name: base for base in BASES}
