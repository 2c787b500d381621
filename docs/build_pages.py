"""Pages that are made at build, so that they cannot go stale; a hook of mkdocs.

Commands come from their ``--help``, the catalogue from the catalogues, and CONTRIBUTING,
CHANGELOG and data/README from where they lie. A public name without a docstring fails the
build, as a broken link does.
"""

import inspect
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from typer.testing import CliRunner

import mlffbench
from mlffbench.api.catalogues import Kind, all_rows
from mlffbench.cli.app import app
from mlffbench.core.card import DataCard, ModelCard, format_elements
from mlffbench.core.registry import Entry

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

LOG = logging.getLogger("mkdocs.hooks")
ROOT = Path(__file__).resolve().parent.parent
OUTSIDE = {
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "data/README.md": "data.md",
    "README.md": "index.md",
}
"""Documents outside docs/ -> their pages; README is the front page of the repository."""
TITLES = {
    Kind.suites: "A suite says what is trained on, what is tested, and by which models.",
    Kind.datasets: "Each brings its splits. Sources, licences and checksums: "
    "[data sources](data.md).",
    Kind.models: "A row is a force field: `mlffbench info NAME` tells all of it. "
    "`[extra]` is what to install first.",
    Kind.priors: "Models that are cheap enough to guide a refinement.",
    Kind.modes: "Modes: what happens to a model before it predicts. Settings are "
    "changed with `--set MODE.NAME=VALUE`.",
    Kind.metrics: "The definition is the docstring of the function; a report prints it.",
    Kind.diagnostics: "How far a structure is from training "
    "([which of them to trust](diagnostics.md)).",
    Kind.downloads: "What `mlffbench download` fetches and checks.",
}


def on_config(config: "MkDocsConfig") -> "MkDocsConfig":
    """Put the commands into the navigation."""
    for item in config.nav or []:
        if "Commands" in item:
            names = [{name: f"commands/{name}.md"} for name in commands()]
            item["Commands"] = [{"Overview": "commands/index.md"}, *names]
    return config


def on_files(files: "Files", config: "MkDocsConfig") -> "Files":
    """Add the generated pages."""
    from mkdocs.exceptions import PluginError
    from mkdocs.structure.files import File

    told = dict(public_names())
    bare = [name for name, text in told.items() if not text]
    if bare:
        msg = f"public names without a docstring: {', '.join(bare)}"
        raise PluginError(msg)
    n_names = sum("." not in name for name in told)
    LOG.info(
        "%d of %d public names and %d of %d members of theirs have a docstring",
        *(n_names, n_names, len(told) - n_names, len(told) - n_names),
    )
    for path, content in generated().items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(
    markdown: str, page: "Page", config: "MkDocsConfig", files: "Files"
) -> str:
    """Return the text with links to documents outside docs/ led to their pages."""
    del config, files
    home = ROOT / "docs" / page.file.src_uri
    for outside, made in OUTSIDE.items():
        if made == page.file.src_uri and made != "index.md":
            home = ROOT / outside
    up = "../" * page.file.src_uri.count("/")

    def lead(found: re.Match[str]) -> str:
        target, _, anchor = found[1].partition("#")
        where = (home.parent / target).resolve()
        known = {ROOT / name: made for name, made in OUTSIDE.items()}
        if where in known:
            inside = known[where]
        elif home.parent != ROOT / "docs" and where.is_relative_to(ROOT / "docs"):
            inside = str(where.relative_to(ROOT / "docs"))
        else:
            return found[0]
        return f"]({up}{inside}{'#' * bool(anchor)}{anchor})"

    return re.sub(r"\]\((?!https?:|#|mailto:)([^)\s]+)\)", lead, markdown)


def generated() -> dict[str, str]:
    """Return path -> text of every page that is made."""
    outside = {
        made: (ROOT / name).read_text(encoding="utf-8")
        for name, made in OUTSIDE.items()
        if made != "index.md"
    }
    pages = {f"commands/{name}.md": command_page(name) for name in commands()}
    overview = f"# Commands\n\n{_block(help_of())}"
    return {
        "catalogue.md": catalogue_page(),
        "commands/index.md": overview,
        **pages,
        **outside,
    }


def commands() -> list[str]:
    """Return the names of all commands, in the order of ``--help``."""
    return list(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def help_of(*words: str) -> str:
    """Return what ``--help`` prints."""
    env = {"COLUMNS": "92", "TERMINAL_WIDTH": "92", "NO_COLOR": "1", "TERM": "dumb"}
    done = CliRunner().invoke(app, [*words, "--help"], env=env, prog_name="mlffbench")
    if done.exit_code:
        msg = f"mlffbench {' '.join(words)} --help failed: {done.output}"
        raise RuntimeError(msg)
    plain = re.sub(r"\x1b\[[\d;]*m", "", done.output)
    return "\n".join(line.rstrip() for line in plain.strip("\n").splitlines())


def command_page(name: str) -> str:
    """Return the page of a command."""
    return f"# mlffbench {name}\n\n{_block(help_of(name))}"


def catalogue_page() -> str:
    """Return a table for every catalogue, one line for every row."""
    parts = ["# Catalogue", "Everything that has a name, as `mlffbench list` prints it."]
    for kind, rows in all_rows().items():
        parts += [f"## {kind.value.capitalize()}", TITLES[kind], _table(rows)]
    return "\n\n".join(parts) + "\n"


def _table(rows: dict[str, Entry]) -> str:
    cards = [entry.card for entry in rows.values()]
    columns: tuple[str, ...] = ("name", "what it is")
    if any(isinstance(card, ModelCard) for card in cards):
        columns = (*columns, "elements", "level of theory", "licence", "extra")
    elif any(isinstance(card, DataCard) for card in cards):
        columns = (*columns, "elements", "level of theory", "size", "licence")
    elif any(card is not None for card in cards):
        columns = (*columns, *(fact for fact, _ in _first(cards).rows()))
    lines = [_line(columns), "|" + "---|" * len(columns)]
    for name, entry in rows.items():
        facts = dict(entry.card.rows()) if entry.card else {}
        facts["extra"] = f"`[{entry.extra}]`" if entry.extra else ""
        if isinstance(entry.card, ModelCard | DataCard):
            facts["elements"] = format_elements(entry.card.elements)
        cells = (_cell(facts.get(column, "")) for column in columns[2:])
        lines.append(_line((f"`{name}`", _cell(entry.summary), *cells)))
    return "\n".join(lines)


def _first(cards: list[Any]) -> Any:
    return next(card for card in cards if card is not None)


def public_names() -> Iterator[tuple[str, str | None]]:
    """Yield every public name, members of classes too, and its docstring."""
    for name in mlffbench.__all__:
        thing = getattr(mlffbench, name)
        if name == "__version__":
            continue
        yield name, inspect.getdoc(thing)
        if inspect.isclass(thing):
            for member, value in vars(thing).items():
                ours = callable(value) or isinstance(value, property | classmethod)
                ours = ours or type(value).__name__ == "cached_property"
                if ours and not member.startswith("_"):
                    yield f"{name}.{member}", inspect.getdoc(value)


def _line(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


def _block(text: str) -> str:
    return f"```text\n{text}\n```\n"
