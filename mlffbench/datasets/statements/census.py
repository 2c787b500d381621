"""What there is to say of a file as a whole, counted frame by frame."""

import hashlib

from mlffbench.datasets.statements.charge_spin import ChargeSpin

_GUESSED = (
    "an odd number of electrons and no stated charge or spin; taken as neutral doublets: "
    "state total_charge or total_spin (2S + 1) if that is wrong"
)


class Census:
    """Counts the frames that were seen before, and those whose charge is a guess.

    Args:
        what: What a structure of the file is called, e.g. ``"frames of train.xyz"``.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._n = 0
        self._seen: set[bytes] = set()
        self._guessed: list[str] = []

    def add(self, where: str, geometry: bytes, found: ChargeSpin) -> None:
        """Count a frame.

        Args:
            where: What it is called in messages.
            geometry: Bytes that are equal for equal atoms, positions and cells.
            found: Its charge and spin.
        """
        self._n += 1
        state = f"{found.charge} {found.multiplicity} ".encode()
        self._seen.add(hashlib.blake2b(state + geometry, digest_size=12).digest())
        if found.is_guess:
            self._guessed.append(where)

    def remarks(self) -> tuple[str, ...]:
        """Return the sentences there are to say."""
        said = []
        again = self._n - len(self._seen)
        if again:
            said.append(
                f"{again} of the {self._n} {self._what} repeat an earlier one atom by "
                "atom: means and intervals count them all"
            )
        if self._guessed:
            n = len(self._guessed)
            said.append(
                f"{n} of the {self._n} {self._what} ({self._guessed[0]}"
                f"{' first' if n > 1 else ''}) have {_GUESSED}"
            )
        return tuple(said)
