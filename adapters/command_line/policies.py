"""`dealgate policy check`, and the other commands about policies."""

import sys
from typing import Annotated

import typer

from dealgate.adapters.command_line import policy_tests, policy_texts
from dealgate.adapters.command_line.failures import exit_codes

app = typer.Typer(help="Policy documents.", no_args_is_help=True)
app.command("test")(policy_tests.run_tests)
app.command()(policy_texts.explain)
app.command()(policy_texts.new)
app.command()(policy_texts.schema)


@app.command()
def check(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A policy file, or a shipped policy by name.")],
) -> None:
    """Check a policy document and run its examples."""
    from dealgate.adapters.policies import check_policy, load_policy  # noqa: PLC0415

    with exit_codes():
        document = load_policy(file)
        check_policy(document)
        policy = document.policy
        counted = (_counted(len(part), word) for part, word in ((policy.rules, "rule"), (policy.limits, "limit")))
        examples = f"{_counted(len(policy.examples), 'example')} {'holds' if len(policy.examples) == 1 else 'hold'}"
        print(f"{policy.name} {policy.version}: {', '.join(counted)}, {examples}")
        print(f"sha256 {policy.sha256}")
        if not policy.examples:
            print("note: the document states no examples; nothing shows that it means what it says", file=sys.stderr)


def _counted(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
