"""What a worker process of the xtb module does; it never imports torch."""

import os
import signal
import threading
from collections.abc import Sequence
from multiprocessing import parent_process

import numpy as np

from mlffbench.core.single import Computed, Outcome, Single
from mlffbench.core.units import BOHR, HARTREE


def start_worker() -> None:
    """Prepare a fresh worker: one thread, Ctrl-C left to the parent, no orphan.

    Two OpenMP threads on busy cores make tblite some 70 times slower than one; the
    number is read once, when tblite is loaded, which is why that happens here.
    """
    os.environ["OMP_NUM_THREADS"] = "1"
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    import tblite.interface  # noqa: F401 - after OMP_NUM_THREADS is set


def compute_all(method: str, singles: Sequence[Single]) -> list[Outcome]:
    """Return energies in eV and forces in eV/Å of each structure, or why there are none.

    Args:
        method: ``"GFN2-xTB"`` or ``"GFN1-xTB"``.
        singles: Structures; every one is computed from scratch, so that the result does
            not depend on its neighbours.
    """
    return [_compute(method, single) for single in singles]


def _compute(method: str, single: Single) -> Outcome:
    from tblite.exceptions import TBLiteRuntimeError, TBLiteValueError
    from tblite.interface import Calculator

    periodic = bool(single.pbc.any())
    try:
        calculator = Calculator(
            method,
            single.numbers,
            single.positions / BOHR,
            charge=float(single.charge),
            uhf=single.multiplicity - 1,
            lattice=single.cell / BOHR if periodic else None,
            periodic=single.pbc if periodic else None,
        )
        calculator.set("verbosity", 0)
        result = calculator.singlepoint()
    except (TBLiteRuntimeError, TBLiteValueError) as error:
        return f"{method}: {error}"
    return Computed(
        energy=float(result.get("energy")) * HARTREE,
        forces=np.asarray(result.get("gradient")) * (-HARTREE / BOHR),
    )


def _exit_with_parent() -> None:
    """End this process when the parent is gone, however it went."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
