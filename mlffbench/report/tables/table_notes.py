"""Notes under tables: what decides a number and does not show in it, each said once."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from mlffbench.core.record import Record

_COUNTABLE = "not supported"
"""Reasons that end so are said once for all that is not supported."""


def where(record: Record) -> str:
    """Return which split, model and mode a record is about."""
    return f"{record.split}, {record.model} {record.mode}"


def rows_of(records: Iterable[Record]) -> str:
    """Return models, each with its modes, e.g. ``"a baseline, rr; b baseline"``."""
    modes: dict[str, list[str]] = {}
    for record in records:
        modes.setdefault(record.model, []).append(record.mode)
    return "; ".join(
        f"{model} {', '.join(dict.fromkeys(them))}" for model, them in modes.items()
    )


def gathered(told: Iterable[tuple[Record, str]]) -> Iterator[str]:
    """Yield every sentence once per split, with the rows it is about.

    Args:
        told: A record and what is said of it.
    """
    about: dict[tuple[str, str], list[Record]] = {}
    for record, text in told:
        about.setdefault((record.split, text), []).append(record)
    for (split, text), them in about.items():
        if len(them) == 1:
            yield f"{where(them[0])}: {text}"
        else:
            yield f"{split}: {text} ({len(them)} rows: {rows_of(them)})"


def left_out(records: Iterable[Record], what: str) -> Iterator[str]:
    """Yield how many structures, or whatever was computed, are missing, and why.

    A reason that holds for the same rows of several splits is told once.
    """
    by_split: dict[tuple[str, str, str], list[Record]] = {}
    for record in records:
        for reason, count in _merged(record.counts.reasons).items():
            counts = f"{count} of {record.counts.total}"
            by_split.setdefault((reason, record.split, counts), []).append(record)
    told: dict[tuple[str, str], list[tuple[str, str, list[Record]]]] = {}
    for (reason, split, counts), them in by_split.items():
        told.setdefault((reason, rows_of(them)), []).append((split, counts, them))
    for (reason, rows), parts in told.items():
        split, counts, them = parts[0]
        if len(parts) > 1:
            every = ", ".join(f"{split} {counts}" for split, counts, _ in parts)
            yield f"{rows}: {what} of {every} – {reason}"
        else:
            yield from gathered((one, f"{counts} {what} – {reason}") for one in them)


def warnings(records: Sequence[Record]) -> Iterator[str]:
    """Yield what decides a number or a verdict and does not show in it."""
    yield from _outliers(records)
    yield from gathered(
        (record, "worse than no forces at all")
        for record in records
        if (zero := record.against_zero.get("forces_mae")) is not None
        and zero.verdict == "worse"
    )
    unjudged: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        for what in (record.paired, record.against_prior):
            found = what.get("forces_mae")
            if found is not None and found.reason:
                unjudged.setdefault((record.split, found.reason), []).append(record)
    for (split, reason), them in unjudged.items():
        yield f"cannot be judged on {split}, {reason}: {rows_of(them)}"


def _outliers(records: Sequence[Record]) -> Iterator[str]:
    """Yield the molecules that carry most of an error, each once per split."""
    about: dict[tuple[str, str], list[tuple[Record, int]]] = {}
    for record in records:
        if record.outlier is not None:
            key = (record.split, record.outlier.molecule)
            share = round(100 * record.outlier.share)
            about.setdefault(key, []).append((record, share))
    for (_, molecule), them in about.items():
        shares = [share for _, share in them]
        least, most = min(shares), max(shares)
        span = f"{most} %" if least == most else f"{least} to {most} %"
        text = f"{molecule} alone carries {span} of the error"
        yield from gathered((record, text) for record, _ in them)


def _merged(reasons: Mapping[str, int]) -> dict[str, int]:
    """Return reason -> count; those that name different elements or charges are one."""
    by_head: dict[str, dict[str, int]] = {}
    for reason, count in reasons.items():
        head, _, tail = reason.rpartition(": ")
        key = (head, tail) if head.endswith(_COUNTABLE) else (reason, "")
        by_head.setdefault(key[0], {})[key[1]] = count
    merged = {}
    for head, tails in by_head.items():
        if len(tails) > 1:
            said = ", ".join(f"{tail} ({count})" for tail, count in tails.items())
        else:
            said = next(iter(tails))
        merged[f"{head}: {said}" if said else head] = sum(tails.values())
    return merged
