"""Cheap physical models, the usual priors, and the floor."""
