"""A watcher of transfers that remembers what it was told."""


class Notes:
    """What was said, begun and waited for."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.waits: list[float] = []
        self.begun: list[tuple[str, int | None, int]] = []
        self.n_bytes = 0

    def begin(self, title: str, total: int | None, done: int) -> None:
        self.begun.append((title, total, done))

    def advance(self, n_bytes: int) -> None:
        self.n_bytes += n_bytes

    def note(self, sentence: str) -> None:
        self.notes.append(sentence)

    def wait(self, wait_s: float) -> None:
        self.waits.append(wait_s)
