"""Execute the notebooks of the documents and keep what they show.

Needs nbclient and ipykernel (the extra dev). What libraries write to the error stream is
left out, since it tells of this machine.

Usage: python docs/run_notebooks.py
"""

import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent / "notebooks"
PATIENCE_S = 900


def main() -> None:
    for path in sorted(HERE.glob("*.ipynb")):
        nbformat.write(executed(path), path)
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


def executed(path: Path) -> Any:
    """Return a notebook run from its first cell to its last, in a folder of its own."""
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(
            notebook,
            timeout=PATIENCE_S,
            kernel_name="python3",
            resources={"metadata": {"path": folder}},
        ).execute()
    return tidied(notebook)


def tidied(notebook: Any) -> Any:
    """Return a notebook without times and without the error stream."""
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [
                one for one in cell.outputs if one.get("name", "") != "stderr"
            ]
    return notebook


if __name__ == "__main__":
    main()
