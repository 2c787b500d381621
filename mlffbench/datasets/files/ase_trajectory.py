"""ASE trajectories (``.traj``): JSON and arrays of numbers; nothing is unpickled."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from ase.io import ulm

from mlffbench.core.errors import DataError
from mlffbench.datasets.files.frame import Frame, Header, labels_in
from mlffbench.datasets.files.frame_file import FrameFile
from mlffbench.datasets.statements.labels_of_file import FAMILIES, family_of
from mlffbench.datasets.statements.stated_units import GivenUnits, settle, stated_units

_FAULTS = (
    OSError, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError,
    AssertionError, ArithmeticError, RuntimeError, MemoryError, ImportError,
    RecursionError,
)  # fmt: skip
"""What ASE raises for a damaged trajectory; it has no exception of its own."""
_TAG = "ASE-Trajectory"
_FEWEST_BYTES = 24
"""Of a header."""


class AseTrajectory(FrameFile):
    """An ASE trajectory, of which only single frames are ever in memory.

    Labels are what the calculator of each frame left, energy and forces in eV and Å, or
    ``REF_energy`` and ``REF_forces`` of its ``info``. Charge and spin are looked up in
    the info, the calculator's results, and the initial charges and magnetic moments.
    Constraints are not read: forces are those of the calculator.

    The id of a structure is the file's stem and the frame's number: ``relax/17``.
    """

    def _headers(self) -> Iterator[Header]:
        with self._open() as frames:
            for number in range(len(frames)):
                yield self._header(frames.read(number), number)

    def _read(self, places: Sequence[Any]) -> Iterator[Frame]:
        with self._open() as frames:
            for number in places:
                yield self._frame(frames.read(number), number)

    @contextmanager
    def _open(self) -> Iterator["_Frames"]:
        with _in_one_sentence(self.path):
            if self.path.stat().st_size < _FEWEST_BYTES:
                raise ValueError("it is cut off")
            with self.path.open("rb") as file:
                reader: Any = ulm.Reader(file)  # type: ignore[no-untyped-call]  # ASE
                if reader.get_tag() != _TAG:
                    msg = f"it is tagged {reader.get_tag()!r}"
                    raise ValueError(msg)
                yield _Frames(reader)

    def _header(self, frame: Mapping[str, Any], number: int) -> Header:
        where = f"frame {number} of {self.path}"
        info, results = _info(frame), _results(frame)
        settle(stated_units(info), self._given, where, GivenUnits())  # told at once
        names = info.keys() | results.keys()
        moments = {"charges": "initial_charges", "magmoms": "initial_magmoms"}
        per_atom = {new: frame[old] for old, new in moments.items() if old in frame}
        per_atom |= {name: results[name] for name in moments if name in results}
        total = {"magmom": results["magmom"]} if "magmom" in results else {}
        numbers, positions, cell, pbc = _geometry(frame)
        parts = (numbers, positions, cell, pbc)
        return Header(
            where=where,
            number=number,
            place=number,
            numbers=numbers,
            facts={**total, **info},
            per_atom=per_atom,
            periodic=bool(pbc.any()),
            energies=frozenset(names & {family.energy for family in FAMILIES}),
            forces=frozenset(names & {family.forces for family in FAMILIES}),
            geometry=b"".join(np.ascontiguousarray(part).tobytes() for part in parts),
        )

    def _frame(self, frame: Mapping[str, Any], number: int) -> Frame:
        where = f"frame {number} of {self.path}"
        info = _info(frame)
        labels = {**_results(frame), **info}
        energy, forces = labels_in(family_of(labels, labels, where), labels, labels)
        numbers, positions, cell, pbc = _geometry(frame)
        return Frame(
            where=where,
            numbers=numbers,
            positions=positions,
            cell=cell,
            pbc=pbc,
            energy=energy,
            forces=forces,
            units=settle(stated_units(info), self._given, where, GivenUnits()),
        )


class _Frames:
    """The frames of an open trajectory; what they share is written in the first."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader

    def __len__(self) -> int:
        return len(self._reader)

    def read(self, number: int) -> Mapping[str, Any]:
        """Return everything of a frame."""
        frame: dict[str, Any] = self._reader[number].asdict()
        return frame if "numbers" in frame else frame | self._shared

    @cached_property
    def _shared(self) -> dict[str, Any]:
        first = self._reader[0]
        return {"numbers": first.numbers, "pbc": first.pbc}


def _geometry(frame: Mapping[str, Any]) -> tuple[Any, Any, Any, Any]:
    """Return numbers (n,), positions (n, 3), cell (3, 3) and pbc (3,) of a frame."""
    return (
        np.asarray(frame["numbers"]),
        np.asarray(frame["positions"], dtype=np.float64).reshape(-1, 3),
        np.asarray(frame["cell"], dtype=np.float64).reshape(3, 3),
        np.asarray(frame["pbc"], dtype=np.bool_).reshape(3),
    )


def _info(frame: Mapping[str, Any]) -> dict[str, Any]:
    info = frame.get("info") or {}
    return dict(json.loads(info) if isinstance(info, str) else info)


def _results(frame: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the calculator computed; its name and its parameters say nothing."""
    found = frame.get("calculator") or {}
    settings = {"name", "parameters"}
    return {name: value for name, value in found.items() if name not in settings}


@contextmanager
def _in_one_sentence(path: Path) -> Iterator[None]:
    try:
        yield
    except _FAULTS as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        msg = f"{path} cannot be read as an ASE trajectory ({reason}); expected a "
        raise DataError(msg + "complete file: fetch or copy it again") from error
