"""Decision models written for tests: `.dmn` documents from a few words."""

from collections.abc import Iterable, Sequence
from xml.sax.saxutils import escape, quoteattr

NAMESPACES = {
    "1.1": "http://www.omg.org/spec/DMN/20151101/dmn.xsd",
    "1.2": "http://www.omg.org/spec/DMN/20180521/MODEL/",
    "1.3": "https://www.omg.org/spec/DMN/20191111/MODEL/",
    "1.4": "https://www.omg.org/spec/DMN/20211108/MODEL/",
    "1.5": "https://www.omg.org/spec/DMN/20230324/MODEL/",
}


def _cell(kind: str, text: str) -> str:
    return f"<{kind}><text>{escape(text)}</text></{kind}>"


def literal(text: str) -> str:
    return _cell("literalExpression", text)


def output(name: str = "", values: str = "", default: str | None = None) -> str:
    inner = (_cell("outputValues", values) if values else "") + (
        "" if default is None else _cell("defaultOutputEntry", default)
    )
    return f"<output{f' name={quoteattr(name)}' if name else ''}>{inner}</output>"


def table(
    hit_policy: str,
    inputs: Iterable[str | tuple[str, str]],
    rows: Iterable[Sequence[str]],
    outputs: Sequence[str] = ("<output/>",),
    aggregation: str = "",
) -> str:
    """Each row has its input cells first; an input may be a pair of expression and allowed values."""
    pairs = [pair if isinstance(pair, tuple) else (pair, "") for pair in inputs]
    columns = "".join(
        f"<input>{_cell('inputExpression', text)}{_cell('inputValues', allowed) if allowed else ''}</input>"
        for text, allowed in pairs
    )
    rules = "".join(
        "<rule>"
        + "".join(_cell("inputEntry" if place < len(pairs) else "outputEntry", cell) for place, cell in enumerate(row))
        + "</rule>"
        for row in rows
    )
    attributes = f'hitPolicy="{hit_policy}"' + (f' aggregation="{aggregation}"' if aggregation else "")
    return f"<decisionTable {attributes}>{columns}{''.join(outputs)}{rules}</decisionTable>"


def decision(name: str, logic: str, *requires: str) -> str:
    """`requires` are names; a decision's begins with a star."""
    needed = "".join(
        "<informationRequirement>"
        + (f"<requiredDecision href={quoteattr('#d ' + one[1:])}/>" if one.startswith("*") else "")
        + (f"<requiredInput href={quoteattr('#i ' + one)}/>" if not one.startswith("*") else "")
        + "</informationRequirement>"
        for one in requires
    )
    return f"<decision id={quoteattr('d ' + name)} name={quoteattr(name)}>{needed}{logic}</decision>"


def data(name: str, type_name: str = "number") -> str:
    return (
        f"<inputData id={quoteattr('i ' + name)} name={quoteattr(name)}>"
        f"<variable name={quoteattr(name)} typeRef={quoteattr(type_name)}/></inputData>"
    )


def document(*parts: str, version: str = "1.5") -> bytes:
    return f'<definitions xmlns="{NAMESPACES[version]}" name="m">{"".join(parts)}</definitions>'.encode()
