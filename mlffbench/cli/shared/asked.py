"""Options that several commands take together, spread over a command's own."""

import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import wraps
from pathlib import Path
from typing import Any, get_type_hints

from mlffbench.cli.shared.options import (
    AddressOption,
    BatchAtomsOption,
    Device,
    DeviceOption,
    Dtype,
    DtypeOption,
    EngineKind,
    EngineOption,
    GpusOption,
    Half,
    HalfOption,
    LimitOption,
    ModelsOption,
    ModesOption,
    OutOption,
    OverwriteOption,
    ProfileOption,
    SeedOption,
    SettingsOption,
    SlurmOption,
    SuiteOption,
    TrustOption,
    Units,
    UnitsOption,
    WorkersOption,
)

RUNS = Path("runs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is run, and how it computes."""

    suite: SuiteOption
    model: ModelsOption = None
    mode: ModesOption = None
    settings: SettingsOption = None
    device: DeviceOption = Device.auto
    dtype: DtypeOption = Dtype.auto
    seed: SeedOption = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """How much of a suite is evaluated, in which batches."""

    limit: LimitOption = None
    half: HalfOption = Half.test
    batch_atoms: BatchAtomsOption = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Helped:
    """Who computes."""

    workers: WorkersOption = 1
    engine: EngineOption = EngineKind.local
    slurm: SlurmOption = None
    profile: ProfileOption = None
    address: AddressOption = None
    num_gpus: GpusOption = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Where results go, and how they are told."""

    out: OutOption = RUNS
    overwrite: OverwriteOption = False
    trust: TrustOption = False
    units: UnitsOption = Units.mev


def spread(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command that takes the options of each group as its own.

    Args:
        command: Takes keyword arguments; one whose annotation is a dataclass is a group,
            whose fields are options.
    """
    hints = get_type_hints(command, include_extras=True)
    hints.pop("return", None)
    groups: dict[str, Any] = {
        name: hint for name, hint in hints.items() if is_dataclass(hint)
    }
    parameters: list[inspect.Parameter] = []
    for name, own in inspect.signature(command).parameters.items():
        if name not in groups:
            parameters.append(own.replace(annotation=hints[name]))
            continue
        options = get_type_hints(groups[name], include_extras=True)
        for one in fields(groups[name]):
            parameters.append(
                inspect.Parameter(
                    one.name,
                    inspect.Parameter.KEYWORD_ONLY,
                    default=inspect.Parameter.empty
                    if one.default is MISSING
                    else one.default,
                    annotation=options[one.name],
                )
            )

    @wraps(command)
    def spread_out(**values: Any) -> None:
        made = {
            name: group(**{one.name: values.pop(one.name) for one in fields(group)})
            for name, group in groups.items()
        }
        command(**made, **values)

    spread_out.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what typer reads
    spread_out.__annotations__ = {one.name: one.annotation for one in parameters}
    return spread_out


def checked_values(asked: Asked, kept: Kept = Kept()) -> dict[str, Any]:
    """Return what every request is made of, once its names and settings are known.

    They are checked before torch is imported, so that a typo is told at once.

    Raises:
        BenchError: A name or a setting is unknown, or CUDA was asked for and not there.
    """
    from mlffbench.cli.shared.resolving import (
        mode_settings,
        names,
        resolve_device,
        resolve_dtype,
    )
    from mlffbench.run.names import check_names

    typed: dict[str, Any] = {
        "models": names(asked.model),
        "modes": names(asked.mode),
        "settings": mode_settings(asked.settings),
    }
    check_names(asked.suite, **typed, trust=kept.trust)
    return {
        **typed,
        "suite": asked.suite,
        "device": resolve_device(asked.device),
        "dtype": resolve_dtype(asked.dtype),
        "seed": asked.seed,
        "out": kept.out,
        "overwrite": kept.overwrite,
        "trust": kept.trust,
    }
