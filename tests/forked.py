"""What a process of the tests does; before its words it imports nothing of ours."""

import os
import resource
import runpy
import signal
import sys
import threading
from pathlib import Path


def work(
    words: tuple[str, ...],
    cwd: Path | None,
    env: dict[str, str],
    file_limit: int | None,
    said: list[Path],
) -> None:
    """Be Python with these words; arguments as those of `processes.Started`."""
    # a background shell hands down an ignored SIGINT
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for path, number in zip(said, (1, 2), strict=True):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), number)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd or Path.cwd())
    sys.path[:] = [*filter(None, env.get("PYTHONPATH", "").split(":")), *sys.path]
    if file_limit is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))
    try:
        _act(*words)
    finally:
        # as an interpreter that ends: pools are closed before their processes are awaited
        threading._shutdown()


def _act(first: str, *rest: str) -> None:
    if first == "-c":
        sys.argv = [first, *rest[1:]]
        exec(rest[0], {"__name__": "__main__"})
    elif first == "-m":
        sys.argv = list(rest)
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv = [first, *rest]
        sys.path.insert(0, str(Path(first).parent.resolve()))
        runpy.run_path(first, run_name="__main__")
