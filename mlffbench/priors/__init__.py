"""The catalogue of cheap priors; a prior is a force field."""
