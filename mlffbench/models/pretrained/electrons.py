"""How the charge and the spin of a structure reach an ASE calculator.

Calculators look for them in four places: in ``atoms.info`` (UMA, Orb, MACE-POLAR, SO3LR),
in initial charges and magnetic moments (xtb-python, DFTB+, Gaussian), among their
parameters (tblite, ORCA), and in attributes of their own (AIMNet2). All are told.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from mlffbench.core.single import Single

CHARGE_NAMES = ("charge", "total_charge", "net_charge")
"""In e."""
MULTIPLICITY_NAMES = ("multiplicity", "mult", "spin_multiplicity", "total_spin")
"""2S + 1."""
UNPAIRED_NAMES = ("uhf", "unpaired")
"""2S, the number of unpaired electrons."""
SPIN = "spin"
"""2S + 1 in ``atoms.info``; as a parameter, 2S + 1 where a singlet is 1 by default, the
number of unpaired electrons where it is 0, and nothing we set otherwise."""
_GRID = 2.0**-20
"""Shares of a charge are multiples of this, so that they add up without rounding."""


def atoms_of(single: Single) -> Any:
    """Return a structure as ASE's atoms, charge and spin in every place atoms have.

    Initial charges and magnetic moments (of high spin) are spread evenly and add up
    exactly; they are left out of what is neutral, or a singlet.
    """
    charge, multiplicity = single.charge, single.multiplicity
    info = dict.fromkeys(CHARGE_NAMES, charge)
    info |= dict.fromkeys((SPIN, *MULTIPLICITY_NAMES), multiplicity)
    atoms: Any = Atoms(
        numbers=single.numbers,
        positions=single.positions,
        cell=single.cell,
        pbc=single.pbc,
        info=info,
    )
    if charge:
        atoms.set_initial_charges(_spread(charge, len(atoms)))
    if multiplicity > 1:
        atoms.set_initial_magnetic_moments(_spread(multiplicity - 1, len(atoms)))
    return atoms


class Told(NamedTuple):
    """One name under which a calculator takes charge or spin.

    Attributes:
        name: Of the parameter, of the attribute, and after ``set_`` of the method.
        meaning: ``charge``, ``multiplicity`` or ``unpaired``.
    """

    name: str
    meaning: str

    def tell(self, calculator: Any, single: Single) -> None:
        """Set the value of a structure in every place where there is one."""
        value = {
            "charge": single.charge,
            "multiplicity": single.multiplicity,
            "unpaired": single.multiplicity - 1,
        }[self.meaning]
        if self.name in parameters_of(calculator):
            calculator.set(**{self.name: value})
        if callable(setter := getattr(calculator, f"set_{self.name}", None)):
            setter(value)
        elif hasattr(calculator, self.name):
            setattr(calculator, self.name, value)


def names_of(calculator: Any, fixed: frozenset[str]) -> tuple[Told, ...]:
    """Return the names under which a calculator takes what the user has not fixed.

    Args:
        calculator: As made, before anything was told.
        fixed: Names of the parameters that the user has set.
    """
    found = [Told(name, "charge") for name in CHARGE_NAMES]
    if fixed.intersection(CHARGE_NAMES):
        found = []
    if not fixed.intersection((SPIN, *MULTIPLICITY_NAMES, *UNPAIRED_NAMES)):
        found += [Told(name, "multiplicity") for name in MULTIPLICITY_NAMES]
        found += [Told(name, "unpaired") for name in UNPAIRED_NAMES]
        default = parameters_of(calculator).get(SPIN, getattr(calculator, SPIN, None))
        if type(default) in {int, float} and default in {0, 1}:
            found += [Told(SPIN, "multiplicity" if default else "unpaired")]
    return tuple(told for told in found if _takes(calculator, told.name))


def parameters_of(calculator: Any) -> Mapping[str, Any]:
    """Return the parameters a calculator lists, with their defaults or values."""
    listed = getattr(calculator, "default_parameters", None)
    current = getattr(calculator, "parameters", None)
    found: dict[str, Any] = {}
    for values in (listed, current):
        if isinstance(values, Mapping):
            found |= values
    return found


def _takes(calculator: Any, name: str) -> bool:
    if name in parameters_of(calculator) or callable(
        getattr(calculator, f"set_{name}", None)
    ):
        return True
    own = name in vars(calculator) if hasattr(calculator, "__dict__") else False
    settable = isinstance(found := getattr(type(calculator), name, None), property)
    settable = settable and found is not None and found.fset is not None
    if not (own or settable):
        return False
    # a network or a table of that name is not a number to be set
    return type(getattr(calculator, name)) in {int, float, type(None)}


def _spread(total: int, n_atoms: int) -> NDArray[np.float64]:
    """Return ``n_atoms`` nearly equal values whose sum is exactly ``total``."""
    values = np.full(n_atoms, np.round(total / n_atoms / _GRID) * _GRID)
    values[0] += total - values.sum()
    return values
