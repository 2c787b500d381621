"""Record what every cutoff would do to structures, for models with an attached head too.

Writes docs/rr_gate_curves_<half>.csv: per structure and candidate the prior head's score,
what radius refinement may look at, and the true error, to judge it. See docs/ttt_gate.py.

Usage: python docs/rr_gate.py [--weights FOLDER] [--heads FOLDER] [--half val|test]
"""

import os
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from ttt_gate import HERE, PRIOR, Table, asked_for, cases, norm, rows_of, units_of

from mlffbench.core.labels import Labels
from mlffbench.diagnostics.cutoff_errors import errors_by_cutoff
from mlffbench.models.cutoffs import candidates_of, radii_of
from mlffbench.refine.prior_head import PriorLabels
from mlffbench.refine.radius.criteria import prior_scores
from mlffbench.refine.radius.test_graphs import graphs_of


def main() -> None:
    asked = asked_for(__doc__)
    table = Table(HERE / f"rr_gate_curves_{asked.half}.csv")
    labels = PriorLabels(PRIOR)
    for case in cases(asked):
        model: Any = case.model
        for split, (everything, truth) in case.splits.items():
            if (case.name, split) in table.done("model", "split"):
                continue
            places = [place for unit in units_of(everything, 2, 8) for place in unit]
            structures = everything.select(places)
            wanted = labels.of(structures)
            true = torch.cat([rows_of(truth, everything, place) for place in places])
            radii = radii_of(model.cutoff, smallest=3.0, n_radii=7, given="")
            graphs = graphs_of(structures, radii)
            candidates = candidates_of(model, radii, "either")
            rows = [radii.index(one.cutoff) for one in candidates]
            scores = prior_scores(candidates, structures, wanted, graphs.n_edges[rows])
            zeros = torch.zeros(structures.n_systems, dtype=torch.float64)
            reference = Labels(energy=zeros, forces=true, source="reference")
            errors = errors_by_cutoff(candidates, structures, reference)
            here = structures.to(dtype=torch.float32)
            head = model.predict_prior(here).forces.double() - wanted.forces
            ref = model.predict(here).forces.double() - wanted.forces
            table.add(
                [
                    {
                        "model": case.name,
                        "split": split,
                        "id": structures.ids[i],
                        "group": structures.group[i],
                        "n_atoms": int(structures.sizes[i]),
                        "loss": norm(rows_of(head, structures, i)),
                        "gap": norm(rows_of(ref, structures, i)),
                        "radius": one.cutoff,
                        "envelope": one.envelope,
                        "score": float(scores[c, i]),
                        "error": float(errors[c, i]),
                    }
                    for i in range(structures.n_systems)
                    if i not in wanted.failures
                    for c, one in enumerate(candidates)
                ]
            )
            print(case.name, split, flush=True)


if __name__ == "__main__":
    main()
