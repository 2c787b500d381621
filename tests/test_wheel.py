"""The sdist and the wheel hold all that runs; the wheel tells how to install extras.

The dependencies are those of the environment that tests, seen through a ``.pth`` file:
installing them anew would take minutes and several GB. mlffbench itself comes from the
wheel alone. ``build`` fetches hatchling from an index.
"""

import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


pytestmark = pytest.mark.slow


def run(*words: str | Path, cwd: Path, env: dict[str, str] | None = None) -> str:
    """Return what a command prints."""
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        env=env,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of an sdist and of the wheel that was built from it."""
    out = tmp_path_factory.mktemp("dist")
    env = {**os.environ, "PIP_CONSTRAINT": str(ROOT / "constraints.txt")}
    run(sys.executable, "-m", "build", "--outdir", out, ROOT, cwd=out, env=env)
    return out


@pytest.fixture(scope="module")
def bare(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an environment in which mlffbench is what the wheel holds."""
    folder = tmp_path_factory.mktemp("bare") / "env"
    venv.create(folder, with_pip=True)
    (wheel,) = built.glob("*.whl")
    python = folder / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", wheel, cwd=built)
    (packages,) = folder.glob("lib/python*/site-packages")
    dependencies = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "dependencies.pth").write_text("\n".join(dependencies) + "\n")
    return folder


def test_the_sdist_and_the_wheel_hold_what_runs(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    package = ROOT / "mlffbench"
    files = {
        f"mlffbench/{path.relative_to(package)}"
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    suites = {f"mlffbench/suites/{path.name}" for path in (ROOT / "suites").glob("*")}
    assert files | suites <= held
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "constraints.txt"} <= names
    assert files <= names


def test_the_wheel_runs_a_suite(bare: Path, tmp_path: Path) -> None:
    program = bare / "bin" / "mlffbench"
    code = "import mlffbench; print(mlffbench.__file__)"
    home = run(bare / "bin" / "python", "-c", code, cwd=tmp_path).strip()
    assert Path(home).is_relative_to(bare)
    words = ["run", "--suite", "mini-ood", "--limit", "3"]
    told = run(program, *words, cwd=tmp_path)
    for name in ("mini-mace", "mini-schnet", "ttt", "ood_elements"):
        assert name in told
    assert (tmp_path / "runs" / "report.html").is_file()
    assert "mini-ood" in run(program, "list", "suites", cwd=tmp_path)


def test_the_wheel_says_how_to_install_an_extra(
    bare: Path, built: Path, tmp_path: Path
) -> None:
    (wheel,) = built.glob("*.whl")
    code = (
        "from mlffbench.core.plugins import install; print(install.install_line('rdkit'))"
    )
    line = run(bare / "bin" / "python", "-c", code, cwd=tmp_path).strip()
    assert line == f"pip install 'mlffbench[rdkit] @ {wheel.as_uri()}'"
    # what it says is what pip takes
    words = ["install", "--dry-run", "--no-deps", line.split("'")[1]]
    run(bare / "bin" / "python", "-m", "pip", *words, cwd=tmp_path)
    code = "from mlffbench.core.plugins import install; print(*sorted(install.extras()))"
    told = run(bare / "bin" / "python", "-c", code, cwd=tmp_path).split()
    assert {"ani", "descriptor", "hub", "mace", "qc", "rdkit", "sgdml"} <= set(told)
