"""``diagnose``: the shifts between two sets, or of a suite, with or without a model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlffbench.cli.label import CacheDirOption, WorkersOption
from mlffbench.cli.shared.asked import RUNS
from mlffbench.cli.shared.completion import (
    complete_dataset,
    complete_model,
    complete_prior,
    complete_suite,
)
from mlffbench.cli.shared.console import (
    make_console,
    print_table,
    print_warnings,
    resumable,
)
from mlffbench.cli.shared.options import (
    Device,
    DeviceOption,
    Dtype,
    DtypeOption,
    SeedOption,
    TrustOption,
    option,
)
from mlffbench.cli.shared.progress import ProgressBar
from mlffbench.core.errors import BenchError, UnknownNameError

if TYPE_CHECKING:
    from rich.console import Console

    from mlffbench.diagnostics.diagnosis import Diagnosis
    from mlffbench.diagnostics.study import Study
    from mlffbench.run.diagnose.instruments import Instruments

OUT = Path("diagnose")
COMPUTED_WITH = frozenset(
    {"cutoff", "prior", "scans", "limit", "out", "seed", "device", "dtype"}
)
"""Options that a stored diagnosis may not have been made with."""

_WHAT, _WHERE = "What to compare", "Where results go"
_SET = "A dataset, a file, or SUITE:SPLIT (SUITE:SPLIT/val for its val half)."

TrainOption = Annotated[
    str | None, option("--train", _SET, _WHAT, complete=complete_dataset)
]
TestOption = Annotated[
    str | None, option("--test", _SET, _WHAT, complete=complete_dataset)
]
SuiteOption = Annotated[
    str | None,
    option(
        "--suite -s",
        "Instead of --train and --test: every test split of a suite.",
        _WHAT,
        complete=complete_suite,
    ),
]
ModelOption = Annotated[
    str | None,
    option("--model -m", "For embeddings and errors.", _WHAT, complete=complete_model),
]
CutoffOption = Annotated[
    float | None,
    option(
        "--cutoff", "Radius of the graphs in Å; left out: the model's, else 5.", _WHAT
    ),
]
PriorOption = Annotated[
    str | None,
    option(
        "--prior",
        "A prior, or any model, whose forces the model is compared with.",
        _WHAT,
        complete=complete_prior,
    ),
]
ScansOption = Annotated[
    bool,
    option(
        "--scans",
        "Also ask the model of moved structures: bonds that are stretched, forces that "
        "are no slope, atoms on top of each other. 32 predictions per test structure.",
        _WHAT,
    ),
]
LimitOption = Annotated[
    int | None,
    option(
        "--limit",
        "At most N structures per set, spread over its molecules.",
        _WHAT,
        least=2,
    ),
]
RunsOption = Annotated[Path, option("--runs", "Where runs of the suite may lie.", _WHERE)]
OracleOption = Annotated[
    bool,
    option(
        "--oracle",
        "Of --suite and --model: how much the best graph cutoff of each structure "
        "would gain, and what the finished rr runs captured of it. READS "
        "REFERENCE LABELS.",
        _WHAT,
    ),
]
OutOption = Annotated[Path, option("--out", "Folder of JSON and figures.", _WHERE)]


def diagnose(
    context: typer.Context,
    *,
    train: TrainOption = None,
    test: TestOption = None,
    suite: SuiteOption = None,
    model: ModelOption = None,
    cutoff: CutoffOption = None,
    prior: PriorOption = None,
    scans: ScansOption = False,
    limit: LimitOption = None,
    oracle: OracleOption = False,
    runs: RunsOption = RUNS,
    out: OutOption = OUT,
    cache_dir: CacheDirOption = None,
    workers: WorkersOption = None,
    seed: SeedOption = 0,
    device: DeviceOption = Device.auto,
    dtype: DtypeOption = Dtype.auto,
    trust: TrustOption = False,
) -> None:
    """Say how far test structures are from training ones, and which shift is largest.

    With a model also how well each distance predicts its error.
    """
    _check(train, test, suite, cutoff)
    console = make_console()
    if oracle:
        if not suite or not model:
            msg = "--oracle asks about finished runs of a suite: give --suite and --model"
            raise BenchError(msg)
        _ask_oracle(console, suite, model, runs, trust=trust)
        return
    if suite and model and not _is_any_given(context, COMPUTED_WITH):
        stored = _stored(console, suite, model, runs)
        if stored is not None:
            diagnosis, folder = stored
            _print_suite(console, diagnosis)
            _draw(console, diagnosis, folder)
            return
    with resumable():
        instruments = _instruments(
            model,
            cutoff,
            prior,
            (cache_dir, workers),
            (device, dtype),
            scans=scans,
            trust=trust,
        )
        who = model or ""
        if suite:
            found = _suite(suite, instruments, limit=limit, seed=seed)
            _print_suite(console, _write(found, out, model=who, seed=seed))
        else:
            from mlffbench.api.named_sets import remarks_on_sets

            sets = str(train), str(test)
            found = _pair(sets, instruments, limit=limit, seed=seed)
            print_warnings(remarks_on_sets(sets))
            _print_pair(console, _write(found, out, model=who, seed=seed), sets)
    console.print(f"wrote {out}", markup=False, soft_wrap=True)


def _is_any_given(context: typer.Context, names: frozenset[str]) -> bool:
    """Return whether any of some options was typed, instead of left at its default."""
    sources = [context.get_parameter_source(name) for name in names]
    return any(source is not None and source.name != "DEFAULT" for source in sources)


def _check(
    train: str | None, test: str | None, suite: str | None, cutoff: float | None
) -> None:
    """Check that either two sets or a suite were named, and that the cutoff is one."""
    from mlffbench.run.suite import load_suite

    pair = train is not None and test is not None
    if pair == (suite is not None) or (suite and (train or test)):
        msg = "diagnose compares two sets or the splits of a suite: give --train and "
        raise BenchError(msg + "--test, or --suite")
    if suite is not None:
        load_suite(suite)  # a typo in it is told before torch is imported
    if cutoff is not None:
        from mlffbench.core.graph import check_cutoff

        check_cutoff(cutoff)


def _instruments(
    model: str | None,
    cutoff: float | None,
    prior: str | None,
    labels: tuple[Path | None, int | None],
    machine: tuple[Device, Dtype],
    *,
    scans: bool,
    trust: bool,
) -> "Instruments":
    """Return what evidence is made with; a prior that is named is computed."""
    from mlffbench.cli.shared.resolving import model_options
    from mlffbench.cli.shared.sources import open_prior
    from mlffbench.core.labels import Labels
    from mlffbench.core.structures import Structures
    from mlffbench.models.catalog import MODELS
    from mlffbench.models.load import load_model
    from mlffbench.priors.prior_labels import label
    from mlffbench.run.diagnose.instruments import Instruments

    if prior is not None and model is None:
        msg = "--prior is for the disagreement between a model and a prior; name the "
        raise BenchError(msg + "model with --model")
    if scans and model is None:
        raise BenchError("--scans asks a model of moved structures; name it with --model")
    options = model_options(*machine, trust=trust)
    loaded = None if model is None else load_model(model, options)
    if prior is None:
        return Instruments.of(
            loaded,
            cutoff=cutoff,
            device=options.device,
            dtype=options.dtype,
            scans=scans,
        )
    try:
        force_field, cache = open_prior(prior, *labels)
    except UnknownNameError as error:
        raise UnknownNameError("prior", prior, MODELS.names()) from error

    def compute(structures: Structures) -> Labels:
        return label(structures, force_field, cache)

    return Instruments.of(
        loaded,
        cutoff=cutoff,
        device=options.device,
        dtype=options.dtype,
        prior=compute,
        scans=scans,
    )


def _pair(
    sets: tuple[str, str], instruments: "Instruments", *, limit: int | None, seed: int
) -> "Study":
    """Return what was measured of two sets."""
    from mlffbench.api.named_sets import sample_of
    from mlffbench.diagnostics.measure import MIN_TRAIN
    from mlffbench.diagnostics.study import Probe, study

    trained = sample_of(sets[0], "train", limit=limit, seed=seed, at_least=MIN_TRAIN)
    examined = instruments.examine(
        [trained, sample_of(sets[1], "test", limit=limit, seed=seed)]
    )
    return study(examined[0], [Probe(sample=examined[1])], instruments.cutoff)


def _suite(
    suite: str, instruments: "Instruments", *, limit: int | None, seed: int
) -> "Study":
    """Return what was measured of a suite's test splits."""
    from mlffbench.core.split import remarks_on
    from mlffbench.run.diagnose.diagnosis_job import study_of_splits
    from mlffbench.run.evaluate.data_check import check_data
    from mlffbench.run.evaluate.evaluation_job import splits_of
    from mlffbench.run.suite import load_suite
    from mlffbench.run.suite_splits import load_splits

    splits = splits_of(load_splits(*load_suite(suite)), "test")
    print_warnings((*remarks_on(splits), *check_data(tuple(splits))))
    return study_of_splits(splits, instruments, limit=limit, seed=seed)


