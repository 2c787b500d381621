"""Every diagnostic by name; the docstring of each target defines its number."""

from mlffbench.core.registry import Entry, Registry
from mlffbench.diagnostics.facts import DiagnosticFacts

_HERE = "mlffbench.diagnostics"

DIAGNOSTICS = Registry(
    "diagnostic",
    {
        "force_norm_mean": Entry(
            f"{_HERE}.force_norm:mean_force_norm",
            "mean norm of the reference forces on the atoms",
            facts=DiagnosticFacts(
                label="mean atomic |F|",
                unit="eV/Å",
                needs=("reference",),
                kind="force_norm",
            ),
        ),
        "force_norm_max": Entry(
            f"{_HERE}.force_norm:largest_force_norm",
            "largest norm of a reference force on an atom",
            facts=DiagnosticFacts(
                label="largest atomic |F|",
                unit="eV/Å",
                needs=("reference",),
                kind="force_norm",
            ),
        ),
        "unseen_elements": Entry(
            f"{_HERE}.composition:unseen_elements",
            "fraction of atoms of elements that training lacks",
            facts=DiagnosticFacts(
                label="atoms of unseen elements", kind="elements", distance=True
            ),
        ),
        "composition": Entry(
            f"{_HERE}.composition:composition_distance",
            "distance of the element fractions to the mean ones of training",
            facts=DiagnosticFacts(
                label="composition distance", kind="elements", distance=True
            ),
        ),
        "size": Entry(
            f"{_HERE}.composition:size",
            "number of atoms",
            facts=DiagnosticFacts(label="number of atoms", kind="size"),
        ),
        "charge": Entry(
            f"{_HERE}.composition:charge_distance",
            "distance of the total charge to the nearest one in training",
            facts=DiagnosticFacts(
                label="charge distance", unit="e", kind="charge", distance=True
            ),
        ),
        "spectral_gap": Entry(
            f"{_HERE}.connectivity:spectral_gap",
            "smallest eigenvalue above 0 of the graph's Laplacian",
            facts=DiagnosticFacts(
                label="spectral gap", needs=("graphs",), kind="connectivity"
            ),
        ),
        "spectral_padded_l2": Entry(
            f"{_HERE}.connectivity:padded_distance",
            "distance of the zero-padded spectrum to the mean one of training",
            facts=DiagnosticFacts(
                label="spectral distance, padded",
                needs=("graphs",),
                kind="connectivity",
                distance=True,
            ),
        ),
        "spectral_quantile": Entry(
            f"{_HERE}.connectivity:quantile_distance",
            "distance of the eigenvalue distribution to the mean one of training",
            facts=DiagnosticFacts(
                label="spectral distance, quantiles",
                needs=("graphs",),
                kind="connectivity",
                distance=True,
            ),
        ),
        "mean_degree": Entry(
            f"{_HERE}.connectivity:mean_degree",
            "neighbours per atom within the cutoff",
            facts=DiagnosticFacts(
                label="neighbours per atom", needs=("graphs",), kind="connectivity"
            ),
        ),
        "embedding_knn": Entry(
            f"{_HERE}.neighbours:embedding_distance",
            "distance of the model's atomic features to the nearest of training",
            facts=DiagnosticFacts(
                label="embedding distance, nearest",
                needs=("embedding",),
                distance=True,
            ),
        ),
        "embedding_mahalanobis": Entry(
            f"{_HERE}.mahalanobis:embedding_mahalanobis",
            "Mahalanobis distance of the model's atomic features to training",
            facts=DiagnosticFacts(
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
            facts=DiagnosticFacts(
                label="descriptor distance, nearest",
                needs=("descriptor",),
                distance=True,
            ),
        ),
        "prior_gap": Entry(
            f"{_HERE}.prior_gap:prior_gap",
            "mean absolute difference between the model's and a prior's forces",
            facts=DiagnosticFacts(
                label="|F model − F prior|",
                unit="eV/Å",
                needs=("prediction", "prior"),
                distance=True,
            ),
        ),
    },
)
