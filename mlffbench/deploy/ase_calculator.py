"""BenchCalculator: any model, refined or not, as an ASE calculator.

A refinement is made at the first geometry of a molecule and kept while the molecule stays
the same: another one at every step would be another energy surface at every step.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase.calculators.calculator import CalculationFailed, Calculator, all_changes

from mlffbench.core.assembly import refusals
from mlffbench.core.errors import BenchError, ModelError
from mlffbench.core.forcefield import ForceField
from mlffbench.core.model_options import ModelOptions
from mlffbench.core.structures import Structures
from mlffbench.datasets.statements.charge_spin import (
    read_charge_spin,
    says_charge_or_spin,
)
from mlffbench.deploy.prediction_job import (
    PredictionRequest,
    Predictions,
    PredictionWork,
    check_request,
    job_of,
    suite_for,
)
from mlffbench.deploy.refined_files import read_refined
from mlffbench.deploy.refined_model import RefinedModel
from mlffbench.models.load import load_model
from mlffbench.refine.baseline import Baseline
from mlffbench.run.evaluate.predict import predict_batch
from mlffbench.run.suite import Setting
from mlffbench.run.work import Silent

_NAME = "atoms/0"
"""Id of the structure that a model is shown; a refined model knows it by this name."""

_PER_ATOM = {"charge": "initial_charges", "multiplicity": "initial_magmoms"}
_SAYS = {
    "charge": re.compile("charge"),
    "multiplicity": re.compile("spin|mult|mag|moment|unpaired|uhf"),
}
"""What of the atoms says the same as what is given, which goes before."""


class BenchCalculator(Calculator):
    """A force field in a mode, asked as the runner asks it.

    Charge and multiplicity are those of ``atoms.info`` (``charge``, ``spin`` or another
    name that files use), of initial charges, or those given here.

    Args:
        work: A model and a mode, prepared.
        charge: Total charge in e; None reads it off the atoms.
        multiplicity: 2S + 1; None reads it off the atoms.

    Attributes:
        facts: What the refinement of the molecule in hand has to tell, or had to when
            its weights were kept.
    """

    implemented_properties = ["energy", "free_energy", "forces"]  # noqa: RUF012 - ASE's

    def __init__(
        self,
        work: PredictionWork,
        *,
        charge: int | None = None,
        multiplicity: int | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # ASE ships no types
        self._work = work
        self._charge, self._multiplicity = charge, multiplicity
        self._refined: ForceField | None = None
        self._of: tuple[bytes, int, int] | None = None
        self.facts: Mapping[str, Any] = {}

    @property
    def model(self) -> str:
        """The model as typed."""
        return self._work.job.model

    def forget(self) -> None:
        """Refine anew at the next geometry."""
        self._of = self._refined = None

    def check_state(self, atoms: Any, tol: float = 1e-15) -> list[str]:
        """Return what has changed; charge and spin of ``atoms.info`` count, too."""
        changes: list[str] = super().check_state(atoms, tol)  # type: ignore[no-untyped-call]
        if not changes and self._stated(atoms) != self._stated(self.atoms):
            changes.append("info")
        return changes

    def calculate(
        self,
        atoms: Any = None,
        properties: Any = None,
        system_changes: Any = all_changes,
    ) -> None:
        """Compute energy and forces.

        Raises:
            CalculationFailed: The model has none; the message says why.
        """
        super().calculate(atoms, properties, system_changes)  # type: ignore[no-untyped-call]
        try:
            shown = self._shown(atoms)
            refused = refusals(shown, self._work.card)
            if refused:
                raise CalculationFailed(refused[0])
            found = predict_batch(
                self._model_for(shown),
                Baseline(),
                shown,
                device=self._work.job.device,
                dtype=self._work.dtype,
            )
        except BenchError as error:
            raise CalculationFailed(str(error)) from error
        for reason in found.failures.values():
            raise CalculationFailed(reason)
        energy = float(found.energy[0])
        forces = found.forces.double().numpy()
        self.results = {"energy": energy, "free_energy": energy, "forces": forces}

    def _model_for(self, shown: Structures) -> ForceField:
        """Return the model refined for a molecule, kept from its first geometry."""
        state = int(shown.charge[0]), int(shown.multiplicity[0])
        molecule = (shown.numbers.numpy().tobytes(), *state)
        if self._refined is None or molecule != self._of:
            refined = self._work.refiner.refine(self._work.subject, shown)
            self._refined, self._of = refined.model, molecule
            self.facts = dict(refined.facts[0]) if refined.facts else self._kept(shown)
        return self._refined

    def _kept(self, shown: Structures) -> dict[str, Any]:
        """Return what the refinement had to tell whose weights are read from a folder."""
        model = self._work.model
        return model.facts_of(shown, 0) if isinstance(model, RefinedModel) else {}

    def _stated(self, atoms: Any) -> dict[str, str]:
        """Return what atoms say of charge and spin, as it is written."""
        return {
            str(n): str(v) for n, v in atoms.info.items() if says_charge_or_spin(str(n))
        }

    def _shown(self, atoms: Any) -> Structures:
        """Return atoms as a batch of one."""
        pbc = np.asarray(atoms.pbc, dtype=bool)
        periodic = bool(pbc.any())
        charge, multiplicity = self._state(atoms, periodic)
        cell = np.asarray(atoms.cell[:]) * periodic
        return Structures.build(
            [torch.tensor(atoms.positions, dtype=torch.float64)],
            [torch.tensor(atoms.numbers)],
            ids=[_NAME],
            group=["atoms"],
            charge=[charge],
            multiplicity=[multiplicity],
            cell=torch.tensor(cell[None], dtype=torch.float64),
            pbc=torch.tensor(pbc[None]),
        )

    def _state(self, atoms: Any, periodic: bool) -> tuple[int, int]:
        """Return charge and multiplicity, those not given read off the atoms."""
        facts = {str(name): value for name, value in atoms.info.items()}
        per_atom = {n: atoms.arrays[n] for n in _PER_ATOM.values() if n in atoms.arrays}
        given = {"charge": self._charge, "multiplicity": self._multiplicity}
        for name, value in given.items():
            if value is None:
                continue
            facts = {n: v for n, v in facts.items() if not _SAYS[name].search(n.lower())}
            per_atom.pop(_PER_ATOM[name], None)
            facts[name] = value
        found = read_charge_spin(
            facts,
            per_atom,
            numbers=np.asarray(atoms.numbers),
            smiles_charge=None,
            periodic=periodic,
            where="these atoms",
        )
        return found.charge, found.multiplicity


def make_calculator(
    model: str,
    *,
    mode: str = "baseline",
    refined: str | Path | None = None,
    suite: str = "",
    settings: Mapping[str, Setting] | None = None,
    charge: int | None = None,
    multiplicity: int | None = None,
    device: str = "cpu",
    dtype: str | None = None,
    seed: int = 0,
    trust: bool = False,
) -> BenchCalculator:
    """Return an ASE calculator; see `mlffbench.calculator`.

    Raises:
        BenchError: A name or a setting is wrong, or the model cannot be used so.
    """
    spec = model
    if refined is not None:
        manifest = read_refined(Path(refined))
        if manifest.model != model or mode not in {"baseline", manifest.mode}:
            msg = (
                f"{refined} holds {manifest.model!r} refined by {manifest.mode!r}, "
                f"not {model!r} by {mode!r}"
            )
            raise ModelError(msg)
        spec, mode = f"refined:{refined}", "baseline"
    request = PredictionRequest(
        path=Path("atoms"),
        models=(spec,),
        modes=(mode,),
        suite=suite,
        settings={mode: settings} if settings else {},
        device=device,
        dtype=dtype,
        seed=seed,
        trust=trust,
    )
    check_request(request)
    loaded = load_model(spec, ModelOptions(device=device, dtype=dtype, trust=trust))
    kind = Predictions(request=request, suite=suite_for(request), splits=())
    work = kind.work(job_of(request, spec, mode), loaded).prepared(Silent())
    return BenchCalculator(work, charge=charge, multiplicity=multiplicity)
