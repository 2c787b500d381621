import re
import time
from pathlib import Path

import pytest
from processes import Started, mlffbench, new_python

from mlffbench.core.plugins.install import extras

COMMANDS = [
    "list", "info", "download", "plan", "run", "score", "report", "validate", "doctor",
]  # fmt: skip


def test_every_command_teaches() -> None:
    text = mlffbench("--help").stdout
    for command in COMMANDS:
        assert re.search(rf"│ {command} +\w", text), command


def test_list_does_not_import_torch() -> None:
    code = (
        "import sys; sys.argv = ['mlffbench', 'list']\n"
        "from mlffbench.cli.app import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'ase', 'pandas', 'scipy', 'h5py'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = new_python("-c", code)
    assert done.returncode == 0, done.stderr
    assert "ani-1x" in done.stdout


def test_info_tells_licence_and_citation() -> None:
    text = mlffbench("info", "ani-1x").stdout
    assert "citation" in text
    assert "licence" in text
    assert "H C N O" in text


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("run", "--suite", "mini_ood"), 1, "Did you mean 'mini-ood'"),
        (("run", "--suite", "mini-ood", "--mode", "basline"), 1, "unknown mode"),
        (("run", "--suite", "mini-ood", "--limit", "0"), 2, "--limit"),
        (("run", "--suite", "mini-ood", "--device", "tpu"), 2, "--device"),
        (("run", "--suite", "gone.yaml"), 1, "cannot read the suite gone.yaml"),
        (("info", "zeroo"), 1, "did you mean 'zero' (model)?"),
        (("validate", "no/such.py:factory"), 1, "no/such.py"),
        (("score", "nowhere"), 1, "no run under nowhere"),
        (("report",), 1, "make one with"),
    ],
)
def test_bad_input_is_one_sentence(
    words: tuple[str, ...], code: int, sentence: str, tmp_path: Path
) -> None:
    done = mlffbench(*words, cwd=tmp_path)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert sentence in done.stderr
    if code == 1:
        assert len(done.stderr.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_run_prints_a_table_and_report_repeats_it(
    suite_file: Path, springs: str, tmp_path: Path
) -> None:
    models = f"zero,{springs}"
    done = mlffbench("run", "--suite", str(suite_file), "--model", models, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "toy v1, test half" in done.stdout
    assert "skipped: element not supported: N" in " ".join(done.stdout.split())
    again = mlffbench("score", cwd=tmp_path)
    table = done.stdout[done.stdout.index("toy v1") :]
    assert table.startswith(again.stdout)
    assert "On unseen elements (ood) the force error" in table
    assert table.rstrip().endswith("wrote runs/report.html")
    assert (tmp_path / "runs" / "report.html").exists()
    for form, start in (
        ("html", "<!doctype html>"),
        ("md", "# mlffbench report"),
        ("csv", "suite,"),
        ("json", "{"),
    ):
        report = mlffbench("report", "--format", form, "--out", f"r.{form}", cwd=tmp_path)
        assert report.returncode == 0, report.stderr
        assert (tmp_path / f"r.{form}").read_text().startswith(start)


def test_plan_and_dry_run_compute_nothing(suite_file: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    plan = mlffbench("plan", "--suite", str(suite_file), cwd=tmp_path)
    dry = mlffbench("run", "--dry-run", "--suite", str(suite_file), cwd=tmp_path)
    assert plan.returncode == dry.returncode == 0, plan.stderr
    assert plan.stdout == dry.stdout
    assert "ood_test" in plan.stdout
    assert sorted(tmp_path.rglob("*")) == before


def test_a_model_that_fails_ends_with_exit_code_1(
    suite_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken.py").write_text("def factory():\n    raise RuntimeError('no')\n")
    done = mlffbench(
        "run", "--suite", str(suite_file), "--model", "broken.py:factory,zero",
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 1
    assert "broken.py:factory" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "zero" in done.stdout


def test_ctrl_c_says_how_to_continue(
    suite_file: Path, springs: str, tmp_path: Path
) -> None:
    path = Path(springs.rpartition(":")[0])
    text = path.read_text()
    path.write_text(
        text.replace("        x =", "        import time; time.sleep(0.3)\n        x =")
    )
    words = ["run", "--suite", str(suite_file), "--model", springs, "--out", "runs"]
    process = Started("-m", "mlffbench", *words, "--batch-atoms", "6", cwd=tmp_path)
    deadline = time.monotonic() + 60
    while not list(tmp_path.rglob("parts/*.npz")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.interrupt()
    done = process.wait()
    assert done.returncode == 1
    assert "stopped; to continue, type: mlffbench run --suite" in done.stderr
    assert "Traceback" not in done.stderr


def test_validate_names_the_broken_promise(tmp_path: Path, springs: str) -> None:
    good = mlffbench("validate", springs, "--dtype", "float64")
    assert good.returncode == 0, good.stdout + good.stderr
    assert "keeps every promise" in good.stdout
    path = Path(springs.rpartition(":")[0])
    path.write_text(path.read_text().replace("forces = -(", "forces = (-0.9)*("))
    bad = mlffbench("validate", springs, "--dtype", "float64")
    assert bad.returncode == 1
    assert "breaks the promise" in bad.stdout


def test_doctor_names_versions_and_exits_0(monkeypatch: pytest.MonkeyPatch) -> None:
    few = {"hub": extras()["hub"]}  # importing all takes long
    monkeypatch.setattr("mlffbench.cli.machines.doctor.extras", lambda: few)
    done = mlffbench("doctor")
    assert done.returncode == 0, done.stderr
    assert "torch" in done.stdout
    assert "tblite" in done.stdout
