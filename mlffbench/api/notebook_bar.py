"""A bar in a notebook: how far a call is, drawn in place by IPython itself."""

import sys
from html import escape
from typing import Any

from mlffbench.run.work import Progress

_EVERY = 100
"""A bar is drawn anew at most that often."""


class NotebookBar:
    """One line per job: a bar while it runs, its counts when it is done."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._title, self._total, self._done, self._drawn = "", 0, 0, 0

    def begin(self, title: str, n_structures: int) -> None:
        """Start a line."""
        self._title, self._total, self._done, self._drawn = title, n_structures, 0, 0
        self._handle = None
        self._draw()

    def advance(self, n_structures: int) -> None:
        """Draw it longer."""
        self._done += n_structures
        step = max(1, self._total // _EVERY)
        if self._done - self._drawn >= step or self._done >= self._total:
            self._draw()

    def _draw(self) -> None:
        from IPython.display import HTML, display  # a notebook has it

        self._drawn = self._done
        counts = f"{self._done:,} of {self._total:,}"
        bar = f'<progress value="{self._done}" max="{self._total}"></progress> '
        running = self._done < self._total
        text = f"{bar if running else ''}{escape(self._title)}: {counts}"
        if self._handle is None:
            self._handle = display(HTML(text), display_id=True)
        else:
            self._handle.update(HTML(text))


def watched(progress: Progress | None) -> Progress | None:
    """Return who watches: whoever was named, else a bar where this is a notebook."""
    shell = sys.modules.get("IPython")
    if progress is not None or shell is None:
        return progress
    session = shell.get_ipython()
    return NotebookBar() if getattr(session, "kernel", None) is not None else None
