"""Every diagnostic by name; the docstring of each target defines its number."""

from dataclasses import replace

from mlffbench.core.registry import Entry, Registry
from mlffbench.diagnostics.diagnostic_card import DiagnosticCard, Evidence, Shifted

_HERE = "mlffbench.diagnostics.distances"

_Needs = tuple[Evidence, ...]
_NOTHING: _Needs = ()
_REFERENCE: _Needs = ("reference",)
_GRAPHS: _Needs = ("graphs",)
_EMBEDDING: _Needs = ("embedding",)
_DESCRIPTOR: _Needs = ("descriptor",)
_BOTH: _Needs = ("prediction", "prior")
_SCAN: _Needs = ("scan",)


def _quantity(
    label: str, unit: str, needs: _Needs, kind: Shifted | None
) -> DiagnosticCard:
    return DiagnosticCard(label=label, unit=unit, needs=needs, kind=kind)


def _distance(
    label: str, unit: str, needs: _Needs, kind: Shifted | None
) -> DiagnosticCard:
    return replace(_quantity(label, unit, needs, kind), distance=True)


DIAGNOSTICS = Registry(
    "diagnostic",
    {
        "force_norm_mean": Entry(
            f"{_HERE}.force_norm:mean_force_norm",
            "mean norm of the reference forces on the atoms",
            card=_quantity("mean atomic |F|", "eV/Å", _REFERENCE, "force_norm"),
        ),
        "force_norm_max": Entry(
            f"{_HERE}.force_norm:largest_force_norm",
            "largest norm of a reference force on an atom",
            card=_quantity("largest atomic |F|", "eV/Å", _REFERENCE, "force_norm"),
        ),
        "unseen_elements": Entry(
            f"{_HERE}.composition:unseen_elements",
            "fraction of atoms of elements that training lacks",
            card=_distance("atoms of unseen elements", "1", _NOTHING, "elements"),
        ),
        "composition": Entry(
            f"{_HERE}.composition:composition_distance",
            "distance of the element fractions to the mean ones of training",
            card=_distance("composition distance", "1", _NOTHING, "elements"),
        ),
        "size": Entry(
            f"{_HERE}.composition:size",
            "number of atoms",
            card=_quantity("number of atoms", "1", _NOTHING, "size"),
        ),
        "charge": Entry(
            f"{_HERE}.composition:charge_distance",
            "distance of the total charge to the nearest one in training",
            card=_distance("charge distance", "e", _NOTHING, "charge"),
        ),
        "open_shell": Entry(
            f"{_HERE}.composition:spin_distance",
            "distance of 2S + 1 to the nearest one in training",
            card=_distance("distance of 2S + 1", "1", _NOTHING, "spin"),
        ),
        "spectral_gap": Entry(
            f"{_HERE}.connectivity:spectral_gap",
            "smallest eigenvalue above 0 of the graph's Laplacian",
            card=_quantity("spectral gap", "1", _GRAPHS, "connectivity"),
        ),
        "spectral_padded_l2": Entry(
            f"{_HERE}.connectivity:padded_distance",
            "distance of the zero-padded spectrum to the mean one of training",
            card=_distance("spectral distance, padded", "1", _GRAPHS, "connectivity"),
        ),
        "spectral_quantile": Entry(
            f"{_HERE}.connectivity:quantile_distance",
            "distance of the eigenvalue distribution to the mean one of training",
            card=_distance("spectral distance, quantiles", "1", _GRAPHS, "connectivity"),
        ),
        "mean_degree": Entry(
            f"{_HERE}.connectivity:mean_degree",
            "neighbours per atom within the cutoff",
            card=_quantity("neighbours per atom", "1", _GRAPHS, "connectivity"),
        ),
        "embedding_knn": Entry(
            f"{_HERE}.neighbours:embedding_distance",
            "distance of the model's atomic features to the nearest of training",
            card=_distance("embedding distance, nearest", "1", _EMBEDDING, None),
        ),
        "embedding_mahalanobis": Entry(
            f"{_HERE}.mahalanobis:embedding_mahalanobis",
            "Mahalanobis distance of the model's atomic features to training",
            card=_distance("embedding distance, Mahalanobis", "1", _EMBEDDING, None),
        ),
        "descriptor_knn": Entry(
            f"{_HERE}.neighbours:descriptor_distance",
            "distance of fixed atomic descriptors (SOAP) to the nearest of training",
            card=_distance("descriptor distance, nearest", "1", _DESCRIPTOR, None),
            extra="descriptor",
            requires=("dscribe",),
        ),
        "prior_gap": Entry(
            f"{_HERE}.prior_gap:prior_gap",
            "mean absolute difference between the model's and a prior's forces",
            card=_distance("|F model − F prior|", "eV/Å", _BOTH, None),
        ),
        "bond_scan": Entry(
            f"{_HERE}.bond_scan:bond_scan",
            "energy that forces do not explain while bonds are stretched",
            card=_distance("unexplained energy", "eV", _SCAN, None),
        ),
        "jacobian_asymmetry": Entry(
            f"{_HERE}.jacobian_asymmetry:jacobian_asymmetry",
            "share of the forces' Jacobian that no energy has",
            card=_distance("asymmetry of the Jacobian", "1", _SCAN, None),
        ),
        "diatomic_hole": Entry(
            f"{_HERE}.diatomics:diatomic_hole",
            "deepest hole in the repulsion of two atoms of its elements",
            card=_distance("hole in the repulsion", "eV", _SCAN, None),
        ),
    },
    group="mlffbench.diagnostics",
    card=DiagnosticCard,
    needs_card=True,
)
