"""Lazy catalogues: every name on one screen, nothing imported until it is asked for.

Other packages add rows through entry points. One may point at an `Entry`, a whole row
with its card, which a list imports, so it belongs into a module that imports little; or
straight at the thing itself, which nothing imports before it is used.
"""

import importlib
import importlib.metadata
import importlib.util
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import EntryPoint, EntryPoints
from typing import Any, NamedTuple, Protocol, runtime_checkable

from mlffbench.core.errors import BenchError, MissingExtraError, UnknownNameError
from mlffbench.core.plugins.plugin_source import look_at
from mlffbench.core.plugins.user_file import in_words

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")


@runtime_checkable
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
        extra: The extra of its package (mlffbench, or the one that adds it) that it
            needs, if any.
        requires: Import names that tell whether the extra is installed.
        card: Everything else known without importing the target.
        prior: Whether it is a force field cheap enough to guide a refinement.
        package: The package that adds it and its version; empty for our own rows. Filled
            in by the registry.
        fault: Why it cannot be used; empty when nothing is known against it. Filled in by
            the registry.
    """

    target: str
    summary: str
    extra: str | None = None
    requires: tuple[str, ...] = ()
    card: Card | None = None
    prior: bool = False
    package: str = ""
    fault: str = ""

    def missing(self) -> str | None:
        """Return the first required import name that is not installed, else None."""
        for package in self.requires:
            if importlib.util.find_spec(package) is None:
                return package
        return None


class OutsidePoint(NamedTuple):
    """An entry point of another package.

    Attributes:
        name: The name it claims.
        package: The package and its version.
        point: The entry point.
    """

    name: str
    package: str
    point: EntryPoint


@cache
def _points(group: str, path: tuple[str, ...]) -> EntryPoints:  # noqa: ARG001 - the key
    """Return the entry points of a group, scanned once for a search path."""
    return importlib.metadata.entry_points(group=group)


def outside_points(kind: str, group: str) -> Iterator[OutsidePoint]:
    """Yield what other packages add to a group of entry points.

    Raises:
        BenchError: A name holds characters that no name of a row has.
    """
    for point in _points(group, tuple(sys.path)):
        dist = point.dist
        package = f"{dist.name} {dist.version}" if dist else "an unknown package"
        if not _NAME.fullmatch(point.name):
            msg = (
                f"{package} registers {kind} {point.name!r}; a name is made of letters, "
            )
            msg += f"digits and . _ + -: rename its entry point in group {group!r}"
            raise BenchError(msg)
        yield OutsidePoint(point.name, package, point)


def taken(kind: str, name: str, package: str, group: str) -> BenchError:
    """Return the sentence for a package that claims a name of another."""
    return BenchError(
        f"{package} registers {kind} {name!r}, a name that is taken; rename its entry "
        f"point in group {group!r}, or uninstall {package.partition(' ')[0]}"
    )


def faulty(entry: Entry, fault: str) -> Entry:
    """Return the row of an outside thing that cannot be used; a list tells why."""
    return replace(entry, summary=f"cannot be used: {fault}", fault=fault)


class Registry:
    """A table from names to entries; listing it imports nothing of ours.

    Args:
        kind: What the rows are, e.g. ``"model"``; used in messages.
        rows: The table.
        group: Entry-point group through which other packages add rows.
        prior_group: The same for rows that are priors.
        card: The type of the rows' cards.
        needs_card: Whether a row is of no use without its card.
    """

    def __init__(
        self,
        kind: str,
        rows: Mapping[str, Entry],
        *,
        group: str | None = None,
        prior_group: str | None = None,
        card: type[Card] | None = None,
        needs_card: bool = False,
    ) -> None:
        self.kind = kind
        self._rows = dict(rows)
        self._groups = {group: False, prior_group: True}
        self._card, self._needs_card = card, needs_card

    def rows(self) -> dict[str, Entry]:
        """Return name -> entry: our own rows first, then those of other packages.

        A package that is broken has its row all the same; its ``fault`` says why.

        Raises:
            BenchError: Another package claims a name that is taken, or an illegal one.
        """
        rows = dict(self._rows)
        for group, prior in self._groups.items():
            if group is None:
                continue
            for name, package, point in outside_points(self.kind, group):
                if name in rows:
                    raise taken(self.kind, name, package, group)
                rows[name] = self._outside(package, point, prior=prior)
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

    def _outside(self, package: str, point: EntryPoint, *, prior: bool) -> Entry:
        """Return the row behind an entry point; faults become part of it."""
        summary = f"added by the package {package}"
        bare = Entry(point.value, summary, prior=prior, package=package)
        look = look_at(point.module, point.attr)
        if look.fault:
            return faulty(bare, look.fault)
        bare = replace(bare, summary=look.summary or bare.summary)
        if not look.is_row:
            if self._needs_card and self._card is not None:
                card = self._card.__name__
                why = f"{point.value} is no Entry, and a {self.kind} needs one with a "
                return faulty(bare, f"{why}{card}")
            return bare
        try:
            row: object = point.load()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - told, not swallowed
            return faulty(bare, f"importing {point.module} raised {in_words(error)}")
        if isinstance(row, Entry) and self._fits(row.card):
            return replace(row, prior=prior or row.prior, package=package)
        card = f" with a {self._card.__name__}" if self._card else ""
        why = f"{point.value} is no Entry{card}"
        return faulty(bare, why)

    def _fits(self, card: object) -> bool:
        """Return whether a card is of the kind that the rows have."""
        if card is None or self._card is None:
            return not self._needs_card
        return isinstance(card, self._card)

    def _resolve(self, name: str, entry: Entry) -> Any:
        what = f"{self.kind} {name!r}"
        if entry.fault:
            package = entry.package
            msg = f"{what} of the package {package} cannot be used: {entry.fault}; mend "
            raise BenchError(msg + "the package or uninstall it")
        missing = entry.missing()
        if missing is not None and entry.package:
            package = entry.package.partition(" ")[0]
            named = f"'{package}[{entry.extra}]'" if entry.extra else repr(missing)
            msg = f"{what} needs {missing!r}, which is not installed; run: pip install "
            raise BenchError(msg + named)
        if missing is not None and entry.extra is not None:
            raise MissingExtraError(what, missing, entry.extra)
        module, _, attribute = entry.target.partition(":")
        try:
            thing: object = importlib.import_module(module)
            for part in attribute.split("."):
                thing = getattr(thing, part)
        except Exception as error:
            msg = f"{what} ({entry.target}) cannot be imported: {in_words(error)}; "
            who = entry.package or "the package that provides it"
            raise BenchError(msg + f"reinstall {who}") from error
        if isinstance(thing, Entry):
            return self._resolve(name, replace(thing, package=entry.package))
        return thing
