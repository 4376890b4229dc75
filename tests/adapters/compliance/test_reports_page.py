"""The page about the reports tells of each of them what it says of itself."""

import pytest

from dealgate.adapters.compliance.groups import COLUMNS, RATES
from dealgate.adapters.compliance.reports import REPORTS
from tests.test_documentation import ROOT

PAGE = (ROOT / "docs" / "reference" / "reports.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", REPORTS)
def test_the_page_has_the_report(name: str) -> None:
    report, part = REPORTS[name], PAGE.split(f"\n## {name}\n")[1].split("\n## ")[0]
    assert f"**{report.title}.** {report.question}" in part
    assert f"Asked by: {report.asked_by}. Why: {report.source}." in part
    for column in report.columns:
        assert f"| `{column.name}` | {column.unit} | {column.meaning} |" in part
    assert all(f"`{dimension}` ({words})" in part for dimension, words in report.dimensions.items())
    assert all(f"`--set {one.name}={one.default}`: {one.meaning}" in part for one in report.parameters)
    assert f'show("{name}"' in part.replace("(\n    ", "(")  # a long call is broken over lines


def test_the_page_has_the_rates_by_group() -> None:
    assert all(f"| `{name}` | {words} |" in PAGE for name, words in RATES.items())
    assert all(f"| `{column.name}` | {column.unit} | {column.meaning} |" in PAGE for column in COLUMNS)
