"""Private: what tells of a machine or its user, taken out of what is published.

Paths are cut to the name of their file, addresses lose their users and passwords, and the
names of the user and the machine become ``…`` where a command or a message holds them.
"""

import getpass
import re
import shlex
import socket
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from mlffbench.core.guards.plain import without_credentials

_ROOT = r"(?:~[\w.-]*|[A-Za-z]:|\.\.)?"
_PATH = re.compile(
    rf"(?<![\w./\\~])(?:file://)?{_ROOT}[/\\](?:[\w.+@~ -]*[\w.+@~-][/\\])+([\w.+@-]*)"
)
"""Absolute, of a home, or upwards; not ``a/b``, which names things in our records."""
_AT_HOST = re.compile(r"\b[\w.-]+@[\w-]+(?:\.[\w-]+)*(?::\S+|(?=[:\s/]|$))")
_TOKEN = re.compile(
    r"\b(?:hf_|gh[pousr]_|sk-|AKIA|glpat-|xox[abp]-)[A-Za-z0-9_-]{12,}"
    r"|(?i:\b(?:token|password|passwd|secret|api[_-]?key)\s*[=:]\s*)\S+"
)
_HOMES = re.compile(rb"(?:/home/|/Users/|[A-Za-z]:\\\\?Users\\)[\w.-]+")
_PLACE = re.compile(rb"(?m)^(?:file://)?(/[\w.+@-]+|~|[A-Za-z]:\\)[/\\\w][^\n]*")
_LEAST = 4
"""Letters of a name that is looked for: a shorter one stands in words of chemistry."""
_COMMON = frozenset({"root", "user", "admin", "localhost", "ubuntu", "home"})
HIDDEN = "…"


def bare(name: str) -> str:
    """Return the name of a model, mode or suite without where its file lies.

    Example:
        >>> bare("/home/me/net.py:make"), bare("wB97X/6-31G(d)"), bare("../a/my.yaml")
        ('net.py:make', 'wB97X/6-31G(d)', 'my.yaml')
    """
    found = _PATH.sub(lambda match: match[1], without_credentials(name))
    found = found.removeprefix("../").removeprefix("./").removeprefix("~/")
    return found.encode(errors="backslashreplace").decode()  # a name that is no UTF-8


def told(text: str) -> str:
    """Return a message or a command that names no place, user, machine or password.

    Example:
        >>> told("cannot read /scratch/jane/run 1/a.xyz: gone; ssh jane@node17: no")
        'cannot read a.xyz: gone; ssh …: no'
    """
    found = _TOKEN.sub(HIDDEN, _AT_HOST.sub(HIDDEN, bare(text)))
    for name in _own_names():
        found = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", HIDDEN, found)
    return found


def told_command(command: str) -> str:
    """Return a command line, each word by itself, so that a blank in a path ends none."""
    try:
        words = shlex.split(command)
    except ValueError:
        return told(command)
    return shlex.join(told(word) for word in words)


def everywhere(content: Any) -> Any:
    """Return JSON content with `bare` of every text in it, keys too."""
    if isinstance(content, str):
        return bare(content)
    if isinstance(content, dict):
        return {bare(str(key)): everywhere(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [everywhere(value) for value in content]
    return content


def betrayals(contents: Iterable[bytes]) -> str:
    """Return what still tells of this machine or its user; empty where nothing does."""
    home = str(Path.home()).encode()
    for content in contents:
        found = _HOMES.search(content)
        if found is not None:
            return found[0].decode(errors="replace")
        if len(home) > _LEAST + 1 and home in content:
            return home.decode(errors="replace")
    return ""


def places(content: bytes) -> str:
    """Return the first line that begins as a path on this machine; empty for none.

    A SMILES may begin with a slash too, but with no folder that is here.
    """
    for found in _PLACE.finditer(content):
        root = found[1].decode(errors="replace")
        if root == "~" or ":" in root or Path(root).is_dir():
            return found[0].decode(errors="replace")
    return ""


def _own_names() -> list[str]:
    """Return the names of the user and the machine that are long enough to be told."""
    names = {socket.gethostname(), socket.gethostname().partition(".")[0]}
    with suppress(OSError, KeyError):  # a user without a name has none to be told
        names.add(getpass.getuser())
    return sorted((n for n in names - _COMMON if len(n) >= _LEAST), key=len, reverse=True)
