"""Sound parts: the pieces of a simulation or a curve, whoever computed them."""

from dataclasses import replace

from mlffbench.core.errors import StoreError
from mlffbench.core.files import make_folder
from mlffbench.run.folder import Arrays
from mlffbench.run.shards.crew import Crew, Piece
from mlffbench.run.work import Progress, Silent

_TRIES = 3
"""Times that a broken part is computed anew."""


def sound_parts(crew: Crew, run: str, progress: Progress) -> list[Arrays]:
    """Return the part of every piece; what is missing, broken or stale is computed.

    Args:
        crew: This process among those that compute them.
        run: Fingerprint that a part of this run has as its ``run``.
        progress: Told of everything that is finished.

    Raises:
        StoreError: One is broken as soon as it is written.
        BenchError: A computation fails.
    """
    folder = crew.folder
    for attempt in range(1 + _TRIES):
        crew.carry_out(Silent() if attempt else progress)
        parts = [_sound(crew, piece, run) for piece in crew.shards]
        if None not in parts:
            return [part for part in parts if part is not None]
        make_folder(folder.parts)
        for piece, part in zip(crew.shards, parts, strict=True):
            if part is None:
                folder.part(piece.number).unlink(missing_ok=True)
        crew = replace(crew, others=None)  # they think that all is done
    msg = f"a part in {folder.parts} is broken as soon as it is written; check the disk, "
    raise StoreError(msg + "or choose another --out")


def _sound(crew: Crew, piece: Piece, run: str) -> Arrays | None:
    part = crew.folder.read_any_part(piece.number)
    return part if part is not None and str(part.get("run")) == run else None
