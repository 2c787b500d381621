"""One function per promise of a force field; `mlffbench.contract.contracts` lists them.

Each takes a `Trial` and returns a `Finding`. What the model raises is left to rise: the
caller turns it into a broken promise.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from mlffbench.contract.trial import (
    N_DIRECTIONS,
    Finding,
    Trial,
    checked,
    copied,
    directions,
    generator,
    judge,
    moved,
    tensors,
    wide,
)
from mlffbench.core.card import ALL_ELEMENTS, ModelCard
from mlffbench.core.errors import ModelError
from mlffbench.core.forcefield import ForceField, HasCard, HasCutoff, HasPriorHead
from mlffbench.core.labels import Labels
from mlffbench.core.structures import Structures

STENCIL = {-2: 1 / 12, -1: -2 / 3, 1: 2 / 3, 2: -1 / 12}
"""Steps and weights of the central difference of fourth order."""
SHIFT = (1.7, -0.9, 2.3)
"""Rigid displacement of the translation promise, in Å."""
BOX = ((7.0, 0.0, 0.0), (1.5, 8.0, 0.0), (-1.0, 0.5, 9.0))
"""Lattice vectors of the lattice promise, in Å; skewed, rows are vectors."""
NARROWER = 0.8
"""Share of the cutoff that the cutoff promise tries as another cutoff."""


def declared(trial: Trial) -> Finding:
    """A name, the elements, and where there is a card, a legal one."""
    name, elements = trial.model.name, trial.model.elements
    card: object = trial.model.card if isinstance(trial.model, HasCard) else None
    faults = []
    if not (isinstance(name, str) and name):
        faults.append(f"name is {name!r}, expected a word")
    if not (isinstance(elements, frozenset) and elements):
        faults.append(f"elements is {elements!r}, expected a frozenset of numbers")
    elif elements - ALL_ELEMENTS:
        faults.append(f"elements has {set(elements - ALL_ELEMENTS)}: no atomic numbers")
    if card is not None and not isinstance(card, ModelCard):
        faults.append(f"card is a {type(card).__name__}, expected a ModelCard")
    elif card is not None and card.dtype not in {"float32", "float64"}:
        faults.append(f"card.dtype is {card.dtype!r}, expected 'float32' or 'float64'")
    if faults:
        return Finding("broken", "; ".join(faults))
    known = "no card" if card is None else "with card"
    return Finding("kept", f"{name!r}, {len(elements)} elements, {known}")


def shapes(trial: Trial) -> Finding:
    """Energies (n_systems,), forces (n_atoms, 3)."""
    labels = trial.labels
    found = f"energies {tuple(labels.energy.shape)}, forces {tuple(labels.forces.shape)}"
    return Finding("kept", found)


def finite(trial: Trial) -> Finding:
    """No NaN and no infinity for an ordinary molecule, and at most half declined."""
    if 2 * len(trial.declined) > trial.n_asked:
        declined = [f"{name} ({why})" for name, why in trial.declined.items()]
        msg = f"declines {len(declined)} of {trial.n_asked} ordinary molecules of the "
        return Finding("broken", f"{msg}elements it declares: {', '.join(declined)}")
    labels, systems = trial.labels, trial.systems
    bad = ~torch.isfinite(labels.energy).cpu()
    bad[systems.system.cpu()[~torch.isfinite(labels.forces).all(1).cpu()]] = True
    parts = []
    for index in torch.nonzero(bad).flatten().tolist():
        why = labels.failures.get(index, "no reason in Labels.failures")
        parts.append(f"{systems.ids[index]} ({why})")
    if parts:
        return Finding("broken", f"not finite: {', '.join(parts)}")
    return Finding("kept", f"{systems.n_systems} structures{trial.remark}")


def dtype(trial: Trial) -> Finding:
    """float32 or float64, energies no coarser than forces, the same on every call."""
    first, again = trial.labels, trial.call(trial.systems)
    types = (first.energy.dtype, first.forces.dtype)
    detail = f"energies {types[0]}, forces {types[1]}".replace("torch.", "")
    legal = {torch.float32, torch.float64}
    kept = legal.issuperset(types) and types != (torch.float32, torch.float64)
    if kept and types != (again.energy.dtype, again.forces.dtype):
        return Finding("broken", f"{detail}; another type on another call")
    return judge(kept, detail)


def detached(trial: Trial) -> Finding:
    """No autograd graph hangs on the labels."""
    labels = trial.labels
    hanging = [
        name
        for name, tensor in (("energy", labels.energy), ("forces", labels.forces))
        if tensor.requires_grad
    ]
    detail = f"{' and '.join(hanging) or 'nothing'} requires grad"
    return judge(not hanging, detail)


def untouched(trial: Trial) -> Finding:
    """The structures are the same after the call as before."""
    given = copied(trial.systems)
    trial.model.predict(given)
    changed = [
        name
        for name, tensor in tensors(trial.systems).items()
        if not torch.equal(tensor, getattr(given, name))
        or getattr(given, name).requires_grad
    ]
    detail = f"predict changed {', '.join(changed) or 'nothing'}"
    return judge(not changed, detail)


def deterministic(trial: Trial) -> Finding:
    """Two calls agree."""
    return trial.repeat(trial.call(trial.systems), trial.labels)


def batched(trial: Trial) -> Finding:
    """A structure alone is worth what it is worth in a batch."""
    order = range(trial.systems.n_systems)
    alone = [trial.call(trial.systems.select([index])) for index in order]
    return trial.compare(Labels.concatenate(alone), trial.labels)


def permutation(trial: Trial) -> Finding:
    """Atoms in another order: the same energy, forces in that order."""
    systems = trial.systems
    noise = torch.rand(systems.n_atoms, generator=generator(), dtype=torch.float64)
    order = torch.argsort(systems.system.cpu() + noise)
    place = torch.argsort(order)
    starts = (torch.cumsum(systems.sizes, 0) - systems.sizes).tolist()
    shuffled = replace(
        systems,
        positions=systems.positions[order],
        numbers=systems.numbers[order],
        smiles=tuple(
            _renumber(text, place[start:] - start)
            for text, start in zip(systems.smiles, starts, strict=True)
        ),
    )
    expected = replace(trial.labels, forces=trial.labels.forces[order])
    return trial.compare(trial.call(shuffled), expected)


def rotation(trial: Trial) -> Finding:
    """Rotated structures: the same energy, rotated forces."""
    systems, labels = trial.systems, trial.labels
    matrix = _rotation().to(systems.positions)
    turned = replace(
        systems, positions=systems.positions @ matrix.T, cell=systems.cell @ matrix.T
    )
    forces = labels.forces.detach() @ matrix.T.to(labels.forces)
    return trial.compare(trial.call(turned), replace(labels, forces=forces))


def translation(trial: Trial) -> Finding:
    """Structures somewhere else: the same energy and forces."""
    shift = torch.tensor(SHIFT).to(trial.systems.positions)
    return trial.compare(trial.call(moved(trial.systems, shift)), trial.labels)


def lattice(trial: Trial) -> Finding:
    """In a cell, atoms moved by lattice vectors are the same atoms."""
    card = _card(trial)
    if card is None or not card.periodic:
        return Finding("not applicable", "declares no periodic cells")
    systems = trial.systems
    cell = torch.tensor(BOX).to(systems.positions).repeat(systems.n_systems, 1, 1)
    packed = replace(systems, cell=cell, pbc=torch.ones_like(systems.pbc))
    jumps = torch.randint(-1, 2, (systems.n_atoms, 3), generator=generator())
    jumped = moved(packed, jumps.to(cell) @ cell[0])
    return trial.compare(trial.call(jumped), trial.call(packed))


def gradient(trial: Trial) -> Finding:
    """Forces are minus the slope of the energy, along random directions."""
    card = _card(trial)
    if card is not None and not card.conservative:
        return Finding("not applicable", "declared non-conservative")
    systems, labels, allowed = trial.systems, trial.labels, trial.tolerance
    ways = directions(systems)
    batches = [
        moved(systems, step * allowed.step * way, f" {number}:{step:+d}")
        for number, way in enumerate(ways)
        for step in STENCIL
    ]
    energies = wide(trial.call(Structures.concatenate(batches)).energy)
    energies = energies.reshape(N_DIRECTIONS, len(STENCIL), systems.n_systems)
    weights = torch.tensor(list(STENCIL.values()), dtype=torch.float64)
    slopes = torch.einsum("dks,k->ds", energies, weights) / allowed.step
    work = (wide(labels.forces) * wide(ways)).sum(-1)
    forces = torch.zeros_like(slopes).index_add_(1, systems.system.cpu(), work)
    difference = (forces + slopes).abs().max()
    most = allowed.slope + allowed.slope_relative * wide(labels.forces).abs().max()
    most += allowed.resolution * energies.abs().max() / allowed.step
    detail = (
        f"forces and slopes differ by {difference:.1e} eV/Å (allowed {most:.1e}) in "
        f"{slopes.numel()} directions, step {allowed.step:g} Å"
    )
    return judge(bool(difference <= most), detail)


def one_atom(trial: Trial) -> Finding:
    """A single atom keeps its dimensions."""
    number = int(trial.systems.numbers.min())
    device, dtype = trial.systems.positions.device, trial.systems.positions.dtype
    atom = Structures.build(
        [torch.tensor([[0.1, 0.2, 0.3]], dtype=dtype)],
        [torch.tensor([number])],
        ids=["one-atom"],
        multiplicity=[1 + number % 2],
    ).to(device=device)
    labels = trial.call(atom)
    if labels.failures:
        why = "; ".join(labels.failures.values())
        return Finding("kept", f"atomic number {number}, declared as a failure: {why}")
    energy, forces = wide(labels.energy).sum(), wide(labels.forces).abs().max()
    detail = f"atomic number {number}: {energy:.4g} eV, {forces:.1e} eV/Å"
    both = torch.isfinite(labels.energy).all() and torch.isfinite(labels.forces).all()
    return judge(bool(both), detail)


def cutoff(trial: Trial) -> Finding:
    """The trained cutoff reproduces the model; another one leaves it alone."""
    model = trial.model
    if not isinstance(model, HasCutoff):
        return Finding("not applicable", "has no cutoff to change")
    if model.cutoff_scope not in {"graph", "graph+envelope"}:
        return Finding("broken", f"cutoff_scope is {model.cutoff_scope!r}")
    before = model.cutoff
    same = model.with_cutoff(before)
    try:
        narrow = model.with_cutoff(NARROWER * before)
    except ModelError:
        pass  # a refusal with a reason is legal
    else:
        trial.of(_force_field(narrow))
        if abs(narrow.cutoff - NARROWER * before) > 1e-9 * before:
            detail = f"with_cutoff({NARROWER * before:g}) has cutoff {narrow.cutoff:g} Å"
            return Finding("broken", detail)
    if not model.cutoff == same.cutoff == before:
        detail = f"cutoff was {before:g}, is {model.cutoff:g}; copy {same.cutoff:g} Å"
        return Finding("broken", detail)
    finding = trial.repeat(trial.of(_force_field(same)), trial.labels)
    if finding.status == "broken":
        return Finding("broken", f"with_cutoff({before:g}): {finding.detail}")
    finding = trial.repeat(trial.call(trial.systems), trial.labels)
    return Finding(
        finding.status, f"{before:g} Å, {model.cutoff_scope}: {finding.detail}"
    )


def clone(trial: Trial) -> Finding:
    """A clone is equal until changed, and changing it changes nothing else."""
    model = trial.model
    if not isinstance(model, HasPriorHead):
        return Finding("not applicable", "has no prior head")
    twin = model.clone()
    copy = trial.repeat(trial.of(_force_field(twin)), trial.labels)
    if copy.status == "broken":
        return Finding("broken", f"a fresh clone: {copy.detail}")
    parameters = list(twin.representation_parameters())
    before = [parameter.detach().clone() for parameter in parameters]
    _overwrite(parameters, [1.1 * value + 0.01 for value in before])
    try:
        finding = trial.repeat(trial.call(trial.systems), trial.labels)
    finally:
        # Should the two share parameters, the user's model must not stay changed.
        _overwrite(parameters, before)
    if finding.status == "broken":
        return Finding("broken", f"the original, its clone changed: {finding.detail}")
    return finding


def heads(trial: Trial) -> Finding:
    """Both heads are differentiable, the prior's reaches the representation."""
    model = trial.model
    if not isinstance(model, HasPriorHead):
        return Finding("not applicable", "has no prior head")
    reference = checked(model.forward(copied(trial.systems), "ref"), trial.systems)
    finding = trial.compare(reference, trial.labels)
    if finding.status == "broken":
        return Finding("broken", f"head 'ref' against predict: {finding.detail}")
    prior = checked(model.forward(copied(trial.systems), "prior"), trial.systems)
    if not (prior.energy.requires_grad and prior.forces.requires_grad):
        return Finding("broken", "head 'prior' returns labels without autograd graph")
    detached = checked(model.predict_prior(copied(trial.systems)), trial.systems)
    finding = trial.compare(detached, prior)
    if finding.status == "broken":
        return Finding("broken", f"predict_prior against head 'prior': {finding.detail}")
    parameters: list[nn.Parameter] = list(model.representation_parameters())
    slopes = torch.autograd.grad(
        prior.energy.sum() + prior.forces.square().sum(), parameters, allow_unused=True
    )
    moving = sum(bool(slope.any()) for slope in slopes if slope is not None)
    detail = f"{moving} of {len(parameters)} representation parameters feel the prior"
    return judge(moving > 0, detail)


