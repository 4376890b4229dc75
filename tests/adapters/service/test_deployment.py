"""What operators deploy from: checked by the tools of its trade, and held against the service that it speaks of."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from dealgate.adapters.service.metrics import Metrics
from dealgate.adapters.service.settings import Settings
from dealgate.adapters.service.tracing import LAST_SPANS
from tests.adapters.service.observed_services import a_service, submit

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
UNIT = DEPLOY / "dealgate@.service"
CONTAINERFILE = DEPLOY / "Containerfile"
DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana-dashboard.json").read_text())
ALERTS: list[dict[str, Any]] = yaml.safe_load((DEPLOY / "prometheus-alerts.yaml").read_text())["groups"][0]["rules"]
REFERENCE = ROOT / "docs" / "reference" / "metrics.md"
RUNBOOK = ROOT / "docs" / "how-to" / "runbook.md"

EXPRESSIONS = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
EXPRESSIONS += [alert["expr"] for alert in ALERTS]
OF_PROMETHEUS = {"up": {"job", "instance"}}
LABELS_OF_ALL = {"instance", "job", "le"}

SELECTOR = re.compile(r"\b((?:dealgate|process|python)_\w+|up)\b(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)(?:=~|!~|!=|=)"[^"]*"')


def tool(name: str) -> str:
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not on this machine")
    return found


def run(*command: str | Path) -> str:
    ended = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_the_containerfile_is_as_hadolint_wants_it() -> None:
    run(tool("hadolint"), "--failure-threshold", "style", CONTAINERFILE)


def test_the_container_runs_as_nobody_special_and_copies_nothing_that_is_secret() -> None:
    text = CONTAINERFILE.read_text()
    last = text.rpartition("\nFROM ")[2]
    assert "\nUSER 10001:10001\n" in last
    assert "/healthz" in last
    assert 'ENTRYPOINT ["dealgate"]\nCMD ["serve"]' in last
    assert {base.partition(" ")[0] for base in re.findall(r"^FROM (.*)$", text, re.MULTILINE)} == {
        "python:3.11-slim-bookworm"
    }
    copied = [words.split()[:-1] for words in re.findall(r"^COPY (?!--from)(.*)$", text, re.MULTILINE)]
    assert all((ROOT / name).exists() for names in copied for name in names)


def test_the_engine_is_built_in_the_container_as_the_makefile_builds_it() -> None:
    (definition,) = re.findall(r"^ENGINE_CC := \$\(CC\) (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert f'CC="cc {definition}"' in CONTAINERFILE.read_text()


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit, with a command that this machine has."""
    copy = tmp_path / "dealgate@8000.service"
    copy.write_text(re.sub(r"^ExecStart=\S+", f"ExecStart={sys.executable}", UNIT.read_text(), flags=re.MULTILINE))
    return copy


def test_the_unit_is_as_systemd_wants_it(unit: Path) -> None:
    run(tool("systemd-analyze"), "verify", "--man=no", unit)


def test_the_unit_exposes_little(unit: Path) -> None:
    shown = run(tool("systemd-analyze"), "security", "--offline=yes", "--threshold=20", "--no-pager", unit)
    assert "Overall exposure level" in shown


def test_the_unit_waits_for_what_the_service_may_take_to_stop() -> None:
    (seconds,) = re.findall(r"^TimeoutStopSec=(\d+)$", UNIT.read_text(), re.MULTILINE)
    settings = Settings.model_fields
    longest = settings["shutdown_seconds"].default + settings["request_seconds"].default + LAST_SPANS
    assert int(seconds) > longest


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, set[str]]]:
    """Every metric of a service that has done something: its kind, its text and its labels, by the name that is asked for."""
    from dealgate.adapters.database import open_database, upgrade_database  # noqa: PLC0415

    url = f"sqlite:///{tmp_path_factory.mktemp('metrics') / 'a.db'}"
    engine = open_database(url)
    upgrade_database(engine)
    engine.dispose()
    with a_service(url) as service:
        submit(service)
        return dict(samples_of(service.metrics))


def samples_of(metrics: Metrics) -> Iterator[tuple[str, tuple[str, set[str]]]]:
    declared = {one._name: set(one._labelnames) for one in vars(metrics).values() if hasattr(one, "_labelnames")}
    for family in metrics.registry.collect():
        endings = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "info": ("_info",)}
        labels = declared.get(family.name, set(getattr(family, "_labelnames", ()))).union(
            *(sample.labels for sample in family.samples)
        )
        for ending in endings.get(family.type, ("",)):
            yield f"{family.name}{ending}", (family.documentation, labels)


def outside_of_strings(expression: str) -> str:
    return re.sub(r'"[^"]*"', '""', expression)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_asks_for_metrics_and_labels_that_there_are(
    expression: str, families: dict[str, tuple[str, set[str]]]
) -> None:
    known = {name: labels for name, (_, labels) in families.items()} | OF_PROMETHEUS
    asked = SELECTOR.findall(expression)
    assert asked
    for name, matchers in asked:
        assert name in known
        assert {*MATCHER.findall(matchers)} <= known[name] | LABELS_OF_ALL
        assert MATCHER.sub("", matchers).strip(" ,") == ""
    labels = set().union(*(known[name] for name, _ in asked)) | LABELS_OF_ALL
    for grouped in re.findall(r"\bby \(([^)]*)\)", expression):
        assert set(re.split(r",\s*", grouped)) <= labels
    plain = outside_of_strings(expression)
    assert [plain.count(mark) for mark in "([{"] == [plain.count(mark) for mark in ")]}"]


def test_every_metric_of_dealgate_is_in_the_reference_with_its_labels(
    families: dict[str, tuple[str, set[str]]],
) -> None:
    rows = re.findall(r"^\| `(dealgate_\w+)` +\| ([^|]*) \| ([^|]*) \|$", REFERENCE.read_text(), re.MULTILINE)
    told = {name: set(re.findall(r"`(\w+)`", labels)) for name, labels, _ in rows}
    ours = {
        re.sub(r"_(bucket|count|sum)$", "", name): labels - {"le"}
        for name, (_, labels) in families.items()
        if name.startswith("dealgate_")
    }
    assert told == ours


def test_the_runbook_answers_every_alert() -> None:
    headings = re.findall(r"^## (\w+)$", RUNBOOK.read_text(), re.MULTILINE)
    assert [alert["alert"] for alert in ALERTS] == [one for one in headings if one.startswith("Dealgate")]
