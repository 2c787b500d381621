"""A value of another type than it must be is refused, never read as something else."""

import re
from pathlib import Path

import numpy as np
import pytest

from mlffbench.core.errors import BenchError
from mlffbench.datasets.files.open import open_source
from mlffbench.run.suite import parse_suite

FRAME = """2
Properties=species:S:1:pos:R:3:REF_forces:R:3 REF_energy=-1.5 pbc="F F F"
O 0 0 0 0 0 0
H 0 0 1 0 0 0
"""
SUITE = """
name: toy
version: 1
summary: a
splits: [{name: train, role: train, file: a.xyz}]
models: [zero]
"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("REF_energy=-1.5", "REF_energy=T", "has energy that are no numbers: 'True'"),
        ('pbc="F F F"', 'pbc="X Y Z"', "pbc is 'X Y Z'; expected T or F"),
        ('pbc="F F F"', 'pbc="F F"', "expected T or F for each lattice vector"),
        ('pbc="F F F"', 'pbc="0 0 2"', "expected T or F for each lattice vector"),
        ('pbc="F F F"', "pbc=F spin=999", "more than its electrons allow"),
        ('pbc="F F F"', "spin=T", "has spin = 'True'"),
        ("O 0 0 0 0", "O T 0 0 0", "T"),
    ],
)
def test_a_frame_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = tmp_path / "a.xyz"
    assert old in FRAME
    path.write_text(FRAME.replace(old, new))
    with pytest.raises(BenchError, match=re.escape(said)):
        read(path)


def read(path: Path) -> None:
    source = open_source(path)
    rows = np.arange(source.index.n_structures)
    source.structures(rows)
    source.labels(rows)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("version: 1", "version: true", "'true', expected a whole number"),
        ("version: 1", "version: '1'", "'1', expected a whole number"),
        ("version: 1", "version: 1.0", "'1.0', expected a whole number"),
        ("summary: a", r'summary: "\ud800 x"', "half a character"),
        ("summary: a", "summary: true", "'true', expected text"),
        ("[zero]", "[zero]\ndynamics: {reference: 1}", "'1', expected true or false"),
        ("[zero]", "[1]", "'1', expected text"),
    ],
)
def test_a_suite_is_refused(old: str, new: str, said: str) -> None:
    assert old in SUITE
    with pytest.raises(BenchError, match=re.escape(said)):
        parse_suite(SUITE.replace(old, new), "toy.yaml")


def test_both_are_read_as_they_are(tmp_path: Path) -> None:
    assert parse_suite(SUITE, "toy.yaml").version == 1
    (tmp_path / "a.xyz").write_text(FRAME)
    assert open_source(tmp_path / "a.xyz").index.n_structures == 1
