"""Run the whole test suite under every CPython from 3.11 on that this machine has: `make test-every-python`."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def interpreters() -> dict[str, str]:
    """The interpreters found on the search path and under pyenv, one for each minor version."""
    places = [Path(folder) for folder in os.environ["PATH"].split(os.pathsep)]
    places += sorted((Path.home() / ".pyenv" / "versions").glob("*/bin"))
    found: dict[str, str] = {}
    for place in places:
        for candidate in sorted(place.glob("python3.[0-9][0-9]")):
            version = _version(candidate)
            if version and tuple(map(int, version.split("."))) >= (3, 11):
                found.setdefault(version, str(candidate))
    return dict(sorted(found.items()))


def _version(candidate: Path) -> str | None:
    code = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"
    try:
        ended = subprocess.run([candidate, "-c", code], capture_output=True, text=True, timeout=20, check=False)
    except OSError:
        return None
    return ended.stdout.strip() if ended.returncode == 0 else None


def main() -> int:
    failed = []
    for version, interpreter in interpreters().items():
        print(f"CPython {version}", flush=True)
        variables = [f"PYTHON={interpreter}", f"VENV=.venv-{version}"]
        if subprocess.run(["make", "test", *variables], cwd=ROOT, check=False).returncode:
            failed.append(version)
        shutil.rmtree(ROOT / f".venv-{version}", ignore_errors=True)
    print(f"failed under: {', '.join(failed)}" if failed else "every interpreter passes")
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
