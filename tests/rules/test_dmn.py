"""Decision tables of DMN files: every hit policy, what decisions rest on, and files that mean harm."""

from typing import Any

import pytest

from dealgate.rules.dmn import DmnError, read_dmn
from dealgate.rules.dmn_evaluation import run_decision
from dealgate.rules.feel_values import is_vast, value_text
from tests.rules.dmn_models import NAMESPACES, data, decision, document, literal, output, table

ROWS = [(">= 18", '"Best"'), (">= 12", '"Good"'), ("< 12", '"Fair"'), ("[14..15]", '"Good"')]
ORDERED = [output(values='"Fair", "Good", "Best"')]
AGES = {"25": 25, "15": 15, "13": 13, "5": 5}


def run(logic: str, inputs: dict[str, Any], *parts: str, requires: tuple[str, ...] = ("Age",)) -> str:
    model = read_dmn(document(data("Age"), decision("D", logic, *requires), *parts))
    return value_text(run_decision(model, "D", inputs).value)


@pytest.mark.parametrize(
    ("hit_policy", "expected"),
    [
        ("UNIQUE", ["null", "null", "Good", "Fair"]),
        ("ANY", ["null", "Good", "Good", "Fair"]),
        ("FIRST", ["Best", "Good", "Good", "Fair"]),
        ("PRIORITY", ["Good", "Good", "Good", "Fair"]),
        ("RULE ORDER", ["[Best, Good]", "[Good, Good]", "[Good]", "[Fair]"]),
        ("OUTPUT ORDER", ["[Good, Best]", "[Good, Good]", "[Good]", "[Fair]"]),
        ("COLLECT", ["[Best, Good]", "[Good, Good]", "[Good]", "[Fair]"]),
    ],
)
def test_each_hit_policy_picks_its_rows(hit_policy: str, expected: list[str]) -> None:
    logic = table(hit_policy, ["Age"], ROWS, ORDERED)
    assert [run(logic, {"Age": age}) for age in AGES.values()] == expected


@pytest.mark.parametrize(
    ("aggregation", "expected"),
    [("SUM", ["600", "300", "100", "null"]), ("MIN", ["100", "100", "100", "null"]), ("MAX", ["300", "200", "100", "null"]),
     ("COUNT", ["3", "2", "1", "0"])],
)  # fmt: skip
def test_collect_adds_up_picks_or_counts(aggregation: str, expected: list[str]) -> None:
    logic = table("COLLECT", ["Age"], [("> 1", "100"), ("> 2", "200"), ("> 3", "300")], aggregation=aggregation)
    assert [run(logic, {"Age": age}) for age in (4, 3, 2, 1)] == expected


@pytest.mark.parametrize(
    ("hit_policy", "nothing", "default"),
    [("UNIQUE", "null", "7"), ("ANY", "null", "7"), ("FIRST", "null", "7"), ("PRIORITY", "null", "7"),
     ("RULE ORDER", "null", "[7]"), ("OUTPUT ORDER", "null", "[7]"), ("COLLECT", "[]", "[7]")],
)  # fmt: skip
def test_where_no_row_holds_the_default_stands(hit_policy: str, nothing: str, default: str) -> None:
    rows = [("> 100", "1")]
    assert run(table(hit_policy, ["Age"], rows, [output(values="1, 2")]), {"Age": 5}) == nothing
    assert run(table(hit_policy, ["Age"], rows, [output(values="1, 2", default="7")]), {"Age": 5}) == default


def test_several_outputs_are_an_object_and_the_first_ordered_one_decides_priority() -> None:
    outputs = [output("Status", '"Approved", "Declined"', '"Declined"'), output("Rate", default='"None"')]
    rows = [("-", '"Declined"', '"A"'), ("> 5", '"Approved"', '"B"'), ("> 6", '"Approved"', '"C"')]
    priority = table("PRIORITY", ["Age"], rows, outputs)
    assert run(priority, {"Age": 7}) == "{Status: Approved, Rate: B}"
    ordered = table("OUTPUT ORDER", ["Age"], rows, outputs)
    assert run(ordered, {"Age": 6}) == "[{Status: Approved, Rate: B}, {Status: Declined, Rate: A}]"
    assert run(table("UNIQUE", ["Age"], rows[1:], outputs), {"Age": 1}) == "{Status: Declined, Rate: None}"


