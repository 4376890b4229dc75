"""`dealgate policy new`, `schema` and `explain`."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dealgate import Policy
from dealgate.adapters.command_line.policy_texts import starter
from dealgate.adapters.explanation_pages import write_explanation
from dealgate.adapters.policies import SHIPPED, check_policy, load_policy
from dealgate.rules.coverage import coverage_of, try_examples
from dealgate.rules.explaining import Grid, Heading, Paragraph, Points, explain, limit_grid
from dealgate.rules.schema import schema_text
from tests.adapters.commands import invoke
from tests.models.samples import POLICY

# A first policy


@pytest.mark.parametrize("name", ["my-auto", "null", "1e3", "2026.12", "Auto_2"])
def test_the_starter_checks_clean_under_the_name_it_was_given(name: str, tmp_path: Path) -> None:
    file = tmp_path / "first.yaml"
    assert invoke("policy", "new", name, "-o", file).exit_code == 0
    document = load_policy(str(file))
    check_policy(document)
    assert document.policy.name == name
    checked = invoke("policy", "check", file)
    assert checked.exit_code == 0
    assert checked.stderr == ""


def test_the_examples_of_the_starter_reach_every_row(tmp_path: Path) -> None:
    compiled = check_policy(load_policy(str(written(tmp_path))))
    tried = try_examples(compiled)
    assert coverage_of(compiled.policy, tried).never_hit == []


def written(folder: Path) -> Path:
    file = folder / "first.yaml"
    file.write_text(starter("first"), encoding="utf-8")
    return file


def test_the_starter_tells_editors_where_the_schema_is() -> None:
    assert starter("x").startswith("# yaml-language-server: $schema=policy.schema.json\n")


def test_without_a_file_the_starter_is_named_after_the_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ended = invoke("policy", "new")
    assert "my-auto.yaml written" in ended.stdout
    assert load_policy("my-auto.yaml").policy.name == "my-auto"


def test_a_policy_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    file = written(tmp_path)
    ended = invoke("policy", "new", "other", "-o", file)
    assert ended.exit_code == 2
    assert "Give another name" in ended.stderr
    assert file.read_text(encoding="utf-8") == starter("first")


@pytest.mark.parametrize("name", ["../up", "a b", "", 'x"', "a\nb", "-" * 2 + "x"])
def test_a_name_that_is_no_name_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert invoke("policy", "new", name).exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_bad_input(tmp_path: Path) -> None:
    ended = invoke("policy", "new", "-o", tmp_path / "absent" / "policy.yaml")
    assert ended.exit_code == 2
    assert "cannot be written" in ended.stderr


# The schema


def test_the_schema_is_printed_or_written(tmp_path: Path) -> None:
    assert invoke("policy", "schema").stdout == schema_text()
    file = tmp_path / "policy.schema.json"
    for _ in range(2):  # it can be made again, so it is overwritten
        assert invoke("policy", "schema", "-o", file).exit_code == 0
    assert json.loads(file.read_text(encoding="utf-8"))["title"] == "dealgate policy"


# The policy in words


@pytest.fixture(scope="module", params=SHIPPED)
def shipped(request: pytest.FixtureRequest) -> Policy:
    return load_policy(request.param).policy


class Page(HTMLParser):
    """The text and the elements of a page; what is opened must be closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += attrs
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_is_whole_and_needs_nothing_beside_it(shipped: Policy) -> None:
    page = Page(write_explanation(shipped, ".html"))
    assert page.open == []
    assert set(page.names) == {
        "html", "head", "meta", "title", "style", "body", "h1", "h2", "h3", "h4", "p", "ul", "li", "table", "thead",
        "tbody", "tr", "th", "td", "code",
    }  # fmt: skip
    assert {name for name, _ in page.attributes} == {"lang", "charset", "name", "content", "scope"}
    assert "url(" not in page.text
    assert "@import" not in page.text


def test_both_forms_hold_every_rule_limit_measure_and_example(shipped: Policy) -> None:
    page = Page(write_explanation(shipped, ".html")).text
    markdown = re.sub(r"\\(.)", r"\1", write_explanation(shipped, ".md"))
    for text in (page, markdown):
        assert shipped.sha256 in text
        for rule in shipped.rules:
            assert f"{rule.id}: {rule.title}" in text
            assert f"Otherwise: {rule.otherwise}. Reason: {rule.reason}." in text
        assert all(name in text for name in [*shipped.limits, *shipped.measures])
        assert all(example.name in text for example in shipped.examples)
        assert all(measure.source in text for measure in shipped.measures.values())


def test_a_rule_is_told_in_sentences() -> None:
    blocks = list(explain(load_policy("prime-auto").policy))
    place = blocks.index(Heading(4, "PTI: Payment to income within the tier's limit"))
    assert blocks[place + 1] == Points(
        (
            "Applies to every deal.",
            "Requires that payment to income is at most max payment to income.",
            "Otherwise: refer. Reason: Income insufficient for amount of credit requested.",
            "Mitigated to flag where payment to income is at most max payment to income plus 5.00 % and cash down is at least "
            "10.00 % times cash price.",
        )
    )


def test_a_list_of_bases_is_not_told_as_the_collateral_value_where_the_policy_computes_it() -> None:
    measures = 'measures: {collateral_value: {unit: money, formula: "90% * listed_value()"}}\n'
    blocks = list(explain(Policy.from_text(POLICY + measures)))
    place = blocks.index(Heading(2, "What secures the loan"))
    assert blocks[place + 1 : place + 4] == [
        Paragraph("The policy has its own formula for the collateral value: it stands among the measures."),
        Paragraph("The listed value of a new vehicle is a dealer invoice (invoice)."),
        Paragraph("The listed value of a used vehicle is a J.D. Power clean trade value (jdpower_clean_trade)."),
    ]