def _write(found: "Study", out: Path, *, model: str, seed: int) -> "Diagnosis":
    """Return the diagnosis of what was measured, written to a folder and drawn there."""
    from mlffbench.diagnostics.figures import draw_all
    from mlffbench.run.diagnose.diagnosis_job import FIGURES, write_diagnosis

    predictions = [probe.sample.prediction for probe in found.tests]
    diagnosis = write_diagnosis(out, found, predictions, model=model, seed=seed)
    draw_all(diagnosis, out / FIGURES)
    return diagnosis


def _draw(console: "Console", diagnosis: "Diagnosis", run: Path) -> None:
    """Draw the diagnosis of a run beside it, unless that was done; `run` draws none."""
    from mlffbench.core.errors import StoreError
    from mlffbench.diagnostics.figures import draw_all
    from mlffbench.run.diagnose.diagnosis_job import FIGURES

    figures = run / FIGURES
    if any((figures / f"{one.name}.png").exists() for one in diagnosis.diagnostics):
        return
    try:
        draw_all(diagnosis, figures)
    except StoreError as error:  # somebody else's folder: the tables were printed
        print_warnings([str(error)])
        return
    console.print(f"wrote {figures}", markup=False, soft_wrap=True)


def _stored(
    console: "Console", suite: str, model: str, runs: Path
) -> "tuple[Diagnosis, Path] | None":
    """Return the diagnosis beside a finished baseline run and say so, if there is one."""
    from mlffbench.core.errors import StoreError
    from mlffbench.diagnostics.diagnosis import Diagnosis
    from mlffbench.run.diagnose.diagnosis_job import DIAGNOSIS, is_diagnosed
    from mlffbench.run.evaluate.stored import StoredRun
    from mlffbench.run.folder import remarks_of, run_folder
    from mlffbench.run.suite import load_suite

    folder = run_folder(runs, load_suite(suite)[0].name, model, "baseline")
    if not (folder.path / DIAGNOSIS).exists():
        return None
    try:
        run = StoredRun.read(folder)
    except StoreError:
        return None  # it is computed anew, which needs no run
    if not is_diagnosed(run):
        return None
    print_warnings(remarks_of([folder]))
    console.print(f"read {folder.path}", markup=False, soft_wrap=True)
    return Diagnosis.read(folder.path / DIAGNOSIS), folder.path


