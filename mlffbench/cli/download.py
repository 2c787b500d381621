"""``download``: datasets onto the disk, fetched or imported, verified, resumable."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlffbench.cli.shared.completion import complete_download
from mlffbench.cli.shared.console import make_console, resumable
from mlffbench.core.errors import BenchError, DataError

if TYPE_CHECKING:
    from mlffbench.cli.shared.progress import ProgressBar
    from mlffbench.datasets.download.obtain import Wishes
    from mlffbench.datasets.download.table import Target

_FROM, _TRUST, _WHERE = "Where it comes from", "What is trusted", "Where it goes"


def download(
    names: Annotated[
        list[str],
        typer.Argument(
            autocompletion=complete_download,
            metavar="DATASET|SUITE…",
            help="What `mlffbench list downloads` prints, a part of it (md17/aspirin), a "
            "dataset, or a suite.",
        ),
    ],
    *,
    origin: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="PATH",
            help="Import files that are already on a disk, by name; they are checked the "
            "same way.",
            rich_help_panel=_FROM,
        ),
    ] = None,
    mirror: Annotated[
        list[str] | None,
        typer.Option(
            "--mirror",
            metavar="URL",
            help="A folder that holds the files, asked instead of the published "
            "addresses; repeat it for more.",
            rich_help_panel=_FROM,
        ),
    ] = None,
    file: Annotated[
        list[str] | None,
        typer.Option(
            "--file",
            metavar="PATTERN",
            help="Only files of such names, e.g. '*.xyz'; repeat it for more.",
            rich_help_panel=_FROM,
        ),
    ] = None,
    tries: Annotated[
        int,
        typer.Option(
            "--tries",
            min=1,
            help="Requests in a row that bring nothing before an address is given up.",
            rich_help_panel=_FROM,
        ),
    ] = 5,
    timeout: Annotated[
        float,
        typer.Option(
            "--timeout",
            min=1,
            help="Seconds of silence after which a connection is cut.",
            rich_help_panel=_FROM,
        ),
    ] = 60.0,
    verify_only: Annotated[
        bool,
        typer.Option(
            "--verify-only",
            help="Read every byte that is here and compare; nothing is fetched.",
            rich_help_panel=_TRUST,
        ),
    ] = False,
    accept_unknown_hash: Annotated[
        bool,
        typer.Option(
            "--accept-unknown-hash",
            help="Where nobody published a checksum: trust the first copy, note its "
            "sha256, and have later copies match.",
            rich_help_panel=_TRUST,
        ),
    ] = False,
    stand_in: Annotated[
        bool,
        typer.Option(
            "--stand-in",
            help="With --from: take a file that is not the published one, e.g. a "
            "shortened one; that is noted.",
            rich_help_panel=_TRUST,
        ),
    ] = False,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            "--data-dir",
            help="Folder of all datasets; left out: $MLFFBENCH_DATA, else data.",
            rich_help_panel=_WHERE,
        ),
    ] = None,
) -> None:
    """Fetch datasets, or import them, verify every byte and unpack them.

    Stopped or killed, the same command goes on where it was.
    """
    from mlffbench.cli.shared.progress import BYTES, ProgressBar
    from mlffbench.datasets.download.claims import total_in_words
    from mlffbench.datasets.download.fetch import Patience
    from mlffbench.datasets.download.local import data_folder
    from mlffbench.datasets.download.obtain import Wishes

    if stand_in and origin is None:
        raise BenchError("--stand-in goes with --from PATH, the file that stands in")
    wishes = Wishes(
        accept_unknown_hash=accept_unknown_hash,
        origin=origin,
        stand_in=stand_in,
        patience=Patience(tries=tries, timeout_s=timeout),
    )
    root = data_folder(data_dir)
    with resumable(), ProgressBar(make_console(), BYTES) as progress:
        for target in _targets(names, tuple(mirror or ()), progress):
            folder = root / target.key
            if len(target.files) > 1 and not verify_only:
                total = total_in_words(target.files)
                progress.note(f"{target.key}: {len(target.files)} files, {total}")
            if verify_only:
                _verify(target, folder, progress)
            else:
                _obtain(target, file, folder, wishes, progress)
        if data_dir is not None and root.resolve() != data_folder().resolve():
            progress.note(
                "other commands look for data in $MLFFBENCH_DATA; type: export "
                f"MLFFBENCH_DATA={shlex.quote(str(root.resolve()))}"
            )


def _targets(
    names: list[str], mirrors: tuple[str, ...], progress: "ProgressBar"
) -> "list[Target]":
    """Return what the names ask for, each once."""
    from mlffbench.datasets.download.table import from_mirrors, target_of
    from mlffbench.run.suite import needs

    keys: list[str] = []
    for name in names:
        wanted = needs(name)
        keys += wanted
        if not wanted:
            progress.note(f"{name} needs no download: its data are at hand")
    return [from_mirrors(target_of(key), mirrors) for key in dict.fromkeys(keys)]


def _obtain(
    target: "Target",
    patterns: list[str] | None,
    folder: Path,
    wishes: "Wishes",
    progress: "ProgressBar",
) -> None:
    from mlffbench.datasets.download.obtain import obtain
    from mlffbench.datasets.download.table import only
    from mlffbench.datasets.download.xyz_header import atoms_of_first_frame

    if target.download.repository:
        target = _listed(target, patterns, wishes, progress)
    elif patterns:
        target = only(target, patterns)
    paths = obtain(target, folder, wishes, progress)
    for path in paths:
        kind = ""
        if target.download.repository:
            n_atoms = atoms_of_first_frame(path)
            kind = " (no XYZ file)"
            if n_atoms is not None:
                kind = f" (XYZ, first frame of {n_atoms} atoms)"
        progress.note(f"{target.key}: {path}{kind}")


def _verify(target: "Target", folder: Path, progress: "ProgressBar") -> None:
    from mlffbench.datasets.download.local import noted_files
    from mlffbench.datasets.download.lockfile import read_lock
    from mlffbench.datasets.download.obtain import verify

    if target.download.repository:
        target = target._replace(files=noted_files(folder))
        if not target.files:
            msg = f"nothing of {target.key} is in {folder}; type: mlffbench download "
            raise DataError(msg + f"{target.key} --file PATTERN")
    here = [file for file in target.files if (folder / file.name).exists()]
    if not here and not read_lock(folder).files:
        msg = f"nothing of {target.name} is in {folder}; type: mlffbench download "
        raise DataError(msg + target.name)
    verify(target, folder, progress)
    progress.note(f"{target.key}: every byte in {folder} is as it was verified")


def _listed(
    target: "Target",
    patterns: list[str] | None,
    wishes: "Wishes",
    progress: "ProgressBar",
) -> "Target":
    """Return the chosen files of a repository.

    Raises:
        DataError: None was chosen; they are listed before.
    """
    from mlffbench.datasets.download.hub import listed, of_user
    from mlffbench.datasets.download.table import only

    if wishes.origin is not None:
        return of_user(target, wishes.origin, patterns)
    target = listed(target)
    if patterns:
        return only(target, patterns)
    for remote in target.files:
        progress.note(f"{remote.name}  {remote.size_in_words}")
    msg = f"choose files of {target.key} with --file PATTERN, e.g. --file "
    raise DataError(msg + f"'{target.files[0].name}' (or '*' for all)")