def test_an_output_value_that_is_not_listed_comes_last() -> None:
    logic = table("PRIORITY", ["Age"], [("-", "9"), ("-", "2")], [output(values="1, 2, 3")])
    assert run(logic, {"Age": 1}) == "2"


def test_the_order_of_priority_may_stand_in_the_type() -> None:
    types = '<itemDefinition name="t"><typeRef>string</typeRef><allowedValues><text>"B", "A"</text></allowedValues></itemDefinition>'
    logic = table("PRIORITY", ["Age"], [("-", '"A"'), ("-", '"B"')], ['<output typeRef="t"/>'])
    assert run(logic, {"Age": 1}, types) == "B"


def test_a_violated_hit_policy_says_which_rules_it_was() -> None:
    model = read_dmn(document(data("Age"), decision("D", table("UNIQUE", ["Age"], ROWS), "Age")))
    outcome = run_decision(model, "D", {"Age": 25})
    assert outcome.value is None
    assert outcome.rules == (1, 2)
    assert outcome.notes == (
        "decision 'D': the hit policy UNIQUE allows one rule to hold, and rules 1, 2 do: the result is null",
    )


@pytest.mark.parametrize("version", NAMESPACES)
def test_every_version_of_dmn_is_read(version: str) -> None:
    model = read_dmn(document(data("Age"), decision("D", table("FIRST", ["Age"], ROWS), "Age"), version=version))
    assert run_decision(model, "D", {"Age": 25}).value == "Best"


def test_a_decision_rests_on_others_by_name_even_with_spaces_and_signs() -> None:
    model = read_dmn(
        document(
            decision("Total", literal("max(Extra days, Pre-set days) + Base"), "*Extra days", "*Pre-set days", "*Base"),
            decision("Extra days", table("COLLECT", ["Years of\n Service"], [("[15..30)", "2")], [output(default="0")],
                                         "MAX"), "Years of Service"),
            decision("Pre-set days", literal("1")),
            decision("Base", literal("22")),
            data("Years of Service"),
        )
    )  # fmt: skip
    assert value_text(run_decision(model, "Total", {"Years of Service": 20}).value) == "24"
    assert value_text(run_decision(model, "d Total", {"Years of Service": 30}).value) == "23"
    assert value_text(run_decision(model, "Total", {"Years of Service": 30, "Base": 1}).value) == "2"


def test_a_table_in_a_function_is_called_with_its_parameters() -> None:
    function = (
        '<businessKnowledgeModel name="Grade"><encapsulatedLogic><formalParameter name="Person.Age"/>'
        + table("FIRST", ["Person.Age"], ROWS)
        + "</encapsulatedLogic></businessKnowledgeModel>"
    )
    invocation = (
        f'<invocation>{literal("Grade")}<binding><parameter name="Person.Age"/>{literal("Age")}</binding></invocation>'
    )
    assert run(invocation, {"Age": 25}, function) == "Best"
    assert run(literal("Grade(Age - 20)"), {"Age": 25}, function) == "Fair"
    assert (
        run(
            literal("Grade(Person.Age: Age)".replace("Person.Age:", "x:")),
            {"Age": 25},
            function.replace("Person.Age", "x"),
        )
        == "Best"
    )


def test_a_context_names_what_its_result_rests_on() -> None:
    result = literal('the grade + "!"')
    entries = (
        f'<contextEntry><variable name="the grade"/>{table("FIRST", ["Age"], ROWS)}</contextEntry>'
        f"<contextEntry>{result}</contextEntry>"
    )
    assert run(f"<context>{entries}</context>", {"Age": 25}) == "Best!"


