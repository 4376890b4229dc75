"""A shadow's report in the terminal."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dealgate.adapters.shadow_reports import ShadowReport


def show_shadow_report(console: Console, report: ShadowReport) -> None:
    looked_at = report.looked_at
    if not looked_at and not report.failed:
        console.print("It has not looked at a deal yet.")
        return
    share = f" ({report.agreed * 100 / looked_at:.1f} %)" if looked_at else ""
    console.print(f"Looked at {looked_at} submissions, agreed on the outcome of {report.agreed}{share}.")
    if report.failed:
        console.print(Text(f"Failed on {report.failed}: {'; '.join(report.failures)}", style="bold red"))
    outcomes = Table("Live", "Shadow", "Submissions", box=None)
    for (live, seen), number in sorted(report.outcomes.items()):
        outcomes.add_row(live, seen, str(number))
    console.print(outcomes)
    if report.flips:
        flips = Table("Rule", "Live", "Shadow", "Submissions", box=None)
        for (rule, before, after), number in report.flips.items():
            flips.add_row(rule, before or "no such rule", after or "no such rule", str(number))
        console.print(flips)
    for example in report.examples:
        console.print(
            Text(
                f"{example['deal_id']}  {example['live']} -> {example['shadow']}  {example['decision_id']}", style="dim"
            )
        )
