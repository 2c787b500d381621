"""What is known of a force field before it is loaded."""

from dataclasses import dataclass, field

SYMBOLS = (
    "X H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn "
    "Ga Ge As Se Br Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce "
    "Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn "
    "Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl "
    "Mc Lv Ts Og"
).split()
"""Chemical symbols by atomic number; number 0 is the placeholder ``X``."""

ALL_ELEMENTS = frozenset(range(1, len(SYMBOLS)))


def elements(symbols: str) -> frozenset[int]:
    """Return the atomic numbers of space-separated symbols.

    Example:
        >>> sorted(elements("H C N O"))
        [1, 6, 7, 8]
    """
    return frozenset(SYMBOLS.index(symbol) for symbol in symbols.split())


def format_elements(numbers: frozenset[int]) -> str:
    """Return atomic numbers as symbols in order, runs of ten and more as a range."""
    parts: list[str] = []
    ordered = sorted(numbers)
    start = 0
    for stop in range(1, len(ordered) + 1):
        if stop < len(ordered) and ordered[stop] == ordered[stop - 1] + 1:
            continue
        run = [SYMBOLS[number] for number in ordered[start:stop]]
        parts += [f"{run[0]}–{run[-1]}"] if len(run) >= 10 else run  # noqa: PLR2004
        start = stop
    return " ".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """What a reader needs to judge a force field's numbers.

    Attributes:
        elements: Atomic numbers it was made for.
        charges: Total charges it can treat, in e; ``None`` means any.
        periodic: Whether it treats periodic cells.
        level_of_theory: Level of theory of its training labels, or its own name.
        training_sets: Names of the sets it was trained on.
        licence: Licence of the weights.
        citation: Where it was published.
        cutoff: Trained graph cutoff in Å, ``None`` where there is none.
        conservative: Whether forces are the negative gradient of the energy.
        dtype: Floating-point type used unless the user says otherwise.
        source: Where the weights come from (URL or package), empty when there are none.
    """

    elements: frozenset[int] = ALL_ELEMENTS
    charges: frozenset[int] | None = frozenset({0})
    periodic: bool = False
    level_of_theory: str = "not stated"
    training_sets: tuple[str, ...] = ()
    licence: str = "not stated"
    citation: str = "not stated"
    cutoff: float | None = None
    conservative: bool = True
    dtype: str = "float32"
    source: str = ""

    def rows(self) -> list[tuple[str, str]]:
        """Return (fact, value) pairs for people."""
        charges = "any" if self.charges is None else _join(sorted(self.charges), "+d")
        return [
            ("elements", format_elements(self.elements)),
            ("charges", charges),
            ("periodic cells", "yes" if self.periodic else "no"),
            ("level of theory", self.level_of_theory),
            ("trained on", ", ".join(self.training_sets) or "nothing"),
            ("licence", self.licence),
            ("citation", self.citation),
            ("cutoff", "none" if self.cutoff is None else f"{self.cutoff:g} Å"),
            ("conservative forces", "yes" if self.conservative else "no"),
            ("default dtype", self.dtype),
            ("weights", self.source or "none"),
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataCard:
    """What a reader needs to judge a dataset.

    Attributes:
        level_of_theory: Level of theory of the reference labels.
        elements: Atomic numbers that occur.
        licence: Licence of the data.
        citation: Where it was published.
        source: URL, or ``"ships in the package"``.
        size: Size in words, e.g. ``"1334 structures, 1.7 MB"``.
        charges: Total charges that occur, in words.
        units: Units in the file, in words.
        notes: Anything a user must know.
        downloads: What `mlffbench download` has to fetch for it, e.g. ``("spice-1",)``.
    """

    level_of_theory: str
    elements: frozenset[int]
    licence: str
    citation: str
    source: str
    size: str
    charges: str = "0"
    units: str = "bohr, hartree"
    notes: tuple[str, ...] = field(default=())
    downloads: tuple[str, ...] = ()

    def rows(self) -> list[tuple[str, str]]:
        """Return (fact, value) pairs for people."""
        return [
            ("level of theory", self.level_of_theory),
            ("elements", format_elements(self.elements)),
            ("charges", self.charges),
            ("size", self.size),
            ("units in the file", self.units),
            ("licence", self.licence),
            ("citation", self.citation),
            ("source", self.source),
            *(("note", note) for note in self.notes),
            *(("needs", f"mlffbench download {name}") for name in self.downloads),
        ]


def _join(values: list[int], spec: str) -> str:
    return " ".join(format(value, spec) if value else "0" for value in values)
