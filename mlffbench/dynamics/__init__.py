"""Dynamics: many molecules moving at once under one force field."""
