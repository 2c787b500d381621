import pytest

from mlffbench.core.errors import BenchError, DataError
from mlffbench.core.plugins.user_file import (
    UserFile,
    in_words,
    load_from_file,
    parse_user_file,
    told_in_one_sentence,
)


def raised(path, attribute):
    with pytest.raises(BenchError) as caught:
        load_from_file(UserFile(path, attribute), "path/to/file.py:Thing")
    return str(caught.value)


def test_a_file_is_told_from_a_name():
    assert parse_user_file("ttt") is None
    assert parse_user_file("mace:a/b.model?head=x") is None
    assert str(parse_user_file("a b/c.py:Thing")) == "a b/c.py:Thing"
    assert parse_user_file("c.py").attribute == ""


def test_a_file_is_run_once_until_it_changes(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("class Thing:\n    size = 1\n")
    first = load_from_file(UserFile(path, "Thing"), "")
    assert load_from_file(UserFile(path, "Thing"), "") is first
    path.write_text("class Thing:\n    size = 22\n")
    assert load_from_file(UserFile(path, "Thing"), "").size == 22


def test_what_is_wrong_with_a_file_is_one_sentence(tmp_path):
    path = tmp_path / "mine.py"
    assert raised(path, "Thing") == f"there is no file {path}; expected " + (
        "path/to/file.py:Thing"
    )
    path.write_text("SIZE = 1\n\n1 / 0\n")
    why = "ZeroDivisionError: division by zero (mine.py, line 3)"
    assert raised(path, "Thing") == f"{path} cannot be imported: {why}"
    path.write_text("SIZE = 1\ndef other(): ...\n")
    assert raised(path, "SIZE") == (
        f"{path} has no function or class 'SIZE'; it has: other"
    )
    assert "say which function or class" in raised(path, "")


def test_the_line_is_the_innermost_of_the_user(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("import json\n\ndef make(text):\n    return json.loads(text)\n")
    make = load_from_file(UserFile(path, "make"), "")
    with pytest.raises(DataError) as caught, told_in_one_sentence("mine", DataError):
        make("{")
    assert str(caught.value).startswith("mine raised JSONDecodeError: Expecting")
    assert str(caught.value).endswith("(mine.py, line 4)")


def test_an_error_without_words_or_place():
    assert in_words(KeyError()) == "KeyError"
    assert in_words(ValueError("one\ntwo")) == "ValueError: one"
