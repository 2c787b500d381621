"""Every diagnostic by name; the docstring of each target defines its number."""

from mlffbench.core.registry import Entry, Registry
from mlffbench.diagnostics.diagnostic_card import DiagnosticCard

_HERE = "mlffbench.diagnostics.distances"

DIAGNOSTICS = Registry(
    "diagnostic",
    {
        "force_norm_mean": Entry(
            f"{_HERE}.force_norm:mean_force_norm",
            "mean norm of the reference forces on the atoms",
            card=DiagnosticCard(
                label="mean atomic |F|",
                unit="eV/Å",
                needs=("reference",),
                kind="force_norm",
            ),
        ),
        "force_norm_max": Entry(
            f"{_HERE}.force_norm:largest_force_norm",
            "largest norm of a reference force on an atom",
            card=DiagnosticCard(
                label="largest atomic |F|",
                unit="eV/Å",
                needs=("reference",),
                kind="force_norm",
            ),
        ),
        "unseen_elements": Entry(
            f"{_HERE}.composition:unseen_elements",
            "fraction of atoms of elements that training lacks",
            card=DiagnosticCard(
                label="atoms of unseen elements", kind="elements", distance=True
            ),
        ),
        "composition": Entry(
            f"{_HERE}.composition:composition_distance",
            "distance of the element fractions to the mean ones of training",
            card=DiagnosticCard(
                label="composition distance", kind="elements", distance=True
            ),
        ),
        "size": Entry(
            f"{_HERE}.composition:size",
            "number of atoms",
            card=DiagnosticCard(label="number of atoms", kind="size"),
        ),
        "charge": Entry(
            f"{_HERE}.composition:charge_distance",
            "distance of the total charge to the nearest one in training",
            card=DiagnosticCard(
                label="charge distance", unit="e", kind="charge", distance=True
            ),
        ),
        "spectral_gap": Entry(
            f"{_HERE}.connectivity:spectral_gap",
            "smallest eigenvalue above 0 of the graph's Laplacian",
            card=DiagnosticCard(
                label="spectral gap", needs=("graphs",), kind="connectivity"
            ),
        ),
        "spectral_padded_l2": Entry(
            f"{_HERE}.connectivity:padded_distance",
            "distance of the zero-padded spectrum to the mean one of training",
            card=DiagnosticCard(
                label="spectral distance, padded",
                needs=("graphs",),
                kind="connectivity",
                distance=True,
            ),
        ),
        "spectral_quantile": Entry(
            f"{_HERE}.connectivity:quantile_distance",
            "distance of the eigenvalue distribution to the mean one of training",
            card=DiagnosticCard(
                label="spectral distance, quantiles",
                needs=("graphs",),
                kind="connectivity",
                distance=True,
            ),
        ),
        "mean_degree": Entry(
            f"{_HERE}.connectivity:mean_degree",
            "neighbours per atom within the cutoff",
            card=DiagnosticCard(
                label="neighbours per atom", needs=("graphs",), kind="connectivity"
            ),
        ),
        "embedding_knn": Entry(
            f"{_HERE}.neighbours:embedding_distance",
            "distance of the model's atomic features to the nearest of training",
            card=DiagnosticCard(
                label="embedding distance, nearest",
                needs=("embedding",),
                distance=True,
            ),
        ),
        "embedding_mahalanobis": Entry(
            f"{_HERE}.mahalanobis:embedding_mahalanobis",
            "Mahalanobis distance of the model's atomic features to training",
            card=DiagnosticCard(
                label="embedding distance, Mahalanobis",
                needs=("embedding",),
                distance=True,
            ),
        ),
        "descriptor_knn": Entry(
            f"{_HERE}.neighbours:descriptor_distance",
            "distance of fixed atomic descriptors (SOAP) to the nearest of training",
            extra="descriptor",
            requires=("dscribe",),
            card=DiagnosticCard(
                label="descriptor distance, nearest",
                needs=("descriptor",),
                distance=True,
            ),
        ),
        "prior_gap": Entry(
            f"{_HERE}.prior_gap:prior_gap",
            "mean absolute difference between the model's and a prior's forces",
            card=DiagnosticCard(
                label="|F model − F prior|",
                unit="eV/Å",
                needs=("prediction", "prior"),
                distance=True,
            ),
        ),
    },
    group="mlffbench.diagnostics",
    card=DiagnosticCard,
    needs_card=True,
)
