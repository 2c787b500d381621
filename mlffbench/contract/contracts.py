"""What a force field promises, tried out: the test behind ``mlffbench validate``."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from mlffbench.contract import promises, response
from mlffbench.contract.trial import Finding, Status, Trial, in_words
from mlffbench.core.card import ALL_ELEMENTS, elements
from mlffbench.core.forcefield import ForceField
from mlffbench.core.structures import Structures


@dataclass(frozen=True, slots=True)
class Promise:
    """One promise and what came of it.

    Attributes:
        name: Short name.
        promise: The promise in words.
        status: ``kept``, ``broken`` or ``not applicable``.
        detail: The numbers, or why it is broken or not applicable.
    """

    name: str
    promise: str
    status: Status
    detail: str


@dataclass(frozen=True, slots=True)
class _Rule:
    name: str
    promise: str
    check: Callable[[Trial], Finding]
    needs: tuple[str, ...] = ("shapes", "finite")


RULES = (
    _Rule("declared", "name, elements and card are what they must be",
          promises.declared, ()),
    _Rule("shapes", "predict returns energies (n_systems,) and forces (n_atoms, 3)",
          promises.shapes, ()),
    _Rule("finite", "every energy and force of ordinary molecules is finite",
          promises.finite, ("shapes",)),
    _Rule("dtype", "labels are float32 or float64, energies no coarser than forces, "
          "alike on every call", promises.dtype, ("shapes",)),
    _Rule("detached", "no autograd graph hangs on what predict returns",
          promises.detached, ("shapes",)),
    _Rule("input-untouched", "predict leaves the structures as they are",
          promises.untouched, ("shapes",)),
    _Rule("deterministic", "two calls return the same", promises.deterministic),
    _Rule("batch", "a structure in a batch gets what it gets alone", promises.batched),
    _Rule("permutation", "the order of the atoms changes nothing but their order",
          promises.permutation),
    _Rule("rotation", "forces rotate with the structure, energies stay",
          promises.rotation),
    _Rule("translation", "energies and forces do not depend on the place",
          promises.translation),
    _Rule("lattice", "an atom moved by a lattice vector is the same atom",
          promises.lattice, ("shapes", "finite", "translation")),
    _Rule("gradient", "forces are minus the gradient of the energy", promises.gradient),
    _Rule("one-atom", "a single atom gets one energy and one force, or is a failure",
          promises.one_atom, ("shapes",)),
    _Rule("charge", "the energy depends on the charge",
          response.charge),
    _Rule("spin", "the energy depends on the spin",
          response.spin),
    _Rule("cutoff", "with_cutoff at the cutoff in use reproduces the predictions, and "
          "leaves the model alone", promises.cutoff),
    _Rule("clone", "a clone predicts the same and shares no parameter", promises.clone),
    _Rule("heads", "both heads are differentiable; 'ref' is what predict returns and "
          "'prior' moves the representation", promises.heads),
)  # fmt: skip
"""Every promise, in the order they are tried."""


def check_forcefield(
    model: ForceField,
    *,
    systems: Structures | None = None,
    device: torch.device | str = "cpu",
) -> list[Promise]:
    """Return every promise of a force field with what came of it.

    What the model raises is the detail of the promise it breaks; the promises that can
    still be judged are. Tolerances are those of `mlffbench.contract.trial`. The model is
    left as it is.

    Args:
        model: The model.
        systems: What it is tried on; `sample_systems` of its elements by default.
        device: Where the sample systems live: the model's own device.
    """
    if systems is None:
        systems = sample_systems(_legal_elements(model)).to(device=device)
    trial = Trial.begin(model, systems)
    found: list[Promise] = []
    for rule in RULES:
        broken = {promise.name for promise in found if promise.status == "broken"}
        blocking = [name for name in rule.needs if name in broken]
        if blocking:
            detail = f"cannot be judged while {blocking[0]!r} is broken"
            finding = Finding("not applicable", detail)
        else:
            finding = _try(rule, trial)
        found.append(Promise(rule.name, rule.promise, finding.status, finding.detail))
    return found


def _try(rule: _Rule, trial: Trial) -> Finding:
    try:
        return rule.check(trial)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever it raises counts
        return Finding("broken", in_words(error))


def _legal_elements(model: ForceField) -> frozenset[int]:
    """Return the declared elements, or H C N O where none is legal."""
    declared: object = getattr(model, "elements", None)
    legal = declared & ALL_ELEMENTS if isinstance(declared, frozenset) else frozenset()
    return legal or elements("H C N O")


MOLECULES: dict[str, tuple[str, str, list[tuple[float, float, float]]]] = {
    "hydrogen": ("H H", "[H:1][H:2]", [(0.0, 0.0, 0.0), (0.45, 0.5, 0.36)]),
    "water": (
        "O H H",
        "[O:1]([H:2])[H:3]",
        [(0.01, 0.0, 0.12), (0.0, 0.8, -0.47), (0.02, -0.74, -0.5)],
    ),
    "ammonia": (
        "N H H H",
        "[N:1]([H:2])([H:3])[H:4]",
        [
            (0.0, 0.02, 0.11),
            (0.03, 0.97, -0.25),
            (0.8, -0.47, -0.3),
            (-0.83, -0.44, -0.27),
        ],
    ),
    "methane": (
        "C H H H H",
        "[C:1]([H:2])([H:3])([H:4])[H:5]",
        [
            (0.02, -0.01, 0.03),
            (0.63, 0.66, 0.6),
            (-0.64, -0.6, 0.63),
            (0.6, -0.65, -0.62),
            (-0.63, 0.62, -0.65),
        ],
    ),
    "ethanol": (
        "C C O H H H H H H",
        "[C:1]([C:2]([O:3][H:4])([H:5])[H:6])([H:7])([H:8])[H:9]",
        [
            (1.18, -0.4, 0.03),
            (0.02, 0.56, -0.02),
            (-1.22, -0.23, 0.04),
            (-1.94, 0.4, -0.03),
            (0.04, 1.25, 0.87),
            (0.01, 1.2, -0.91),
            (2.12, 0.17, -0.05),
            (1.15, -1.07, 0.91),
            (1.1, -1.02, -0.87),
        ],
    ),
}
"""Slightly distorted molecules: symbols, atom-mapped SMILES, positions in Å."""
SPACING = 2.4
"""Distance in Å in the dimer and trimer of elements that no molecule is made of."""


def sample_systems(supported: frozenset[int]) -> Structures:
    """Return small neutral structures made of supported elements, in float64.

    Args:
        supported: Atomic numbers; H C N O give molecules, else a dimer and a bent trimer
            of the two lightest elements.
    """
    names = [
        name
        for name, (symbols, _, _) in MOLECULES.items()
        if elements(symbols) <= supported
    ]
    if not names:
        return _clusters(sorted(supported)[0], sorted(supported)[:2][-1])
    chosen = [MOLECULES[name] for name in names]
    return Structures.build(
        [torch.tensor(positions, dtype=torch.float64) for _, _, positions in chosen],
        [torch.tensor(_numbers(symbols)) for symbols, _, _ in chosen],
        ids=names,
        smiles=[smiles for _, smiles, _ in chosen],
    )


def _numbers(symbols: str) -> list[int]:
    return [next(iter(elements(symbol))) for symbol in symbols.split()]


def _clusters(one: int, other: int) -> Structures:
    a = SPACING
    corners = torch.tensor(
        [[0, 0, 0], [0.8 * a, 0.6 * a, 0], [-0.1 * a, 0.9 * a, 0.5 * a]],
        dtype=torch.float64,
    )
    numbers = [torch.tensor([one, other]), torch.tensor([one, other, one])]
    return Structures.build(
        [corners[: len(entry)] for entry in numbers],
        numbers,
        ids=["dimer", "trimer"],
        multiplicity=[1 + int(entry.sum()) % 2 for entry in numbers],
    )
