"""Crew member: a process that joins runs which others started, shard by shard."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlffbench.core.errors import BenchError, StoreError
from mlffbench.core.forcefield import ForceField
from mlffbench.core.model_options import ModelOptions
from mlffbench.models.catalog import MODELS
from mlffbench.models.load import load_model
from mlffbench.models.model_spec import parse_spec, runs_code
from mlffbench.run.elsewhere.request_file import folder_at, read_request
from mlffbench.run.evaluate.predict import LIMITS
from mlffbench.run.folder import HeldError, RunFolder
from mlffbench.run.loop import one_thread
from mlffbench.run.manifest import (
    begin,
    difference,
    finish,
    is_finished,
    manifest_of,
    tidy,
)
from mlffbench.run.request import resolve
from mlffbench.run.shards.crew import PAUSE_S
from mlffbench.run.shards.shared_work import SharedWork
from mlffbench.run.work import Progress, Silent


@dataclass(frozen=True, slots=True, eq=False)
class CrewMember:
    """What a worker keeps between the runs it joins: models.

    Attributes:
        trust: Load what runs code that was not typed.
        own: Whether the runs are the user's own, who typed the code that they name.
        progress: Told of every structure of the run at hand, whoever computes it.
    """

    trust: bool = False
    own: bool = False
    progress: Progress = field(default_factory=Silent)
    _models: dict[tuple[Path, str, ModelOptions], ForceField] = field(
        default_factory=dict
    )

    def expect(self, device: str, dtype: str, model: str) -> None:
        """Load a model that the first run is about to need; what fails is told then.

        Only one of our own catalogue: code of others may write files, as a cache of
        downloads, that its leader reads at this moment.

        Args:
            device: Where it is to compute.
            dtype: What it is to compute in; empty is its own default.
            model: As typed.
        """
        options = ModelOptions(device=device, dtype=dtype or None, trust=self.trust)
        with one_thread(), suppress(BenchError):  # whoever joins the run meets it again
            if not runs_code(model) and not MODELS.entry(parse_spec(model).name).package:
                self._load(model, options)

    def join_all(
        self,
        paths: Sequence[Path],
        *,
        is_led: Callable[[], bool] | None = None,
        tell: Callable[[str], None] | None = None,
    ) -> int:
        """Work on runs until all of them are done.

        Args:
            paths: Their folders.
            is_led: Whether somebody is still there who begins them, and is waited for.
                None: each must be there, and is begun where it is not.
            tell: Told why one cannot be worked on; the others are. None: it is raised.

        Returns:
            How many cannot be worked on.

        Raises:
            BenchError: One cannot be joined, or its computation fails.
        """
        left, n_faults = list(paths), 0
        with one_thread():
            while left and (is_led is None or is_led()):
                ready = [path for path in left if is_led is None or _has_begun(path)]
                for path in ready:
                    left.remove(path)
                    try:
                        self._join(folder_at(path), is_led)
                    except BenchError as error:
                        if tell is None:
                            raise
                        tell(f"{path}: {error}")
                        n_faults += 1
                if left and not ready:
                    time.sleep(PAUSE_S)
        return n_faults

    def _join(self, folder: RunFolder, is_led: Callable[[], bool] | None) -> None:
        if _is_complete(folder):
            if is_led is None:
                _tidied(folder)
            return
        try:
            work = self._work(folder)
        except StoreError:
            if not _is_complete(folder):
                raise
            return  # it ended while we looked
        manifest = manifest_of(work.decides(), work.about(), device=work.job.device)
        inputs = work.inputs()
        if not _opened(folder, manifest):
            self._join(folder, is_led)  # another has just ended it
            return

        def is_wanted() -> bool:
            own = _fingerprint(folder) == manifest["fingerprint"]
            return own and (is_led is None or is_led())

        crew = work.crew(inputs, folder, is_wanted)
        self.progress.begin(work.job.label, crew.n_counted)
        crew.carry_out(self.progress)
        if is_led is not None:
            return  # its leader puts the run together
        while True:
            if not folder.manifest_path.exists():
                msg = f"{folder.path} was deleted while it was computed; repeat the "
                raise StoreError(msg + "command that started it")
            try:
                with folder.locked():
                    if not is_finished(folder, manifest, overwrite=False):
                        costs = work.compute(inputs, folder, Silent())
                        finish(folder, manifest, costs)
                return
            except HeldError:
                time.sleep(PAUSE_S)

    def _work(self, folder: RunFolder) -> SharedWork[Any]:
        """Return the job of a run with its model in hand."""
        request = read_request(folder, trust=self.trust, own=self.own)
        campaign = resolve(request)
        (job,) = campaign.jobs
        options = ModelOptions(
            device=request.device, dtype=request.dtype, trust=request.trust
        )
        work = campaign.kind.work(job, self._load(job.model, options))
        assert isinstance(work, SharedWork)  # nothing else leaves a request
        return work.prepared(Silent())

    def _load(self, model: str, options: ModelOptions) -> ForceField:
        key = (Path.cwd(), model, options)  # a name of a file is relative
        if key not in self._models:
            self._models.clear()  # never two in memory, as in a run
            LIMITS.forget()
            self._models[key] = load_model(model, options)
        return self._models[key]


def _has_begun(path: Path) -> bool:
    """Return whether a run can be joined; one that is over may yet be overwritten."""
    folder = folder_at(path)
    return folder.request_path.exists() and folder.manifest_path.exists()


def _tidied(folder: RunFolder) -> None:
    """Drop what a process left that was killed as soon as it had ended a run."""
    if folder.parts.exists() or folder.request_path.exists():
        with suppress(HeldError), folder.locked():  # else: its owner tidies
            tidy(folder)


def _is_complete(folder: RunFolder) -> bool:
    try:
        if not folder.manifest_path.exists():
            return False
    except OSError as error:
        msg = f"cannot read {folder.path}: {error.strerror}; check the path"
        raise StoreError(msg) from error
    return folder.read_manifest().get("status") == "complete"


def _fingerprint(folder: RunFolder) -> object:
    """Return whose numbers a folder is for; None where it is being replaced."""
    try:
        return folder.read_manifest().get("fingerprint")
    except StoreError:
        return None


def _opened(folder: RunFolder, manifest: dict[str, Any]) -> bool:
    """Begin a run where nobody has; return whether it is still to be computed.

    Raises:
        StoreError: The run there has other numbers than this process would compute.
    """
    while not folder.manifest_path.exists():
        try:
            with folder.locked():
                if is_finished(folder, manifest, overwrite=False):
                    return False
                begin(folder, manifest)
        except HeldError:
            time.sleep(PAUSE_S)  # another is about to begin it
    stored = folder.read_manifest()
    if stored.get("fingerprint") != manifest["fingerprint"]:
        msg = f"this worker would not compute the numbers of {folder.path} ("
        msg += f"{difference(stored, manifest)}); give it the same versions, files and "
        raise StoreError(msg + "models")
    return stored.get("status") != "complete"
