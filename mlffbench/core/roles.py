"""Roles: which part a split plays, and what may go with it."""

from collections import Counter
from collections.abc import Sequence
from typing import Literal, Protocol

from mlffbench.core.errors import DataError

Role = Literal["train", "id_val", "id_test", "ood_val", "ood_test"]
ShiftKind = Literal[
    "elements", "force_norm", "connectivity", "size", "charge", "composition", "spin"
]


class Named(Protocol):
    """What is known of a split before any file of it is opened."""

    @property
    def name(self) -> str:
        """e.g. ``"ood_elements"``."""
        ...

    @property
    def role(self) -> Role:
        """Which part it plays."""
        ...

    @property
    def control(self) -> str:
        """Name of the ID split it is compared with; empty for the first."""
        ...


def check_role(name: str, role: Role, *, has_shift: bool) -> None:
    """Check that a split of this name and role may be.

    Raises:
        DataError: The name says nothing, or the shift does not go with the role.
    """
    if name in {"val", "test"}:
        msg = f"a split may not be called {name!r}: say whether it is ID or OOD"
        raise DataError(msg)
    if role.startswith("ood") != has_shift:
        msg = f"split {name!r} with role {role!r}: OOD splits, and only they, state a "
        raise DataError(msg + "shift")


def check_unique(splits: Sequence[Named]) -> None:
    """Check that no two splits share name and role.

    Raises:
        DataError: Two do.
    """
    counts = Counter((split.name, split.role) for split in splits)
    for (name, role), count in counts.items():
        if count > 1:
            msg = f"split {name!r} appears twice with role {role!r}"
            raise DataError(msg)