@pytest.mark.parametrize(
    ("type_name", "given", "cell"),
    [("number", "25", "25"), ("boolean", "true", "true"), ("string", "x", '"x"'), ("feel:number", 2, "2"),
     ("date", "2026-11-20", 'date("2026-11-20")'), ("time", "10:00:00", 'time("10:00:00")'),
     ("dateTime", "2026-11-20T10:00:00", '> date and time("2026-11-20T09:00:00")'),
     ("dayTimeDuration", "P2D", 'duration("PT48H")'), ("yearMonthDuration", "P1Y", '>= duration("P12M")')],
)  # fmt: skip
def test_inputs_are_read_by_their_declared_type(type_name: str, given: Any, cell: str) -> None:
    model = read_dmn(document(data("x", type_name), decision("D", table("UNIQUE", ["x"], [(cell, "1")]), "x")))
    assert value_text(run_decision(model, "D", {"x": given}).value) == "1"


def test_a_cell_may_name_a_list_and_an_input_may_be_one() -> None:
    types = '<itemDefinition name="t" isCollection="true"><typeRef>string</typeRef></itemDefinition>'
    logic = table("COLLECT", ["Symptom"], [('"cough", "cold"', '"A"'), ("Flu symptoms", 'Symptom + "!"')])
    parts = [
        types,
        data("Flu symptoms", "t"),
        data("Symptom", "string"),
        decision("D", logic, "Symptom", "Flu symptoms"),
    ]
    model = read_dmn(document(*parts))
    found = [
        value_text(run_decision(model, "D", {"Symptom": symptom, "Flu symptoms": listed}).value)
        for symptom, listed in (
            ("cough", ["fever", "cough"]),
            ("fever", ["fever"]),
            ("gout", ["fever"]),
            ("gout", "gout"),
        )
    ]
    assert found == ["[A, cough!]", "[fever!]", "[]", "[gout!]"]


def test_an_input_that_does_not_fit_counts_as_null_and_is_told() -> None:
    types = '<itemDefinition name="t"><typeRef>string</typeRef><allowedValues><text>"a"</text></allowedValues></itemDefinition>'
    logic = table("FIRST", ["x", "y"], [("null", "null", '"nothing"')])
    model = read_dmn(document(types, data("x", "number"), data("y", "t"), decision("D", logic, "x", "y")))
    outcome = run_decision(model, "D", {"x": "many", "y": "b"})
    assert outcome.value == "nothing"
    assert outcome.notes[0] == "x is 'many', where number is declared: it counts as null"
    assert "is not among the allowed values" in outcome.notes[1]


def test_an_input_beyond_the_values_of_its_column_gives_null() -> None:
    logic = table("FIRST", [("Age", "[18..120]")], [("-", "1")])
    assert run(logic, {"Age": 18}) == "1"
    assert run(logic, {"Age": 17}) == "null"


def test_an_unreadable_cell_is_named_by_rule_and_column_and_harms_no_other_decision() -> None:
    bad = decision("Bad", table("FIRST", ["Age"], [("> 100", "1"), ("5 5", "2")]), "Age")
    model = read_dmn(document(data("Age"), bad, decision("Good", literal("1"))))
    assert value_text(run_decision(model, "Good", {}).value) == "1"
    with pytest.raises(DmnError, match="decision 'Bad', rule 2, input 'Age': '5 5' cannot be read: did not expect '5'"):
        run_decision(model, "Bad", {"Age": 1})


@pytest.mark.parametrize(
    ("parts", "name", "inputs", "message"),
    [
        ([decision("Max LTV", literal("1"))], "Max LTW", {}, "no decision is called 'Max LTW'. Decisions here: 'Max LTV'"),
        ([], "D", {}, "there is no decision in this file"),
        ([data("Age"), decision("D", literal("1"))], "D", {"Agee": 1}, "no input 'Agee'. Did you mean 'Age'"),
        ([decision("A", literal("B"), "*B"), decision("B", literal("A"), "*A")], "A", {}, "circle: A -> B -> A"),
        ([decision("D", "<relation/>")], "D", {}, "its logic is a <relation>, which is not evaluated here"),
        ([decision("D", table("NEAREST", [], []))], "D", {}, "the hit policy cannot be 'NEAREST'"),
        ([decision("D", table("FIRST", ["1"], [("-", "1", "2")]))], "D", {}, "rule 1: 1 input and 2 output cells"),
        ([decision("D", table("PRIORITY", ["1"], [("-", "1")]))], "D", {}, "needs ordered output values"),
        ([decision("D", "<decisionTable/>")], "D", {}, "a decision table without an output"),
        ([decision("D", literal("1")), decision("D", literal("2"))], "D", {}, "two elements <decision> are called 'D'"),
        (["<businessKnowledgeModel name='f'><encapsulatedLogic>" + literal("f()") + "</encapsulatedLogic></businessKnowledgeModel>",
          decision("D", literal("f()"))], "D", {}, "call each other more than 20 levels deep"),
    ],
)  # fmt: skip
def test_a_model_that_makes_no_sense_is_refused(
    parts: list[str], name: str, inputs: dict[str, Any], message: str
) -> None:
    with pytest.raises(DmnError, match=message.replace("(", r"\(")):
        run_decision(read_dmn(document(*parts)), name, inputs)


