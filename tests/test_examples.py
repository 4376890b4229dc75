"""The page beside the sample deals says what becomes of them."""

import json
import re
from pathlib import Path

from dealgate import CompiledPolicy, Deal
from dealgate.adapters.policies import load_policy

EXAMPLES = Path(__file__).parents[1] / "examples"
ROW = re.compile(r"^\| (D-\S+) \| .* \| (\w+) \| (.*?) ?\|$", re.MULTILINE)


def test_the_page_of_the_sample_deals_is_true() -> None:
    policy = CompiledPolicy(load_policy("prime-auto").policy)
    told = {deal: (outcome, broken) for deal, outcome, broken in ROW.findall((EXAMPLES / "README.md").read_text())}
    found = {}
    for line in (EXAMPLES / "deals.jsonl").read_text().splitlines():
        deal = Deal.read(json.loads(line))
        evaluation = policy.evaluate(deal)
        broken = [
            finding.rule if finding.result == "violated" else f"({finding.rule})"
            for finding in evaluation.findings
            if finding.result in {"violated", "mitigated"}
        ]
        found[deal.deal_id] = (str(evaluation.outcome), ", ".join(broken))
    assert {deal: row if "unknown" not in row[1] else (row[0], "") for deal, row in told.items()} == found
