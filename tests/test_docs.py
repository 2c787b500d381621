"""What the documents tell a reader to type exists, and their examples work."""

import re
import shlex
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mlffbench.cli.app import app
from mlffbench.core.forcefield import HasWeights
from mlffbench.run.suite import parse_suite

DOCS = Path(__file__).parent.parent / "docs"
PAGES = sorted(DOCS.glob("*.md"))
FENCE = re.compile(r"```(\w*)\n(.*?)```", flags=re.DOTALL)
COMMANDS = sorted(
    {
        line.partition("#")[0].strip()
        for page in PAGES
        for _, block in FENCE.findall(page.read_text(encoding="utf-8"))
        for line in block.splitlines()
        if line.startswith("mlffbench ")
    }
)


def block(page: str, start: str) -> str:
    blocks = FENCE.findall((DOCS / page).read_text(encoding="utf-8"))
    return next(text for _, text in blocks if text.startswith(start))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_and_option_exists(command: str) -> None:
    words = shlex.split(command)
    done = CliRunner().invoke(app, [words[1], "--help"], env={"COLUMNS": "300"})
    assert done.exit_code == 0
    shown = re.sub(r"\x1b\[[\d;]*m", "", done.output)
    for word in words[2:]:
        if word.startswith("--"):
            assert word in shown, f"{word} of {command!r}"


def test_the_model_of_own_model_keeps_every_promise(tmp_path: Path) -> None:
    (tmp_path / "springs.py").write_text(block("own-model.md", "# springs.py"))
    words = [sys.executable, "-m", "mlffbench", "validate", "springs.py:Springs"]
    done = subprocess.run(
        words, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "keeps every promise" in done.stdout


def test_the_suite_of_own_data_is_legal() -> None:
    suite = parse_suite(block("own-data.md", "# acac.yaml"), "own-data.md")
    assert [split.role for split in suite.splits] == ["train", "id_test", "ood_test"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)", text):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def test_a_model_of_a_file_states_its_weights(tmp_path: Path) -> None:
    code = block("own-model.md", "# springs.py") + block("own-model.md", "from pathlib")
    (tmp_path / "springs.pt").write_bytes(b"weights")
    space: dict[str, Any] = {}
    exec(code, space)
    model = space["FromFile"](tmp_path / "springs.pt")
    assert isinstance(model, HasWeights)
    assert model.weights_sha256 == sha256(b"weights").hexdigest()
