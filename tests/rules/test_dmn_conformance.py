"""The DMN Technology Compatibility Kit's decision tables, run from the kit's own files beside the checkout."""

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import pytest
from defusedxml.ElementTree import parse

from tests.adapters.commands import invoke
from tests.shared import SHARED

KIT = SHARED / "conformance" / "dmn-tck"
TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"


def children(element: Element, name: str) -> list[Element]:
    return [child for child in element if child.tag.rpartition("}")[2] == name]


def value(element: Element) -> Any:
    """The value of an input or of an expectation, as JSON has it."""
    if components := children(element, "component"):
        return {component.get("name"): value(component) for component in components}
    if lists := children(element, "list"):
        return [value(item) for item in children(lists[0], "item")]
    stated = children(element, "value")
    if not stated or stated[0].text is None:
        return None
    kind, text = (stated[0].get(TYPE) or "").rpartition(":")[2], stated[0].text
    if kind == "boolean":
        return text == "true"
    return Decimal(text) if kind == "decimal" else text


def cases() -> Iterator[Any]:
    for file in sorted(KIT.glob("*/*-test-*.xml")):
        root = parse(file).getroot()
        for case in children(root, "testCase") if root is not None else ():
            for result in children(case, "resultNode"):
                name = f"{file.parent.name} {case.get('id')} {result.get('name')}"
                yield pytest.param(file.parent, case, result, id=name)


@pytest.mark.parametrize(
    ("folder", "case", "result"),
    list(cases())
    or [pytest.param(None, None, None, marks=pytest.mark.skip(f"{KIT} does not stand beside the checkout"))],
)
def test_a_case_of_the_kit_comes_out_as_expected(folder: Path, case: Element, result: Element) -> None:
    inputs = {node.get("name"): value(node) for node in children(case, "inputNode")}
    (model,) = folder.glob("*.dmn")
    given = json.dumps(inputs, default=lambda number: int(number) if number == int(number) else float(number))
    ran = invoke("table", "run", model, "--decision", result.get("name") or "", "--input", given, "--json")
    assert ran.exit_code == 0, ran.output
    assert json.loads(ran.stdout, parse_float=Decimal) == value(children(result, "expected")[0])
