"""What is built and installed: one package called dealgate, whole, and nothing else."""

import json
import tarfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.wheels import ROOMS, ROOT, dealgate_dist, installed, run

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())

DEAL = {
    "deal_id": "D-1",
    "submitted_on": "2026-11-20",
    "vehicle": {"condition": "used", "values": [{"basis": "jdpower_clean_trade", "amount": "27000.00"}]},
    "cash_price": "37769.69",
    "term_months": 72,
}


def files_of(room: str) -> set[str]:
    """The files of a room as they are named when installed."""
    paths = (path for path in (ROOT / room).rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {f"dealgate/{path.relative_to(ROOT).as_posix()}" for path in paths}


def test_the_list_of_packages_names_every_folder_of_code() -> None:
    folders = {path.parent.relative_to(ROOT) for room in ROOMS for path in (ROOT / room).rglob("__init__.py")}
    wanted = ["dealgate", *sorted(".".join(["dealgate", *folder.parts]) for folder in folders)]
    assert PROJECT["tool"]["setuptools"]["packages"] == wanted


def test_every_folder_with_code_says_that_it_is_a_package() -> None:
    with_code = {path.parent for room in ROOMS for path in (ROOT / room).rglob("*.py")}
    assert [folder for folder in with_code if not (folder / "__init__.py").exists()] == []


def test_every_room_is_mapped_to_its_folder_and_linked_for_type_checkers() -> None:
    mapped = PROJECT["tool"]["setuptools"]["package-dir"]
    assert mapped == {"dealgate": "src/dealgate", **{f"dealgate.{room}": room for room in ROOMS}}
    links = {path.name: path for path in (ROOT / "src" / "dealgate").iterdir() if path.is_symlink()}
    assert links.keys() == set(ROOMS)
    for room, link in links.items():
        assert link.readlink() == Path("../..") / room


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return dealgate_dist(tmp_path_factory)


@pytest.fixture(scope="module")
def environment(built: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts of an environment with dealgate's wheel."""
    return installed(tmp_path_factory.mktemp("environment"), built[0])


def test_the_wheel_holds_every_file_of_the_rooms_and_nothing_beside_the_package(built: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(built[0]) as wheel:
        names = set(wheel.namelist())

    information = f"dealgate-{PROJECT['project']['version']}.dist-info"
    assert {name.partition("/")[0] for name in names} == {"dealgate", information}
    package = {name for name in names if name.startswith("dealgate/")}
    ours = {"dealgate/__init__.py", "dealgate/py.typed"}.union(*map(files_of, ROOMS))
    assert package == ours
    assert {"dealgate/rules/policies/prime_auto.yaml", "dealgate/rules/measures.yaml"} <= package
    assert {"dealgate/rules/policy.lark", "dealgate/migrations/env.py", "dealgate/migrations/script.py.mako"} <= package
    assert any(name.startswith("dealgate/migrations/versions/v0001") for name in package)


def test_the_wheel_carries_licence_requirements_and_the_command(built: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(built[0]) as wheel:
        contents = {name.partition("dist-info/")[2]: wheel.read(name).decode() for name in wheel.namelist()}
    assert contents["licenses/LICENSE"] == (ROOT / "LICENSE").read_text()
    assert "dealgate = dealgate.adapters.command_line.main:run" in contents["entry_points.txt"]
    metadata = contents["METADATA"]
    for requirement in PROJECT["project"]["dependencies"]:
        assert f"Requires-Dist: {requirement}" in metadata
    assert "License-Expression: Apache-2.0" in metadata


def test_the_sdist_holds_the_sources_and_no_link(built: tuple[Path, Path]) -> None:
    with tarfile.open(built[1]) as sdist:
        members = {member.name.partition("/")[2]: member for member in sdist.getmembers()}
    wanted = {name.removeprefix("dealgate/") for room in ROOMS for name in files_of(room)}
    assert wanted <= members.keys()
    assert "pyproject.toml" in members
    assert not [name for name, member in members.items() if member.issym() or member.islnk()]


def test_the_installed_package_is_not_the_checkout(environment: Path, tmp_path: Path) -> None:
    code = "import dealgate.rules, dealgate.models; print(dealgate.rules.__file__, dealgate.models.__file__)"
    done = run(environment / "python", "-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for path in done.stdout.split():
        assert Path(path).is_relative_to(environment.parent)


def test_nothing_called_after_a_room_can_be_imported_from_the_top(environment: Path, tmp_path: Path) -> None:
    code = f"from importlib.util import find_spec; print([room for room in {ROOMS!r} if find_spec(room)])"
    assert run(environment / "python", "-c", code, cwd=tmp_path).stdout == "[]\n"


def test_the_installed_command_evaluates_upgrades_submits_and_checks_away_from_the_checkout(
    environment: Path, tmp_path: Path
) -> None:
    (tmp_path / "deal.json").write_text(json.dumps(DEAL))

    evaluated = run(environment / "dealgate", "evaluate", "deal.json", "--json", cwd=tmp_path)
    assert evaluated.returncode == 0, evaluated.stderr
    decision = json.loads(evaluated.stdout)
    assert decision["measures"]["total_ltv"]["value"] == "139.89"
    assert decision["engine"]["agreed"] is True

    upgraded = run(environment / "dealgate", "db", "upgrade", cwd=tmp_path)
    assert (upgraded.returncode, upgraded.stderr) == (0, "")
    submitted = run(environment / "dealgate", "submit", "deal.json", "--json", cwd=tmp_path)
    assert (submitted.returncode, submitted.stderr) == (0, "")
    assert json.loads(submitted.stdout)["measures"] == decision["measures"]
    checked = run(environment / "dealgate", "policy", "check", "subprime-auto", cwd=tmp_path)
    assert checked.returncode == 0, checked.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deal.json", "dealgate.db"]
