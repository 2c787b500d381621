"""Record what every cutoff would do to structures, for models with an attached head too.

Writes docs/rr_gate_curves_<half>.csv: per structure and candidate the prior head's score,
what radius refinement may look at, whether its gate leaves the structure alone, and the
true error, to judge it; then prints the table of docs/rr.md. See docs/ttt_gate.py, whose
levels are read.

Usage: python docs/rr_gate.py [--weights FOLDER] [--heads FOLDER] [--half val|test]
[--only MODEL]
"""

import os
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pandas as pd
import torch
from ttt_gate import HERE, PRIOR, Table, asked_for, cases, norm, rows_of, units_of

from mlffbench.core.labels import Labels
from mlffbench.diagnostics.cutoff_errors import errors_by_cutoff
from mlffbench.models.cutoffs import candidates_of, radii_of
from mlffbench.refine.prior_head import PriorLabels
from mlffbench.refine.radius.criteria import prior_scores
from mlffbench.refine.radius.test_graphs import graphs_of
from mlffbench.refine.unit_gate import START, START_GAP, UnitGate


def main() -> None:
    asked = asked_for(__doc__)
    table = Table(HERE / f"rr_gate_curves_{asked.half}.csv")
    levels = Table(HERE / f"ttt_gate_levels_{asked.half}_2.csv")
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
            known = levels.level(case.name)
            shares = {"start": START, "start_gap": START_GAP}
            gate = UnitGate.of(model, here, wanted.forces, known, **shares)
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
                        "left_alone": bool(gate.why_not([i])),
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
    show(pd.read_csv(table.path))


def show(curves: pd.DataFrame) -> None:
    """Print what refining all, refining with the gate, and the best cutoff come to."""
    rows = []
    keys = ["model", "split", "id"]
    for key, mine in curves.groupby(keys, sort=False):
        at = int(mine["score"].argmin())
        errors = 1000 * mine["error"].to_numpy()
        alone = bool(mine["left_alone"].iloc[0])
        row = dict(zip(keys, key, strict=True))
        row |= {"baseline": errors[0], "all refined": errors[at]}
        row |= {"gated": errors[0 if alone else at], "oracle": errors.min()}
        rows.append(row | {"refined": 100.0 * (not alone), "n": 1})
    found = pd.DataFrame(rows).groupby(keys[:2], sort=False)
    table = found.mean(numeric_only=True).assign(n=found["n"].sum())
    print(table.round(1).to_string())


if __name__ == "__main__":
    main()
