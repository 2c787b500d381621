"""Lazy catalogues: every name on one screen, nothing imported until it is asked for."""

import importlib
import importlib.metadata
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from mlffbench.core.errors import BenchError, MissingExtraError, UnknownNameError


class Card(Protocol):
    """Anything that can list itself as (fact, value) pairs."""

    def rows(self) -> list[tuple[str, str]]:
        """Return (fact, value) pairs for people."""
        ...


@dataclass(frozen=True, slots=True)
class Entry:
    """One catalogue row.

    Attributes:
        target: ``"package.module:attribute"``, imported on `Registry.load`.
        summary: One line for people.
        extra: The extra of mlffbench it needs, if any.
        requires: Import names that tell whether the extra is installed.
        card: Everything else known without importing the target.
        prior: Whether it is a force field cheap enough to guide a refinement.
    """

    target: str
    summary: str
    extra: str | None = None
    requires: tuple[str, ...] = ()
    card: Card | None = None
    prior: bool = False

    def missing(self) -> str | None:
        """Return the first required import name that is not installed, else None."""
        for package in self.requires:
            if importlib.util.find_spec(package) is None:
                return package
        return None


class Registry:
    """A table from names to entries; listing it imports nothing.

    Args:
        kind: What the rows are, e.g. ``"model"``; used in messages.
        rows: The table.
        group: Entry-point group through which other packages add rows. An entry point
            may point at an `Entry` object or straight at the thing itself.
        prior_group: The same for rows that are priors.
    """

    def __init__(
        self,
        kind: str,
        rows: Mapping[str, Entry],
        *,
        group: str | None = None,
        prior_group: str | None = None,
    ) -> None:
        self.kind = kind
        self._rows = dict(rows)
        self._groups = {group: False, prior_group: True}

    def rows(self) -> dict[str, Entry]:
        """Return name -> entry: our own rows first, then those of other packages.

        Raises:
            BenchError: Another package claims a name that is taken.
        """
        rows = dict(self._rows)
        for group, prior in self._groups.items():
            if group is None:
                continue
            for point in importlib.metadata.entry_points(group=group):
                package = point.dist.name if point.dist else "an unknown package"
                if point.name in rows:
                    msg = (
                        f"{package} registers {self.kind} {point.name!r}, a name that is "
                        f"taken; rename its entry point in group {group!r}"
                    )
                    raise BenchError(msg)
                summary = f"added by the package {package}"
                rows[point.name] = Entry(point.value, summary, prior=prior)
        return rows

    def names(self) -> list[str]:
        """Return every name, in table order."""
        return list(self.rows())

    def entry(self, name: str) -> Entry:
        """Return the row of a name.

        Raises:
            UnknownNameError: No row carries the name.
        """
        rows = self.rows()
        if name not in rows:
            raise UnknownNameError(self.kind, name, rows)
        return rows[name]

    def load(self, name: str) -> Any:
        """Import and return what a row points at.

        Raises:
            UnknownNameError: No row carries the name.
            MissingExtraError: The row's extra is not installed.
            BenchError: What the row points at cannot be imported.
        """
        return self._resolve(name, self.entry(name))

    def _resolve(self, name: str, entry: Entry) -> Any:
        missing = entry.missing()
        if missing is not None and entry.extra is not None:
            what = f"{self.kind} {name!r}"
            raise MissingExtraError(what, missing, entry.extra)
        module, _, attribute = entry.target.partition(":")
        try:
            thing = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            msg = f"{self.kind} {name!r} ({entry.target}) cannot be imported: {error}; "
            raise BenchError(msg + "reinstall the package that provides it") from error
        return self._resolve(name, thing) if isinstance(thing, Entry) else thing
