"""What a service is told: where it comes from, what is wrong with it all at once, and no secret in what is shown."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel, SecretStr

from dealgate.adapters.service.configuration import without_secrets
from dealgate.adapters.service.settings import Settings, read_settings
from tests.adapters.commands import invoke

REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "settings.md"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("DEALGATE_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def shown(*arguments: str) -> dict[str, tuple[object, str]]:
    result = invoke("config", "show", "--json", *arguments)
    assert result.exit_code == 0, result.output
    return {name: (one["value"], one["from"]) for name, one in json.loads(result.stdout).items()}


def refused(*arguments: str) -> list[str]:
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    return result.stderr.splitlines()


def test_each_setting_is_shown_with_where_it_comes_from(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    Path("service.toml").write_text('port = 9000\nhost = "127.0.0.2"\n[mappings]\nlos = "los.yaml"\n')
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / "dealgate_db").write_text("postgresql+psycopg://dealgate:hidden@db/lender\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    monkeypatch.setenv("DEALGATE_PORT", "9001")
    monkeypatch.setenv("DEALGATE_MAPPINGS__OTHER", "other.yaml")
    monkeypatch.setenv("DEALGATE_CONFIG", "service.toml")
    settings = shown()
    assert settings["port"] == (9001, "environment")
    assert settings["host"] == ("127.0.0.2", "file")
    assert settings["db"] == ("postgresql+psycopg://dealgate:***@db/lender", "credential")
    assert settings["mappings"] == ({"los": "los.yaml", "other": "other.yaml"}, "environment, file")
    assert settings["threads"] == (8, "default")
    assert set(settings) == set(Settings.model_fields)


def test_the_table_shows_the_same() -> None:
    result = invoke("config", "show")
    assert re.search(r"^port +8000 +default +DEALGATE_PORT", result.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://dealgate:MARKED@db/lender",
        "postgresql+psycopg://db/lender?user=dealgate&password=MARKED",
        "postgresql+psycopg://db/lender?sslpassword=MARKED",
    ],
)
def test_a_password_in_the_database_s_url_is_never_shown(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEALGATE_DB", url)
    result = invoke("config", "show")
    assert "lender" in result.stdout
    assert "MARKED" not in result.output


class Nested(BaseModel):
    issuer: str
    secret: SecretStr
    more: dict[str, tuple[SecretStr, ...]]


def test_secrets_are_masked_however_deep_they_lie() -> None:
    nested = Nested(issuer="https://a", secret=SecretStr("MARKED"), more={"keys": (SecretStr("MARKED"),)})
    assert without_secrets({"oidc": [nested]}) == {
        "oidc": [{"issuer": "https://a", "secret": "***", "more": {"keys": ["***"]}}]
    }
    assert without_secrets("https://user:MARKED@collector:4318") == "https://user:***@collector:4318"


def test_everything_wrong_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("service.toml").write_text('thread = 9\nlog_level = "loud"\nport = "x"\n')
    for name, value in {"DB": "MARKED", "MAPPINGS": "no json", "THREADS": "0", "METRIC_PORT": "9"}.items():
        monkeypatch.setenv(f"DEALGATE_{name}", value)
    problems = refused("config", "show", "--config", "service.toml")
    starts = sorted(problem.partition(" (")[0] for problem in problems)
    assert starts == ["DEALGATE_METRIC_PORT", "db", "log_level", "mappings", "port", "thread", "threads"]
    by_name = {problem.partition(" (")[0]: problem for problem in problems}
    assert "MARKED" not in "".join(problems)
    assert "'loud'" in by_name["log_level"]
    assert "(file)" in by_name["log_level"]
    assert "(environment): '0'" in by_name["threads"]
    assert "Did you mean threads?" in by_name["thread"]
    assert "Did you mean metrics_port?" in by_name["DEALGATE_METRIC_PORT"]


@pytest.mark.parametrize(
    ("text", "said"),
    [(None, "cannot be read: No such file or directory"), ("port = ", "not TOML"), (b"\xff", "it is not UTF-8")],
)
def test_a_file_that_cannot_be_used_is_named(text: str | bytes | None, said: str) -> None:
    if text is not None:
        Path("service.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    (problem,) = refused("serve", "--config", "service.toml")
    assert problem.startswith("service.toml: ")
    assert said in problem


def test_a_service_needs_a_database_that_is_ready() -> None:
    assert refused("serve") == [
        "there is no database at dealgate.db. Run: dealgate db upgrade --db sqlite:///dealgate.db"
    ]
    Path("dealgate.db").touch()
    (problem,) = refused("serve")
    assert problem.startswith("the database has no dealgate tables")
    assert "Run: dealgate db upgrade --db sqlite:///dealgate.db" in problem


@pytest.mark.parametrize("missing", ["pydantic_settings", "uvicorn"])
def test_without_the_extra_one_sentence_says_what_to_install(missing: str) -> None:
    program = f"import sys; sys.modules[{missing!r}] = None; from dealgate.adapters.command_line.main import run; run()"
    ended = subprocess.run(
        [sys.executable, "-c", program, "serve"], capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.returncode == 2
    assert (
        ended.stderr == f"the service needs {missing}, which is not installed. Run: pip install 'dealgate[service]'\n"
    )


def test_the_reference_has_every_setting_with_its_default() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (?:`([^`]*)`)? \|", REFERENCE.read_text(), re.MULTILINE)
    defaults = {
        name: without_secrets(field.get_default(call_default_factory=True, validated_data={}))
        for name, field in Settings.model_fields.items()
    }
    written = {name: one if isinstance(one, str) else json.dumps(one) for name, one in defaults.items()}
    assert dict(rows) == {name: "" if one == "null" else one for name, one in written.items()}


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_a_database_that_keeps_nothing_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="name a file"):
        read_settings(db=url)
