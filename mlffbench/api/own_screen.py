"""Structures of the user screened: the same as ``mlffbench screen``."""

from collections.abc import Sequence
from pathlib import Path

from mlffbench.api.inputs import device_named, names_given
from mlffbench.api.notebook_bar import watched
from mlffbench.api.screen_table import ScreenTable
from mlffbench.models.catalog import DEFAULT_PRIOR
from mlffbench.run.work import Progress
from mlffbench.screening.screen_files import make_way, write_screen
from mlffbench.screening.screening_job import ScreenRequest, screen


def screen_file(
    path: str | Path,
    *,
    models: str | Sequence[str],
    suite: str = "",
    prior: str = DEFAULT_PRIOR,
    conformers: int = 1,
    scans: bool = False,
    seed: int = 0,
    device: str = "auto",
    dtype: str | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    trust: bool = False,
    progress: Progress | None = None,
) -> ScreenTable:
    """Judge how far a model can be trusted on structures without labels.

    Args:
        path: A file or a folder; labels in it are ignored.
        models: Models as `load_model` takes them: the first is judged, and the
            disagreement of the others with it is an alarm.
        suite: Whose training and labelled val halves are compared with; empty is the
            model's own.
        prior: Name of the prior.
        conformers: Per line of a SMILES file.
        scans: Also ask the model of moved structures, for the columns ``bond_scan``,
            ``jacobian_asymmetry`` and ``diatomic_hole``; 32 predictions per structure.
        seed: Of every random choice.
        device: ``"cpu"``, ``"cuda"``, or ``"auto"``: the GPU where there is one.
        dtype: ``"float32"`` or ``"float64"``; None is each model's own default.
        out: Folder for the table, the page and annotated structures; None writes nothing.
        overwrite: Replace another screen that is in that folder.
        trust: Whether model files that can run code of their own may be loaded.
        progress: Told how far it is; left out, a notebook shows a bar.

    Returns:
        One row per structure, which a notebook shows as verdicts: ``verdict``, ``why``,
        ``expected_error`` with ``error_low`` and ``error_high`` (90 %, force MAE in
        eV/Å; absent where fewer than 20 labelled molecules calibrate it), ``refine``,
        ``furthest_atom`` and every alarm. ``attrs["remarks"]`` holds what a reader must
        know. It is a pandas frame.

    Raises:
        BenchError: A name or the file is wrong, no suite is known, or another screen
            stands in the way.

    Examples:
        >>> screen_file("mine.xyz", models="mini-mace")  # doctest: +SKIP
    """
    request = ScreenRequest(
        path=Path(path),
        models=names_given(models),
        suite=suite,
        prior=prior,
        device=device_named(device),
        dtype=dtype,
        seed=seed,
        conformers=conformers,
        scans=scans,
        trust=trust,
    )
    if out is not None:
        make_way(request, Path(out), overwrite=overwrite)
    found = screen(request, watched(progress))
    if out is not None:
        write_screen(found, request, Path(out))
    table = ScreenTable(found.table)
    table.attrs["remarks"] = list(found.remarks)
    return table
