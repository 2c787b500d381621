"""Suites over the mini set with the smallest of its models."""

from pathlib import Path


def write_mini_suite(folder: Path, name: str, *, modes: str, settings: str) -> Path:
    """Write one with modes and settings as they stand in a suite's file."""
    path = folder / f"{name}.yaml"
    path.write_text(
        f"""
name: {name}
version: 1
summary: the mini set with radius refinement
dataset: mini
models: [mini-schnet]
modes: {modes}
settings: {settings}
"""
    )
    return path
