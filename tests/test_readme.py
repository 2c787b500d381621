"""What the README tells a reader to do works."""

import re
import shlex
from pathlib import Path

import pytest
from processes import mlffbench, python

from mlffbench.run.suite import parse_suite

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, flags=re.DOTALL)
COMMANDS = [
    line.partition("#")[0].strip()
    for _, block in BLOCKS
    for line in block.splitlines()
    if line.startswith("mlffbench ")
]


def block(kind: str, start: str) -> str:
    return next(text for k, text in BLOCKS if k == kind and text.startswith(start))


def test_the_example_suite_is_legal() -> None:
    suite = parse_suite(block("yaml", "# acac.yaml"), "README")
    assert [split.role for split in suite.splits] == ["train", "id_test", "ood_test"]


def test_the_example_model_runs(tmp_path: Path) -> None:
    (tmp_path / "my_model.py").write_text(block("python", "# my_model.py"))
    words = "run --suite mini-ood --limit 1 --model my_model.py:MyModel"
    for command in ("validate my_model.py:MyModel", words):
        done = mlffbench(*command.split(), cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "my_model.py:MyModel" in done.stdout


@pytest.mark.parametrize("command", sorted(set(COMMANDS)))
def test_every_command_and_option_exists(command: str) -> None:
    words = shlex.split(command)
    done = mlffbench(words[1], "--help")
    assert done.returncode == 0
    for word in words[2:]:
        if word.startswith("--"):
            assert word in done.stdout, f"{word} of {command!r}"


def test_it_fits_on_two_pages() -> None:
    assert len(README.splitlines()) <= 150


def table() -> list[list[str]]:
    """Return the cells of the table, a list per line."""
    text = README.partition("<!-- table -->")[2].partition("<!-- end -->")[0].strip()
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_number_of_the_table_is_one_that_a_command_prints() -> None:
    results = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    printed = {}
    for line in results.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) > 4:
            printed.setdefault(tuple(cells[:3]), cells[3:])  # the force table is first
    (_, _, *headings), _, *rows = table()
    assert len(rows) == len({split for split, *_ in printed if "_" in split})
    for split, molecules, *errors in rows:
        for heading, error in zip(headings, errors, strict=True):
            model, _, mode = heading.partition(" ")
            n, mae, *_ = printed[split, model, mode or "baseline"]
            assert error == mae
            assert n.endswith(f"({molecules})")


def test_the_python_example_runs(tmp_path: Path) -> None:
    (tmp_path / "results.py").write_text(block("python", "# results.py"))
    done = python("results.py", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ood_elements" in done.stdout
    assert (tmp_path / "report.html").stat().st_size > 10_000


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)", README):
        if not target.startswith("http"):
            assert (ROOT / target).exists(), target
