"""How sure a number is: intervals over molecules, comparisons and verdicts."""
