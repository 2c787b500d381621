"""Every benchmark says what it measures and how it is called."""

import ast
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
SCRIPTS = sorted(path.name for path in FOLDER.glob("*.py") if path.name != "usage.py")


@pytest.mark.parametrize("name", SCRIPTS)
def test_help_is_the_docstring_with_how_it_is_called(name: str) -> None:
    text = (FOLDER / name).read_text(encoding="utf-8")
    told = ast.get_docstring(ast.parse(text)) or ""
    assert f"Usage: python benchmarks/{name}" in told
    _, _, begin = text.partition('if __name__ == "__main__":\n')
    assert begin.startswith("    tell_usage(__doc__)\n")  # before any word is read


def test_who_asks_for_help_gets_it_and_nothing_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(FOLDER)
    from usage import tell_usage  # type: ignore[import-not-found]  # beside the scripts

    monkeypatch.setattr(sys, "argv", ["run.py", "3"])
    tell_usage("what it measures")
    monkeypatch.setattr(sys, "argv", ["run.py", "3", "--help"])
    with pytest.raises(SystemExit) as ended:
        tell_usage("\nwhat it measures\n")
    assert ended.value.code is None
    assert capsys.readouterr().out == "what it measures\n"
