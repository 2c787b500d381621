"""Radius refinement: the cutoff that suits each structure."""