def _card(trial: Trial) -> ModelCard | None:
    """Return the model's card; what else stands there is for `declared` to report."""
    card: object = trial.model.card if isinstance(trial.model, HasCard) else None
    return card if isinstance(card, ModelCard) else None


def _force_field(model: object) -> ForceField:
    if not isinstance(model, ForceField):
        msg = f"a {type(model).__name__} came back, no force field: it lacks name, "
        raise ModelError(msg + "elements or predict")
    return model


def _overwrite(parameters: Sequence[nn.Parameter], values: Sequence[Tensor]) -> None:
    with torch.no_grad():
        for parameter, value in zip(parameters, values, strict=True):
            parameter.copy_(value)


def _rotation() -> Tensor:
    """Return a proper rotation, shape (3, 3)."""
    raw = torch.randn((3, 3), generator=generator(), dtype=torch.float64)
    matrix: Tensor = torch.linalg.qr(raw).Q
    determinant: Tensor = torch.linalg.det(matrix)
    return matrix * determinant.sign()


def _renumber(smiles: str, place: Tensor) -> str:
    """Return an atom-mapped SMILES (map number = atom + 1) after atoms changed place."""
    return re.sub(
        r":(\d+)\]", lambda found: f":{int(place[int(found[1]) - 1]) + 1}]", smiles
    )
