"""What a step of training costs at the paper's size: GemNet for SPICE.

Structures of the shipped SPICE sample of 25 to 50 atoms, 32 a step: neighbour lists,
forward, loss of energies and forces, backward, AdamW. 256 features of an atom, 128 of an
edge, 64 of a triplet, 32 radial functions, 4 blocks, 5 Å, 50 neighbours at most. One
process; after a warm-up, milliseconds a step, peak memory of the card, and the hours that
an epoch of 10⁶ such structures would take.

- ``direct``, ``gradient``: forces of their own, or the slope of the energy;
- ``off``, ``bf16``: `mlffbench train --amp`.

Usage: python benchmarks/training.py [STEPS] [DEVICE] [BATCH]
"""

import os
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from usage import tell_usage

from mlffbench.core.structures import Structures
from mlffbench.models.twoheaded.architecture import Architecture, GemnetShape
from mlffbench.models.twoheaded.model import TwoHeaded
from mlffbench.run.suite import load_suite
from mlffbench.run.suite_splits import load_splits
from mlffbench.training.epochs import autocast
from mlffbench.training.loss import l2_mae
from mlffbench.training.training_plan import AmpName

SIZE = {"atom": 256, "edge": 128, "triplet": 64, "radial": 32, "blocks": 4}
ATOMS = range(25, 51)
MILLION = 1_000_000


def main() -> None:
    words = sys.argv[1:]
    steps = int(words[0]) if words else 10
    device = words[1] if len(words) > 1 else "cuda"
    batch = int(words[2]) if len(words) > 2 else 32
    torch.set_num_threads(1)
    structures = chosen(batch)
    print(f"{batch} structures of {structures.n_atoms / batch:.0f} atoms, {device}")
    print("forces    amp   ms a step  peak GB  hours an epoch of 10^6  parameters")
    for direct in (True, False):
        for amp in ("off", "bf16"):
            measure(structures, direct=direct, amp=amp, steps=steps, device=device)


def chosen(batch: int) -> Structures:
    """Return structures of the sizes that most of SPICE has."""
    splits = load_splits(*load_suite("spice-sample"))
    everything = Structures.concatenate([split.structures for split in splits])
    fit = [i for i, n in enumerate(everything.sizes.tolist()) if n in ATOMS]
    return everything.select([fit[i % len(fit)] for i in range(batch)])


def measure(
    structures: Structures, *, direct: bool, amp: AmpName, steps: int, device: str
) -> None:
    """Print one row."""
    elements = tuple(sorted(set(structures.numbers.tolist())))
    model = TwoHeaded.build(
        Architecture(
            network="gemnet",
            elements=elements,
            cutoff=5.0,
            gemnet=GemnetShape(**SIZE, direct_forces=direct, max_neighbours=50),
        ),
        atomic_energies={"prior": {}, "ref": {}},
        scale={"prior": 1.0, "ref": 1.0},
        seed=0,
        device=device,
    )
    moving = list(model.parameters_of("shared").values())
    moving += list(model.parameters_of("ref").values())
    optimiser = torch.optim.AdamW(moving, lr=1e-3)
    shown = structures.to(device=torch.device(device), dtype=torch.float32)
    target = torch.randn_like(shown.positions)

    def step() -> None:
        with autocast(shown.positions.device, amp):
            found = model.forward(shown, "ref")
        per_atom = (found.energy / shown.sizes).abs().mean()
        loss = per_atom + 10 * l2_mae(found.forces.float() - target)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(moving, 10.0)
        optimiser.step()
        assert bool(torch.isfinite(loss))  # waits for the card

    step()
    step()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    for _ in range(steps):
        step()
    spent = (time.perf_counter() - start) / steps
    peak = torch.cuda.max_memory_allocated() / 1e9 if device == "cuda" else float("nan")
    hours = spent * MILLION / structures.n_systems / 3600
    print(
        f"{'direct' if direct else 'gradient':9s} {amp:5s} {1000 * spent:9.0f} "
        f"{peak:8.2f} {hours:23.1f} {sum(one.numel() for one in moving):11,d}",
        flush=True,
    )


if __name__ == "__main__":
    tell_usage(__doc__)
    main()