def test_what_is_not_both_is_told_in_brackets() -> None:
    """Without them the sentence would read as: A is not violated, and B is."""
    text = write_explanation(load_policy("prime-auto").policy, ".md")
    assert "it is not the case that (LTV-TOTAL is violated and NE-ROLLED is violated)" in text


def test_a_limit_of_simple_tests_has_a_column_for_each_field() -> None:
    policy = load_policy("prime-auto").policy
    assert limit_grid(policy.limits["max_total_ltv"], policy.measures) == Grid(
        ("Row", "Tier", "Condition", "Limit"),
        (
            ("1", "A", "new", "130%"),
            ("2", "A, B", "any", "125%"),
            ("3", "C", "any", "115%"),
            ("4", "any", "any", "110%"),
        ),
    )
    assert limit_grid(policy.limits["max_term"], policy.measures).rows[2] == ("3", "any", "at most 75,000", "72")


def test_a_limit_of_other_tests_has_its_conditions_in_words() -> None:
    rows = [
        {"when": 'tier == "A" or cash_down >= 10% * cash_price', "limit": "84"},
        {"when": "not first_time_buyer", "limit": "72"},
    ]
    limit = {"unit": "count", "hit_policy": "collect", "aggregate": "max", "rows": rows, "default": "60"}
    policy = small(limits={"most": limit})
    assert limit_grid(policy.limits["most"], policy.measures) == Grid(
        ("Row", "Where", "Limit"),
        (
            ("1", "tier is A or cash down is at least 10.00 % times cash price", "84"),
            ("2", "first time buyer is false", "72"),
            ("3", "no row holds", "60"),
        ),
    )


def small(**entries: Any) -> Policy:
    head = {"policy": "p", "version": "1", "title": "t", "effective_from": "2026-11-01"}
    rule = {"id": "R", "title": "t", "require": "term_months <= 72", "otherwise": "flag", "reason": "r"}
    return Policy.from_text(json.dumps({**head, "rules": [rule], **entries}))


HOSTILE = "<script>alert(1)</script> & \"q\" 'q' | `c` *b* [l](http://x) # h"


def test_what_a_policy_says_is_never_markup() -> None:
    rule = {
        "id": "R",
        "title": HOSTILE,
        "require": f"state != {json.dumps(HOSTILE.replace(chr(34), ''))}",
        "otherwise": "flag",
        "reason": HOSTILE,
    }
    measure = {"unit": "count", "formula": "1", "title": HOSTILE, "meaning": HOSTILE, "source": HOSTILE}
    example = {"name": HOSTILE, "deal": {}, "expect": {}}
    policy = small(title=HOSTILE, rules=[rule], measures={"m": measure}, examples=[example])
    page = Page(write_explanation(policy, ".html"))
    assert "script" not in page.names
    assert page.open == []
    assert page.text.count(HOSTILE) == 8
    markdown = write_explanation(policy, ".md")
    assert "<script>" not in markdown
    assert re.sub(r"\\(.)", r"\1", markdown).replace("&amp;", "&").count(HOSTILE) == 7
    columns = {len(re.findall(r"(?<!\\)\|", line)) for line in markdown.splitlines() if line.startswith("|")}
    assert columns == {3, 7}


def test_consumer_reports_are_named_rule_by_rule() -> None:
    assert "No rule rests on a consumer report." in write_explanation(small(), ".md")
    text = write_explanation(load_policy("recreational").policy, ".md")
    assert re.search(r"on a consumer report \(15 USC 1681m\(a\)\): LTV-TOTAL, NE-ROLLED, LAYERED\.", text)


def test_guarantees_are_told_where_a_policy_states_them() -> None:
    policy = small()
    stated = SimpleNamespace(never=policy.rules[0].require)
    blocks = list(explain(cast("Policy", _With(policy, guarantees=(stated,)))))
    assert Points(("Never: term in months is at most 72.",)) in blocks
    assert Heading(2, "Guarantees") not in list(explain(policy))


class _With:
    """A policy with one thing more."""

    def __init__(self, policy: Policy, **more: Any) -> None:
        self._policy = policy
        self.__dict__.update(more)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._policy, name)


def test_the_suffix_says_which_form_is_written(tmp_path: Path) -> None:
    page, text = tmp_path / "policy.html", tmp_path / "policy.md"
    assert invoke("policy", "explain", "subprime-auto", "-o", page).exit_code == 0
    assert invoke("policy", "explain", "subprime-auto", "-o", text).exit_code == 0
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert text.read_text(encoding="utf-8") == invoke("policy", "explain", "subprime-auto").stdout
    ended = invoke("policy", "explain", "subprime-auto", "-o", tmp_path / "policy.docx")
    assert ended.exit_code == 2
    assert ".md or .html" in ended.stderr


def test_a_policy_whose_examples_fail_is_not_put_into_words(tmp_path: Path) -> None:
    file = written(tmp_path)
    file.write_text(file.read_text(encoding="utf-8").replace("limit: 120%", "limit: 125%"), encoding="utf-8")
    ended = invoke("policy", "explain", file)
    assert ended.exit_code == 2
    assert "does not hold" in ended.stderr
    assert ended.stdout == ""
