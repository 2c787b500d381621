"""Who is told how a transfer goes."""

from typing import Protocol


class Watcher(Protocol):
    """Who is told how a transfer goes."""

    def begin(self, title: str, total: int | None, done: int) -> None:
        """Start a file, or a check of it, of ``total`` bytes, ``done`` of them there."""
        ...

    def advance(self, n_bytes: int) -> None:
        """Count bytes."""
        ...

    def note(self, sentence: str) -> None:
        """Hear of something that needs nobody to act."""
        ...
