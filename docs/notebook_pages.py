"""Pages of the executed notebooks, made at build; a hook of mkdocs.

A stored notebook is JSON: its text is Markdown already, its code a block, and what it
shows a block of text, a table or a picture. Nothing is executed here
(docs/run_notebooks.py does), and nothing is fetched by who reads the page.
"""

import json
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

HERE = Path(__file__).resolve().parent / "notebooks"


def on_files(files: "Files", config: "MkDocsConfig") -> "Files":
    """Add a page for every notebook."""
    from mkdocs.structure.files import File

    for path in sorted(HERE.glob("*.ipynb")):
        name = f"notebooks/{path.stem}.md"
        files.append(File.generated(config, name, content=page_of(path)))
    return files


def page_of(path: Path) -> str:
    """Return a notebook as Markdown."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    parts = []
    for cell in notebook["cells"]:
        source = _joined(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts.append(f"```python\n{source}\n```")
        parts += [shown for one in cell["outputs"] if (shown := _shown(one))]
    parts.append(f"*This page is the executed notebook `docs/notebooks/{path.name}`.*")
    return "\n\n".join(parts) + "\n"


def _shown(output: dict[str, Any]) -> str:
    """Return an output as Markdown; empty for one that shows nothing."""
    data = output.get("data", {})
    if "image/png" in data:
        content = _joined(data["image/png"]).replace("\n", "")
        return f'<p><img alt="figure" src="data:image/png;base64,{content}"></p>'
    if "text/html" in data:
        lines = _joined(data["text/html"]).splitlines()
        inside = "\n".join(line for line in lines if line.strip())
        return f'<div class="output" style="overflow-x: auto">\n{inside}\n</div>'
    text = _joined(output.get("text", data.get("text/plain", ""))).rstrip()
    return f"<pre><code>{escape(text)}</code></pre>" if text else ""


def _joined(text: str | list[str]) -> str:
    return text if isinstance(text, str) else "".join(text)
