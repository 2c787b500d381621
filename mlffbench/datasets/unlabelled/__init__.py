"""Structures without labels: lists of SMILES, SDF files, folders, any file we read."""