BOMB = "".join(f'<!ENTITY a{n + 1} "' + f"&a{n};" * 10 + '">' for n in range(9))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f'<!DOCTYPE d [<!ENTITY a0 "x">{BOMB}]><definitions>&a9;</definitions>', "a document type or an entity"),
        ('<!DOCTYPE d SYSTEM "file:///etc/passwd"><definitions/>', "a document type or an entity"),
        ('<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]><definitions>&x;</definitions>', "a document type"),
        ("<a>" * 200_000, "nested deeper than 100 levels"),
        ("<definitions><decision></definitions>", "not well-formed XML: mismatched tag at line 1, column 26"),
        ("", "not well-formed XML"),
        ("<html/>", "its root is <html>"),
        ('<?xml version="1.0" encoding="utf-99"?><definitions/>', "not (well-formed )?XML"),
        ("\0", "not well-formed XML"),
    ],
)
def test_a_file_that_means_harm_is_refused(text: str, message: str) -> None:
    with pytest.raises(DmnError, match=message):
        read_dmn(text.encode())


def test_a_table_of_a_million_rules_is_refused() -> None:
    rules = "<rule/>" * 60_000
    with pytest.raises(DmnError, match="a decision table of 60,000 rules; at most 20,000 are read"):
        read_dmn(document(decision("D", f"<decisionTable><output/>{rules}</decisionTable>")))
    with pytest.raises(DmnError, match="more than 500,000 elements"):
        read_dmn(document(decision("D", f"<decisionTable><output/>{'<rule/>' * 500_000}</decisionTable>")))


GROWING = {
    "lists in lists": ("[1, 2]", "[{0}, {0}]"),
    "lists joined": ("[1, 2]", "concatenate({0}, {0})"),
    "contexts in contexts": ("{{a: 1}}", "{{a: {0}, b: {0}}}"),
    "texts joined": ('"xxxxxxxxxx"', "{0} + {0}"),
}


@pytest.mark.parametrize("growing", GROWING)
def test_values_that_double_with_every_decision_stay_in_bounds(growing: str) -> None:
    first, following = GROWING[growing]
    decisions = [decision("D0", literal(first.format("")))]
    decisions += [
        decision(f"D{number}", literal(following.format(f"D{number - 1}")), f"*D{number - 1}")
        for number in range(1, 100)
    ]
    try:
        value = run_decision(read_dmn(document(*decisions)), "D99", {}).value
    except DmnError:
        return
    assert not is_vast(value, 100_000)


def test_functions_that_call_each_other_ever_more_often_are_stopped() -> None:
    functions = [
        f'<businessKnowledgeModel name="f{number}"><encapsulatedLogic><formalParameter name="x"/>'
        + literal(f"f{number - 1}(x) + f{number - 1}(x) + f{number - 1}(x)" if number else "x")
        + "</encapsulatedLogic></businessKnowledgeModel>"
        for number in range(19)
    ]
    with pytest.raises(DmnError, match="more than 20,000 calls of functions"):
        run_decision(read_dmn(document(*functions, decision("D", literal("f18(1)")))), "D", {})


def test_a_chain_of_a_thousand_decisions_is_evaluated() -> None:
    decisions = [decision("D0", literal("1"))]
    decisions += [
        decision(f"D{number}", literal(f"D{number - 1} + 1"), f"*D{number - 1}") for number in range(1, 1_000)
    ]
    assert run_decision(read_dmn(document(*decisions)), "D999", {}).value == 1_000
