"""The files of a dataset repository on Hugging Face, as downloads like any other."""

import importlib
import importlib.util
from fnmatch import fnmatchcase
from pathlib import Path

from mlffbench.core.errors import DataError, MissingExtraError
from mlffbench.datasets.download.claims import RemoteFile, safe_parts
from mlffbench.datasets.download.lockfile import NAME
from mlffbench.datasets.download.table import Target

_SKIPPED = {".gitattributes", "README.md"}
_OURS = {NAME, ".lock"}
"""What lies beside the files of a folder that was downloaded on another computer."""


def listed(target: Target) -> Target:
    """Return a target with the files its repository has now, pinned to their revision.

    Large files come with the sha256 the repository states, small ones without.

    Raises:
        MissingExtraError: huggingface_hub is not installed.
        DataError: The repository cannot be listed.
    """
    if importlib.util.find_spec("huggingface_hub") is None:
        what = f"download {target.key!r}"
        raise MissingExtraError(what, "huggingface_hub", "hub")
    from huggingface_hub import HfApi, hf_hub_url

    name = target.download.repository
    api = HfApi()
    try:
        info = api.dataset_info(name, files_metadata=True)
    except _faults() as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        msg = (
            f"cannot list the files of {name} at {api.endpoint} ({reason}); fetch them "
            f"from {target.download.source} elsewhere and import them with --from and "
            "--file"
        )
        raise DataError(msg) from error
    files = []
    for sibling in info.siblings or []:
        if sibling.rfilename in _SKIPPED:
            continue
        checksum = f"sha256:{sibling.lfs.sha256}" if sibling.lfs else None
        files.append(
            RemoteFile(
                name="/".join(safe_parts(sibling.rfilename)),
                urls=(
                    hf_hub_url(
                        name,
                        sibling.rfilename,
                        repo_type="dataset",
                        revision=info.sha,
                        endpoint=api.endpoint,
                    ),
                ),
                size=sibling.size,
                checksum=checksum,
                claim=f"size and sha256: the repository, revision {(info.sha or '')[:7]}",
            )
        )
    if not files:
        msg = f"{name} holds no files; see {target.download.source}"
        raise DataError(msg)
    return target._replace(files=tuple(sorted(files, key=lambda file: file.name)))


def _faults() -> tuple[type[Exception], ...]:
    """Return what listing may raise: huggingface_hub speaks requests, httpx or httpx2."""
    from huggingface_hub.errors import HfHubHTTPError

    found: list[type[Exception]] = [HfHubHTTPError, OSError, ValueError, KeyError]
    for package in ("httpx", "httpx2"):
        if importlib.util.find_spec(package) is not None:
            found.append(importlib.import_module(package).HTTPError)
    return tuple(found)


def of_user(target: Target, origin: Path, patterns: list[str] | None) -> Target:
    """Return a target with the files of a folder of the user's, or the one file.

    Raises:
        DataError: There is none.
    """
    folder = origin if origin.is_dir() else origin.parent
    paths = sorted(origin.rglob("*")) if origin.is_dir() else [origin]
    names = [path.relative_to(folder).as_posix() for path in paths if path.is_file()]
    names = [name for name in names if name not in _SKIPPED | _OURS]
    if patterns:
        names = [n for n in names if any(fnmatchcase(n, p) for p in patterns)]
    if not names:
        msg = f"{origin} holds no file that could be imported as one of {target.key}"
        raise DataError(msg)
    return target._replace(files=tuple(RemoteFile(name=n, urls=()) for n in names))
