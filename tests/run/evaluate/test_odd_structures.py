"""Odd structures in a suite: each is a failure or a remark, and costs no other."""

from pathlib import Path

from mlffbench.run.loop import run_campaign
from mlffbench.run.request import Request, resolve

COLLAPSED = """2
Properties=species:S:1:pos:R:3:REF_forces:R:3 REF_energy=-20 group=close pbc="F F F"
H 0 0 0 0 0 0
H 0 0 0.1 0 0 0
"""
FLAT = """2
Lattice="6 0 0 0 6 0 0 0 1e-7" Properties=species:S:1:pos:R:3:REF_forces:R:3 REF_energy=-2 group=flat pbc="T T T"
H 0 0 0 0 0 0
H 0 0 0.7 0 0 0
"""  # noqa: E501 - a comment line of the format


def test_a_collapsed_and_a_flat_one(
    suite_file: Path, springs: str, tmp_path: Path
) -> None:
    with (suite_file.parent / "ood.xyz").open("a") as file:
        file.write(COLLAPSED + FLAT)
    request = Request(suite=str(suite_file), models=(springs,), out=tmp_path / "runs")
    done = run_campaign(resolve(request))
    assert done.faults == []
    (folder,) = done.folders
    table = folder.read_table().set_index("molecule")
    assert table["reason"]["flat"] == "its cell is 1e-07 Å thin, flatter than any atom"
    assert table["status"]["close"] == "ok"
    computed = table[table["role"] != "train"].drop(index=["flat"])
    assert "ok" in set(computed["status"])
    assert not computed["reason"].str.contains("thin").any()
    remarks = folder.read_manifest()["checks"]["remarks"]
    (remark,) = [one for one in remarks if "on top of each other" in one]
    assert "collapsed: H–H at 0.10 Å" in remark
