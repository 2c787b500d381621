"""Suites over a part of the mini set, which take a part of its time."""

from pathlib import Path

SPLITS = """
level_of_theory: wB97X/6-31G(d)
splits:
  - {name: train, role: train, file: 'mini:train'}
  - {name: id_molecules, role: id_test, file: 'mini:id_molecules'}
  - {name: ood_elements, role: ood_test, file: 'mini:ood_elements',
     shift: {kind: elements}}
  - {name: ood_connectivity, role: ood_test, file: 'mini:ood_connectivity',
     shift: {kind: connectivity}}
"""
"""Training, a control and two shifts."""


def write_mini_suite(folder: Path, name: str, *, modes: str, settings: str) -> Path:
    """Write one with modes and settings as they stand in a suite's file."""
    path = folder / f"{name}.yaml"
    path.write_text(
        f"""
name: {name}
version: 1
summary: some of the mini set
models: [mini-schnet]
modes: {modes}
settings: {settings}
{SPLITS}"""
    )
    return path
