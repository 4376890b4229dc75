"""Documents larger than anybody writes: told at the bound, with the place, and not read on."""

import pytest

from dealgate import CompiledPolicy, Policy, PolicyError
from dealgate.rules import conjunctions, document, reading
from dealgate.rules.conjunctions import TangledRuleError
from dealgate.rules.policy import CycleError, in_order

HEAD = 'policy: x\nversion: "1"\ntitle: x\neffective_from: 2026-01-01\n'
EXAMPLE = "- {name: x, deal: {}, expect: {}}\n"


def rules(count: int, require: str = "cash_price > $1") -> str:
    return "rules:\n" + "".join(
        f"- {{id: R{n}, title: x, require: '{require}', otherwise: flag, reason: x}}\n" for n in range(count)
    )


def refusal(text: str) -> PolicyError:
    with pytest.raises(PolicyError) as caught:
        Policy.from_text(text, "p.yaml")
    return caught.value


def test_more_problems_than_anybody_reads_end_the_reading() -> None:
    found = refusal(HEAD + "".join(f"k{n}: x\n" for n in range(5_000)) + rules(1))
    assert len(found.problems) == document.MOST_PROBLEMS + 1
    assert found.problems[-1].message == "reading ends here, after 200 problems"
    assert found.problems[-1].place.line == 4 + 201


def test_exactly_that_many_problems_are_all_told() -> None:
    found = refusal(HEAD + "".join(f"k{n}: x\n" for n in range(document.MOST_PROBLEMS)) + rules(1))
    assert len(found.problems) == document.MOST_PROBLEMS
    assert "reading ends" not in str(found)


def test_a_message_does_not_repeat_an_endless_word() -> None:
    (problem,) = refusal(HEAD + "? " + "p" * 500_000 + "\n: x\n" + rules(1)).problems
    assert problem.message.startswith("a policy has no entry 'ppp")
    assert problem.message.endswith("ppp ...")
    assert len(problem.message) < document.LONGEST_MESSAGE + 10


def test_keys_and_values_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    text = HEAD + rules(1)  # 4 entries and the rules with one rule of 5: 8 + 2 + 1 + 10, and the document itself
    monkeypatch.setattr(document, "MOST_NODES", 22)
    assert Policy.from_text(text).rules
    monkeypatch.setattr(document, "MOST_NODES", 21)
    assert "more than 21 keys and values" in str(refusal(text))


def test_rules_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MOST_RULES", 3)
    assert len(Policy.from_text(HEAD + rules(3)).rules) == 3
    assert str(refusal(HEAD + rules(4))).startswith("p.yaml:6:1: error: 4 rules; at most 3 are read")


def test_examples_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MOST_EXAMPLES", 2)
    assert len(Policy.from_text(f"{HEAD}{rules(1)}examples:\n{EXAMPLE * 2}").examples) == 2
    assert "3 examples; at most 2 are read" in str(refusal(f"{HEAD}{rules(1)}examples:\n{EXAMPLE * 3}"))


def test_expressions_are_bounded_in_number_and_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document, "MOST_EXPRESSIONS", 3)
    assert Policy.from_text(HEAD + rules(3))
    assert "p.yaml:9:" in str(refusal(HEAD + rules(4)))
    assert "a policy has at most 3 expressions" in str(refusal(HEAD + rules(4)))
    monkeypatch.setattr(document, "MOST_EXPRESSION_CHARACTERS", 2 * len("cash_price > $1"))
    assert Policy.from_text(HEAD + rules(2))
    assert "or 30 characters of them" in str(refusal(HEAD + rules(3)))


def test_the_cells_of_a_file_count_as_expressions(monkeypatch: pytest.MonkeyPatch) -> None:
    text = HEAD + "limits:\n  l: {unit: count, table: t.csv, on_no_hit: unknown}\n" + rules(1)
    monkeypatch.setattr(document, "MOST_EXPRESSIONS", 4)
    assert Policy.from_text(text, "p.yaml", lambda _: b"term_months,limit\n1,1\n2,1\n")  # a cell read twice counts once
    with pytest.raises(PolicyError, match=r"p\.yaml:6:.*at most 4 expressions"):
        Policy.from_text(text, "p.yaml", lambda _: b"term_months,limit\n1,1\n2,2\n3,3\n")


def test_one_operator_tells_a_few_of_its_mistakes() -> None:
    found = refusal(HEAD + rules(1, " and ".join(f"n{n}" for n in range(500))))
    assert len(found.problems) == 20


def test_all_rules_together_need_a_bounded_number_of_conditions(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = Policy.from_text(HEAD + rules(3))
    monkeypatch.setattr(conjunctions, "MOST_CONDITIONS_ALTOGETHER", 3)
    assert CompiledPolicy(policy).engine
    monkeypatch.setattr(conjunctions, "MOST_CONDITIONS_ALTOGETHER", 2)
    with pytest.raises(TangledRuleError, match="rule R2 and those before it need more than 2 conditions"):
        CompiledPolicy(policy).engine  # noqa: B018  builds the rulesets


def test_a_long_chain_is_put_in_order_and_a_long_circle_found_at_once() -> None:
    reads = {n: [n + 1] for n in range(50_000)}
    things = {str(n): [str(other) for other in others] for n, others in reads.items()}
    assert in_order(things, list)[-1] == ["1"]
    with pytest.raises(CycleError) as caught:
        in_order({**things, "50000": ["0"]}, list)
    assert len(caught.value.names) == 50_002


def test_measures_that_square_each_other_are_refused_where_they_grow_too_large() -> None:
    squares = "".join(f"  m{n}: {{unit: count, formula: m{n - 1} * m{n - 1}}}\n" for n in range(1, 60))
    found = refusal(f"{HEAD}measures:\n  m0: {{unit: count, formula: term_months}}\n{squares}{rules(1)}")
    assert "p.yaml:15:3: error: m9 multiplies or divides more than 500 numbers" in str(found)
