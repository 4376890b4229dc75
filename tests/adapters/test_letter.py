"""The letter: one page whatever the case, the decision's own words and numbers, and no deal writes its markup."""

import re
import sys

import pytest

from dealgate.adapters.letter import escaped, letter_of, write_letter
from dealgate.adapters.pictures import MissingExtraError
from tests.decided import ID, NO_VALUE, Documents, decided_sample

EVIL = '#panic("x") *b* $x^2$ [l](http://e.test) <b> `c` _u_ \\ "q" {x} | @r ~ // /* #image("/etc/passwd")'


def pages(pdf: bytes) -> int:
    assert pdf.startswith(b"%PDF-")
    return sum(int(count) for count in re.findall(rb"/Type\s*/Pages\b[^>]*?/Count (\d+)", pdf))


def crowded() -> Documents:
    """Four trades, twelve products, and more findings than a page has room for, the most severe last."""
    trades = [{"kind": "loan", "allowance": "1000.00", "acv": "900.00", "payoff": "2500.00"}] * 4
    products = [{"kind": f"product_{number}", "price": "100.00"} for number in range(12)]
    deal, decision = decided_sample(trade_ins=trades, products=products)
    finding = next(finding for finding in decision["findings"] if finding["result"] == "violated")
    for number in range(60):
        long = {"rule": f"RULE-{number}", "severity": "flag", "explanation": "One sentence of many words. " * 30}
        decision["findings"].append(finding | long)
    decision["findings"].append(finding | {"rule": "WORST", "severity": "decline"})
    decision["cures"] = [{"lever": "cash_down", "change": "1.00", "to": "2.00", "clears": ["WORST"]}] * 30
    return deal, decision


CASES: dict[str, Documents] = {
    "the sample": decided_sample(),
    "no curve": decided_sample(apr_percent=None),
    "no value": decided_sample(vehicle=NO_VALUE),
    "no structure": decided_sample(trade_ins=[{"kind": "loan", "allowance": "8000.00"}]),
    "crowded": crowded(),
}


@pytest.mark.parametrize("case", CASES)
def test_a_letter_is_one_page_of_pdf(case: str) -> None:
    assert pages(write_letter(*CASES[case], ".pdf")) == 1


def test_words_too_long_for_a_line_still_fit_the_page() -> None:
    deal, decision = decided_sample()
    for finding in decision["findings"]:
        finding |= {"result": "violated", "severity": "refer", "explanation": "W" * 5000, "reason": "R" * 3000}
    assert pages(write_letter(deal, decision, ".pdf")) == 1


def test_the_most_severe_findings_come_first_and_passes_are_counted() -> None:
    letter = letter_of(*crowded())
    assert (letter.findings[0].head, letter.findings[0].name) == ("decline", "WORST")
    severities = [told.head for told in letter.findings]
    assert severities == sorted(severities, key=["decline", "refer", "flag"].index)
    _, decision = crowded()
    passed = sum(finding["result"] == "pass" for finding in decision["findings"])
    assert letter.passes.startswith(f"{passed} of {len(decision['findings'])} rules pass")


def test_the_letter_says_what_the_decision_says() -> None:
    deal, decision = decided_sample()
    said = write_letter(deal, decision, ".md").decode().replace("\\", "")
    for finding in decision["findings"]:
        assert (finding["explanation"] in said) == (finding["result"] in {"violated", "mitigated", "not_evaluable"})
    measures = decision["measures"]
    for text in (
        "# Deal D-2026-001847, submission 1: REFER",
        "2026-11-20 15:04:05 UTC",
        f"prime-auto 2026.11 (SHA-256 {decision['policy']['sha256'][:12]}...)",
        "| Amount financed | $37,769.67 |",
        f"| Total LTV | {measures['total_ltv']['value']} % |",
        f"| Payment to income | {measures['payment_to_income']['value']} % |",
        f"Above water from month {measures['break_even_month']['value']}.",
        "Assumed: Kelley Blue Book",
        "not an adverse-action notice",
        ID,
    ):
        assert text in said


def test_cures_are_printed_as_the_decision_has_them() -> None:
    deal, decision = decided_sample()
    decision["cures"] = [
        {"lever": "cash_down", "change": "4019.69", "to": "5519.69", "clears": ["LTV-TOTAL", "NE-ROLLED"]},
        {
            "lever": "term_months",
            "change": 12,
            "to": 60,
            "clears": ["TERM"],
            "explanation": "Twelve months less clears TERM.",
        },
    ]
    said = write_letter(deal, decision, ".md").decode()
    assert "- **cash down** by 4019.69 to 5519.69 (clears LTV-TOTAL, NE-ROLLED)" in said
    assert "- **term months** Twelve months less clears TERM.\n" in said


def test_where_no_lever_cures_the_deal_the_letter_says_so() -> None:
    deal, decision = decided_sample()
    lever = {"lever": "cash_down", "reason": "never", "proved": True}
    decision |= {"cures": [], "unfixable": [lever]}
    assert letter_of(deal, decision).no_cure == "No change of one lever alone cures the deal (sought: cash down)."
    given_up = decision | {"unfixable": [lever | {"proved": False}]}
    assert letter_of(deal, given_up).no_cure == (
        "Whether a change of one lever alone cures the deal was not searched to the end (sought: cash down)."
    )
    erased = decision | {"unfixable": []}  # as a decision is read back whose cures were erased
    assert letter_of(deal, erased).no_cure == ""
    del decision["cures"]  # as decisions were before cures were sought
    assert letter_of(deal, decision).no_cure == ""


@pytest.mark.parametrize("text", [EVIL[:100], "#panic()", "#import", "$", "#{", '"', "\\", "/*", "```"])
def test_nothing_in_a_deal_is_markup_in_the_pdf(text: str) -> None:
    assert pages(write_letter(*decided_sample(deal_id=text, dealer_id=text, apr_percent=None), ".pdf")) == 1


def test_nothing_in_a_deal_is_markup_in_markdown() -> None:
    said = write_letter(*decided_sample(dealer_id=EVIL[:100]), ".md").decode()
    row = next(line for line in said.splitlines() if line.startswith("| Dealer"))
    assert row == f"| Dealer | {escaped(EVIL[:100])} |"
    assert not re.search(r"(?<!\\)[*_`\[\]<>$#@{}]", escaped(EVIL))
    assert escaped("a\n# b | c") == "a \\# b \\| c"
    assert "http\\://" in escaped(EVIL)


def test_the_same_documents_give_the_same_bytes() -> None:
    assert write_letter(*decided_sample(), ".pdf") == write_letter(*decided_sample(), ".pdf")


@pytest.mark.parametrize("package", ["typst", "vl_convert"])
def test_a_missing_package_is_named_with_what_to_install(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"need {package}.*Run: pip install 'dealgate\[pictures\]'"):
        write_letter(*decided_sample(), ".pdf")


def test_the_letter_in_markdown_needs_no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("typst", "vl_convert"):
        monkeypatch.setitem(sys.modules, package, None)
    assert write_letter(*decided_sample(), ".md").startswith(b"# Deal")