def _ask_oracle(
    console: "Console", suite: str, model: str, runs: Path, *, trust: bool
) -> None:
    """Ask the oracle about a model's runs, and print what RR captured."""
    from mlffbench.report.tables.record_tables import radius_table
    from mlffbench.run.diagnose.oracle import ask_oracle
    from mlffbench.run.folder import run_folder
    from mlffbench.run.suite import load_suite

    baseline = run_folder(runs, load_suite(suite)[0].name, model, "baseline")
    with resumable(), ProgressBar(console) as progress:
        modes = ask_oracle(baseline, progress, typed=model, trust=trust)
    records = [record for mode in modes for record in mode.read_records()]
    if records:
        print_table(console, radius_table(records))
        return
    command = f"mlffbench run --suite {suite} --model {model} --mode baseline,rr"
    console.print(
        f"no finished run of {model} chose radii; make one with: {command}",
        markup=False,
        soft_wrap=True,
    )


def _print_pair(
    console: "Console", diagnosis: "Diagnosis", sets: tuple[str, str]
) -> None:
    from mlffbench.report.tables.shift_tables import pair_table

    console.print(f"train: {sets[0]}", markup=False, soft_wrap=True)
    console.print(f"test: {sets[1]}", markup=False, soft_wrap=True)
    print_table(console, pair_table(diagnosis))
    _print_rest(console, diagnosis)


def _print_suite(console: "Console", diagnosis: "Diagnosis") -> None:
    from mlffbench.report.tables.shift_tables import shift_table

    print_table(console, shift_table(diagnosis))
    _print_rest(console, diagnosis)


def _print_rest(console: "Console", diagnosis: "Diagnosis") -> None:
    from mlffbench.report.tables.shift_tables import ranking_table, sentences

    if diagnosis.ranking:
        print_table(console, ranking_table(diagnosis))
    for sentence in sentences(diagnosis):
        console.print(sentence, markup=False, soft_wrap=True)
