"""Screening: how far unlabelled structures can be trusted to a model."""
