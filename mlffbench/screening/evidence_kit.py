"""EvidenceKit: a model, a prior and a suite, which all evidence of a screen is from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mlffbench.core.errors import BenchError, DataError
from mlffbench.core.forcefield import ForceField
from mlffbench.core.labels import Labels
from mlffbench.core.model_options import ModelOptions
from mlffbench.core.split import Split
from mlffbench.core.structures import Structures
from mlffbench.datasets.unlabelled.held_source import nothing_for
from mlffbench.diagnostics.diagnostic import Sample
from mlffbench.diagnostics.measure import measure_all
from mlffbench.models.catalog import DEFAULT_PRIOR
from mlffbench.models.load import load_model
from mlffbench.refine.prior_head import PriorLabels
from mlffbench.refine.refiner import Training
from mlffbench.run.diagnose.instruments import Instruments
from mlffbench.run.evaluate.execute import training_of
from mlffbench.run.names import check_names
from mlffbench.run.suite_splits import load_splits
from mlffbench.screening.measured import (
    MOST_OF_TRAIN,
    MOST_OF_VAL,
    Alarmed,
    split_sample,
    train_alarms,
    with_alarms,
)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class EvidenceKit:
    """What evidence is made with.

    Attributes:
        name: The model as typed.
        model: The model.
        instruments: The model with the prior.
        others: Further models, whose disagreement is an alarm.
        prior: The prior's labels.
        suite: Name of the suite.
        splits: All its splits.
        training: Its training geometries.
        seed: Of every choice.
    """

    name: str
    model: ForceField
    instruments: Instruments
    others: tuple[Instruments, ...]
    prior: PriorLabels
    suite: str
    splits: tuple[Split, ...]
    training: Training
    seed: int

    @classmethod
    def of(
        cls,
        models: Sequence[str],
        suite: str,
        *,
        prior: str = DEFAULT_PRIOR,
        device: str = "cpu",
        dtype: str | None = None,
        seed: int = 0,
        scans: bool = False,
        trust: bool = False,
    ) -> "EvidenceKit":
        """Return the kit for some models; the first is the one that is screened for.

        Args:
            models: As typed; no two of a name.
            suite: Name or path, with a training split.
            prior: Name of the prior.
            device: Where models compute.
            dtype: What they compute in; None is each model's default.
            seed: Of every choice.
            scans: Ask the first model of moved structures, too.
            trust: Load model files that can run code of their own.

        Raises:
            BenchError: A name is wrong, a model cannot be loaded, or the suite has no
                training split.
        """
        names = check_names(suite, models=models, modes=["baseline"], trust=trust)
        splits = load_splits(names.suite, names.folder)
        if not any(split.role == "train" for split in splits):
            msg = f"the suite {suite!r} has no split with the role train, so there is "
            raise DataError(msg + "nothing to be far from; name another with --suite")
        labels = PriorLabels(prior)
        options = ModelOptions(device=device, dtype=dtype, trust=trust)
        loaded = [load_model(name, options) for name in models]
        first, *rest = (
            Instruments.of(
                model,
                device=device,
                dtype=dtype,
                prior=labels.of,
                scans=scans and place == 0,
            )
            for place, model in enumerate(loaded)
        )
        return cls(
            name=models[0],
            model=loaded[0],
            instruments=first,
            others=tuple(rest),
            prior=labels,
            suite=names.suite.name,
            splits=splits,
            training=training_of(
                names.suite.name, [s for s in splits if s.role == "train"], seed
            ),
            seed=seed,
        )

    def samples_of(self, half: str) -> list[tuple[Split, Sample]]:
        """Return the labelled structures of one half of the suite, split by split."""
        return [
            (split, split_sample(split, MOST_OF_VAL, self.seed, labelled=True))
            for split in self.splits
            if split.role.endswith(half)
        ]

    def alarms_of(self, samples: Sequence[Sample]) -> list[Alarmed]:
        """Return training, then samples, with what can be measured against training.

        Raises:
            DataError: There are fewer than two training structures.
        """
        train = self.instruments.examine([self._train()])[0]
        examined = self.instruments.examine(samples)
        measured = measure_all(train, examined)
        others = [
            [_quietly(kit, one.structures) for one in examined] for kit in self.others
        ]
        return [
            train_alarms(train, measured),
            *with_alarms(examined, measured, train, others),
        ]

    def _train(self) -> Sample:
        splits = [split for split in self.splits if split.role == "train"]
        parts = [
            split_sample(split, MOST_OF_TRAIN, self.seed, labelled=False).structures
            for split in splits
        ]
        return Sample(name="train", structures=Structures.concatenate(parts))


def _quietly(kit: Instruments, structures: Structures) -> Labels:
    """Return a further model's labels; where it fails as a whole, NaN for all."""
    try:
        return kit.predict(structures)
    except BenchError as error:
        failures = dict.fromkeys(range(structures.n_systems), str(error))
        return replace(nothing_for(structures), source=str(error), failures=failures)
