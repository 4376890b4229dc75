"""Wheels as they are built from a checkout and installed in an environment that sees nothing of it."""

import fcntl
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "origination"
ROOMS = ("adapters", "migrations", "models", "rules")
BUILT_FROM = ("pyproject.toml", "README.md", "LICENSE", "src", *ROOMS)
NO_NETWORK = ("Failed to establish a new connection", "Temporary failure in name resolution")


def run(*command: str | Path, cwd: Path | None = None, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run a command that sees nothing of this checkout."""
    return subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env=clean_environment() | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def clean_environment() -> dict[str, str]:
    return {
        name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "DEALGATE_DB", "DATABASE_URL"}
    }


def dealgate_dist(factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """dealgate's wheel, built from the sdist that was built from a copy of the checkout."""
    folder = _built_once(factory, "dealgate", ROOT, BUILT_FROM)
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, sdist


def example_wheel(factory: pytest.TempPathFactory) -> Path:
    """The wheel of the application in examples/origination."""
    folder = _built_once(factory, "origination", EXAMPLE, ("pyproject.toml", "origination"), "--wheel")
    (wheel,) = folder.glob("*.whl")
    return wheel


def _built_once(factory: pytest.TempPathFactory, name: str, source: Path, parts: Iterable[str], *options: str) -> Path:
    """The folder of what is built; whichever worker of the run asks first builds, and the others wait for it."""
    common = factory.getbasetemp().parent if "PYTEST_XDIST_WORKER" in os.environ else factory.getbasetemp()
    built = common / f"{name}-built"
    with (common / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not built.exists():
            copy, output = factory.mktemp("checkout"), factory.mktemp("dist")
            _copy(source, copy, parts)
            done = run(sys.executable, "-m", "build", *options, "--outdir", output, copy)
            if any(words in done.stdout + done.stderr for words in NO_NETWORK):
                pytest.skip("building needs the network for setuptools: " + done.stderr.strip().splitlines()[-1])
            assert done.returncode == 0, done.stdout + done.stderr
            output.rename(built)
    return built


def _copy(source: Path, target: Path, parts: Iterable[str]) -> None:
    for name in parts:
        if (source / name).is_dir():
            shutil.copytree(source / name, target / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source / name, target / name)


def installed(place: Path, *wheels: Path) -> Path:
    """The scripts of a fresh environment: the wheels are installed in it, their dependencies are borrowed from ours."""
    venv.create(place, with_pip=False)
    python = place / "bin" / "python"
    done = run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", *wheels)
    assert done.returncode == 0, done.stderr
    packages = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").stdout.strip())
    # A folder named in a .pth file is searched, but the .pth files in it, our editable install's among them, are not read.
    borrowed = [path for path in sys.path if Path(path).name == "site-packages"]
    (packages / "borrowed.pth").write_text("\n".join(borrowed))
    return place / "bin"
