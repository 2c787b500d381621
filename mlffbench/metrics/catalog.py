"""Every metric by name; the docstring of each target defines its number."""

from mlffbench.core.registry import Entry, Registry
from mlffbench.metrics.metric_card import MetricCard

_FORCES = "mlffbench.metrics.forces"
_PARTS = "mlffbench.metrics.breakdown"
_ENERGY = "mlffbench.metrics.energy"
_PAPER = "mlffbench.metrics.published"

METRICS = Registry(
    "metric",
    {
        "forces_mae": Entry(
            f"{_FORCES}:forces_mae",
            "force MAE, pooled over all 3N components",
            card=MetricCard(unit="eV/Å", headline=True, label="force MAE"),
        ),
        "forces_mae_structure": Entry(
            f"{_FORCES}:forces_mae_structure",
            "force MAE of each structure, averaged over structures",
            card=MetricCard(unit="eV/Å"),
        ),
        "forces_rmse": Entry(
            f"{_FORCES}:forces_rmse",
            "force RMSE, the root of the pooled mean square",
            card=MetricCard(unit="eV/Å", reduce="root-mean"),
        ),
        "forces_cosine": Entry(
            f"{_FORCES}:forces_cosine",
            "cosine between predicted and reference force, mean over atoms",
            card=MetricCard(
                unit="1",
                better="higher",
                bounds=(-1.0, 1.0),
                headline=True,
                label="cosine",
            ),
        ),
        "forces_magnitude": Entry(
            f"{_FORCES}:forces_magnitude",
            "error of the force norm, mean over atoms",
            card=MetricCard(unit="eV/Å"),
        ),
        "forces_mae_by_element": Entry(
            f"{_PARTS}:forces_mae_by_element",
            "force MAE over the atoms of each element",
            card=MetricCard(unit="eV/Å"),
        ),
        "forces_mae_by_norm": Entry(
            f"{_PARTS}:forces_mae_by_norm",
            "force MAE over atoms of like reference force norm",
            card=MetricCard(unit="eV/Å"),
        ),
        "forces_mae_by_connectivity": Entry(
            f"{_PAPER}:forces_mae_by_connectivity",
            "force MAE over structures of like graph, in the bins of the paper",
            card=MetricCard(unit="eV/Å"),
        ),
        "forces_mae_structure_by_connectivity": Entry(
            f"{_PAPER}:forces_mae_structure_by_connectivity",
            "the same, every structure counting alike",
            card=MetricCard(unit="eV/Å"),
        ),
        "forces_mae_by_mean_norm": Entry(
            f"{_PAPER}:forces_mae_by_mean_norm",
            "force MAE over structures of like mean force norm, in the bins of the paper",
            card=MetricCard(unit="eV/Å"),
        ),
        "forces_mae_structure_by_mean_norm": Entry(
            f"{_PAPER}:forces_mae_structure_by_mean_norm",
            "the same, every structure counting alike",
            card=MetricCard(unit="eV/Å"),
        ),
        "forces_good_share": Entry(
            f"{_PAPER}:forces_good_share",
            "share of structures with a force MAE below 25 meV/Å",
            card=MetricCard(unit="1", better="higher", bounds=(0.0, 1.0)),
        ),
        "energy_mae_raw": Entry(
            f"{_ENERGY}:energy_mae_raw",
            "energy MAE per atom, energies as they come",
            card=MetricCard(unit="eV/atom", energies="raw", headline=True, label="raw"),
        ),
        "energy_mae_aligned": Entry(
            f"{_ENERGY}:energy_mae_aligned",
            "energy MAE per atom after per-element shifts fitted on ID training data",
            card=MetricCard(
                unit="eV/atom", energies="aligned", headline=True, label="aligned"
            ),
        ),
        "energy_mae_relative": Entry(
            f"{_ENERGY}:energy_mae_relative",
            "energy MAE per atom among the conformers of one molecule",
            card=MetricCard(
                unit="eV/atom", energies="raw", headline=True, label="relative"
            ),
        ),
    },
    group="mlffbench.metrics",
    card=MetricCard,
    needs_card=True,
)
