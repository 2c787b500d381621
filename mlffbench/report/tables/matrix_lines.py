"""Matrix of errors -> lines of text that fit a width."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rich.cells import cell_len
from rich.text import Text

from mlffbench.report.tables.error_matrix import Cell, Matrix, Part
from mlffbench.report.tables.wrapping import blocks, wrapped

_INDENT, _GAP = "  ", "  "
_LEAST_NAME = 12
"""Characters that a name keeps before the interval moves below its value."""
_STYLES = {"↓": "green", "↑": "red"}


class _Widths(NamedTuple):
    """Widths of the parts of a column's cells."""

    value: int
    interval: int
    mark: int

    @property
    def beside(self) -> int:
        """Width of the column with the intervals beside the values."""
        parts = (self.value, self.interval, self.mark)
        return sum(parts) + sum(part > 0 for part in parts) - 1

    @property
    def below(self) -> int:
        """Width of the column with the intervals below the values."""
        return max(self.value + (self.mark + 1 if self.mark else 0), self.interval)


def matrix_lines(matrix: Matrix, width: int) -> Iterator[Text]:
    """Yield the lines of a matrix, none of them longer than a width.

    Names are broken between their words; where that is not enough, intervals move below
    their values; where that is not enough, modes follow in tables of their own.

    Args:
        matrix: The errors.
        width: Characters per line, at least 30.
    """
    for line in wrapped(matrix.title, width, at=" "):
        yield Text(line, style="bold")
    yield Text("")
    whole = max(cell_len(model) for part in matrix.parts for model in part.rows)
    widths = [_widths(matrix, place) for place in range(len(matrix.modes))]
    beside = [one.beside for one in widths]
    below = [one.below for one in widths]
    least = min(whole, _LEAST_NAME)
    columns = range(len(widths))
    if _total(least, matrix.modes, beside) <= width:
        name = min(whole, width - _total(0, matrix.modes, beside))
        yield from _table(matrix, columns, name, widths, below=False, width=width)
        return
    names = map(cell_len, matrix.modes)
    needed = [len(_GAP) + max(pair) for pair in zip(names, below, strict=True)]
    for block in blocks(needed, width - _total(least, (), ())):
        modes = [matrix.modes[place] for place in block]
        used = _total(0, modes, [below[place] for place in block])
        name = max(least, min(whole, width - used))
        yield from _table(matrix, block, name, widths, below=True, width=width)
        if block[-1] + 1 < len(widths):
            yield Text("")


def _widths(matrix: Matrix, place: int) -> _Widths:
    cells = [row[place] for part in matrix.parts for row in part.rows.values()]
    return _Widths(
        max(cell_len(cell.value) for cell in cells),
        max(cell_len(cell.interval) for cell in cells),
        max(cell_len(cell.mark) for cell in cells),
    )


def _total(name: int, modes: Sequence[str], widths: Sequence[int]) -> int:
    columns = [max(pair) for pair in zip(map(cell_len, modes), widths, strict=True)]
    return len(_INDENT) + name + sum(columns) + len(_GAP) * len(columns)


def _table(
    matrix: Matrix,
    columns: Sequence[int],
    name: int,
    widths: Sequence[_Widths],
    *,
    below: bool,
    width: int,
) -> Iterator[Text]:
    sizes = {
        place: max(
            cell_len(matrix.modes[place]),
            widths[place].below if below else widths[place].beside,
        )
        for place in columns
    }
    head = "".join(_GAP + _filled(matrix.modes[place], sizes[place]) for place in columns)
    yield Text((_INDENT + " " * name + head).rstrip(), style="dim")
    for part in matrix.parts:
        for line in wrapped(part.heading, width, at=" "):
            yield Text(line, style="bold")
        yield from _rows(part, columns, name, widths, sizes, below=below)


def _rows(
    part: Part,
    columns: Sequence[int],
    name: int,
    widths: Sequence[_Widths],
    sizes: dict[int, int],
    *,
    below: bool,
) -> Iterator[Text]:
    for model, cells in part.rows.items():
        drawn = [_cell(cells[place], widths[place], below=below) for place in columns]
        names = wrapped(model, name)
        height = max(len(names), *(len(one) for one in drawn))
        for number in range(height):
            line = Text(_INDENT)
            line.append(_filled(names[number] if number < len(names) else "", name))
            for place, one in zip(columns, drawn, strict=True):
                text = one[number] if number < len(one) else Text("")
                line.append(_GAP)
                line.append_text(text)
                line.append(" " * (sizes[place] - text.cell_len))
            line.rstrip()
            yield line


def _cell(cell: Cell, widths: _Widths, *, below: bool) -> list[Text]:
    """Return the lines of a cell; values end, and intervals begin, in one place."""
    value = " " * (widths.value - cell_len(cell.value)) + cell.value
    mark = Text(cell.mark, style=_STYLES.get(cell.mark[:1], ""))
    if below:
        first = Text(value)
        if cell.mark:
            first.append(" ").append_text(mark)
        return [first, Text(cell.interval, style="dim")] if cell.interval else [first]
    line = Text(value)
    if widths.interval:
        line.append(" " + _filled(cell.interval, widths.interval), style="dim")
    if cell.mark:
        line.append(" ").append_text(mark)
    return [line]


def _filled(text: str, width: int) -> str:
    return text + " " * (width - cell_len(text))
