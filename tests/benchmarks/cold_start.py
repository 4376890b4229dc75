"""From a fresh process to the first decision, beside what a host imports anyway."""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import process_time

from dealgate import CompiledPolicy
from tests.benchmarks.deals import Deals
from tests.benchmarks.peers import durable_fact, durable_ruleset, zen_table
from tests.benchmarks.workload import Workload

BARE = "bare interpreter"
SQLALCHEMY = "`import sqlalchemy`"
DEALGATE = "dealgate: import, read and compile the policy, read the deal, decide"

PROGRAMS = {
    BARE: "pass",
    SQLALCHEMY: "import sqlalchemy",
    "`import dealgate`": "import dealgate",
    DEALGATE: """
from pathlib import Path
from dealgate import CompiledPolicy, Deal, Policy
policy = CompiledPolicy(Policy.from_text(Path("policy.yaml").read_text()))
evaluation = policy.evaluate(Deal.from_json(Path("deal.json").read_text()))
assert len([finding.explanation for finding in evaluation.findings if finding.result == "violated"]) == 5
""",
    "durable_rules: import, read the ruleset, decide": """
import json
from pathlib import Path
from durable import engine
host, found = engine.Host(), []
rules = json.loads(Path("durable.json").read_text())
host.register_rulesets({"policy": {name: {**rule, "run": lambda c: found.append(c)} for name, rule in rules.items()}})
host.assert_fact("policy", {"sid": "1", **json.loads(Path("fact.json").read_text())})
host.delete_state("policy", "1")
assert len(found) == 6
""",
    "Zen: import, read the table, decide": """
import json
from pathlib import Path
import zen
content = zen.ZenDecisionContent(Path("zen.json").read_text())
answer = zen.ZenEngine({"loader": {"policy": content}.__getitem__}).evaluate("policy", json.loads(Path("fact.json").read_text()))
assert len(answer["result"]) == 5
""",
}


def start_cold(deals: Deals, workload: Workload, rounds: int) -> Mapping[str, float]:
    """Milliseconds of each program: the median over interleaved rounds, after one that leaves bytecode and warm files."""
    times: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    with TemporaryDirectory() as folder:
        _write_files(Path(folder), deals, workload)
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment["PYTHONPYCACHEPREFIX"] = str(Path(folder) / "bytecode")
        for _ in range(rounds + 1):
            for name, program in PROGRAMS.items():
                started = _spent_by_children()
                subprocess.run([sys.executable, "-c", program], check=True, cwd=folder, env=environment)
                times[name].append((_spent_by_children() - started) * 1000)
    return {name: median(each[1:]) for name, each in times.items()}


def _spent_by_children() -> float:
    """Seconds of processor time, in programs and in the system for them."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _write_files(folder: Path, deals: Deals, workload: Workload) -> None:
    files: dict[str, object] = {
        "deal.json": deals.documents[0],
        "durable.json": durable_ruleset(workload.rules),
        "fact.json": durable_fact(workload.rules, workload.facts(deals.measured[0])),
        "zen.json": zen_table(workload.rules),
    }
    (folder / "policy.yaml").write_text(workload.policy)
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))


def time_compiling(workloads: Sequence[Workload]) -> list[tuple[int, float, float]]:
    """For each policy its rules and the milliseconds to read and check the document, and to compile it."""
    found = []
    for workload in workloads:
        started = process_time()
        policy = workload.read_policy()
        read = process_time()
        CompiledPolicy(policy)
        found.append((len(workload.rules), (read - started) * 1000, (process_time() - read) * 1000))
    return found
