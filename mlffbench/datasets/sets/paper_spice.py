"""``paper-spice``: trained on SPICE 1.1.4, tested on 10,000 molecules SPICE 2 added.

Kreiman & Krishnapriyan, arXiv 2503.08674. Which 10,000 they drew is not published with
SPICE's own names, so they are drawn anew by the same rule. What is out of distribution is
told by theirs: more than one standard deviation from the training mean.
"""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from mlffbench.core.errors import DataError
from mlffbench.core.roles import ShiftKind
from mlffbench.core.spectrum import share_near_one
from mlffbench.core.split import Rows, Shift, Split
from mlffbench.datasets.index.index import Counter
from mlffbench.datasets.index.indexed import IndexedFile
from mlffbench.datasets.index.sampling import size_of, spread
from mlffbench.datasets.index.splitfiles import Cut
from mlffbench.datasets.published_shifts import DeviationRule, Spread
from mlffbench.datasets.sets.paper_files import published_splits
from mlffbench.datasets.sets.spice import (
    SPECTRAL_SAMPLE,
    kept,
    new_rows,
    open_release,
    read_parts,
    trained_cuts,
)
from mlffbench.datasets.shifts import DEFAULT_CUTOFF

WHOLE = "ood_all"
"""The split of all molecules; the other OOD splits are parts of it."""


def splits(size: str = "10k", counter: Counter | None = None) -> tuple[Split, ...]:
    """Return the splits of ``paper-spice``.

    Args:
        size: At most so many OOD structures, and so many of the control.
        counter: Told how far indexing and labelling are.

    The published files are taken whole where they are downloaded.

    Raises:
        DataError: SPICE 1.1.4 or 2.0.1 is not downloaded, or damaged, or the second has
            no molecule that the first lacks, or a published file is not what the paper
            says.
        MissingExtraError: rdkit is not installed.
    """
    published = published_splits("spice", counter)
    if published is not None:
        return published
    first = open_release("spice-1", "paper-spice", counter)
    second = open_release("spice-2", "paper-spice", counter)

    def carve() -> list[Cut]:
        most = size_of(size)
        known = [
            cut for cut in trained_cuts(first, most) if not cut.split.role.endswith("val")
        ]
        train = next(cut.split for cut in known if cut.split.role == "train")
        new = spread(second.index, new_rows(first.table, second.table), most, WHOLE)
        if not len(new):
            msg = (
                f"{second.path} has no molecule that {first.path} lacks; expected SPICE "
            )
            raise DataError(msg + "2.0.1 and 1.1.4: download them again")
        rule = _rule(first, train.rows, counter)
        return [*known, *_parts(second, new, rule, counter)]

    sources = {"spice-1": first, "spice-2": second}
    return kept(f"paper-spice-{size}", sources, size, carve)


def _rule(source: IndexedFile, rows: Rows, counter: Counter | None) -> DeviationRule:
    """Return what training holds; its graphs from a sample spread over molecules."""
    records = np.unique(source.index.record[rows]).tolist()
    sample = spread(source.index, rows, SPECTRAL_SAMPLE, "spectral sample")
    parts = read_parts(source, sample, "training spectra", counter)
    shares = [share_near_one(part, DEFAULT_CUTOFF) for part in parts]
    return DeviationRule(
        elements=frozenset().union(*(source.index.elements[i] for i in records)),
        force_norm=Spread.of(source.table.mean_force[rows]),
        connectivity=Spread.of(np.concatenate(shares)),
        cutoff=DEFAULT_CUTOFF,
    )


def _parts(
    source: IndexedFile, rows: Rows, rule: DeviationRule, counter: Counter | None
) -> Iterator[Cut]:
    """Yield the split of all molecules and that of each shift that occurs."""
    index = source.index
    parts = read_parts(source, rows, "OOD spectra", counter)
    shares = np.concatenate([share_near_one(part, rule.cutoff) for part in parts])
    new = np.array([not found <= rule.elements for found in index.elements])
    drawn = f"{len(rows):,} structures of SPICE 2.0.1, spread over molecules whose "
    drawn += "canonical SMILES and geometries are all absent from 1.1.4"
    outside: Mapping[ShiftKind, tuple[NDArray[np.bool_], str]] = {
        "elements": (
            new[index.record[rows]],
            "contains an element that train does not",
        ),
        "force_norm": (
            rule.force_norm.outside(source.table.mean_force[rows]),
            f"mean atomic |F| outside {rule.force_norm.in_words} eV/Å, one standard "
            "deviation about the training mean",
        ),
        "connectivity": (
            rule.connectivity.outside(shares),
            f"share of eigenvalues in [0.9, 1.1] outside {rule.connectivity.in_words}, "
            "one standard deviation about the training mean",
        ),
    }
    mixed = Shift("connectivity", "molecules that train does not have, of any kind")
    yield Cut("spice-2", _split(source, WHOLE, rows, drawn, mixed))
    for kind, (chosen, words) in outside.items():
        if chosen.any():
            shift = Shift(kind, words)
            part = _split(source, f"ood_{kind}", rows[chosen], f"{drawn}; {words}", shift)
            yield Cut("spice-2", part)


def _split(source: IndexedFile, name: str, rows: Rows, rule: str, shift: Shift) -> Split:
    return Split(
        name=name,
        role="ood_test",
        source=source,
        rows=rows,
        rule=rule,
        shift=shift,
        control="id_molecules",
    )
