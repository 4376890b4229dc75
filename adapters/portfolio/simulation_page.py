"""The page of a simulation: what a committee reads before it moves a limit."""

from collections.abc import Mapping, Sequence
from typing import Any

from dealgate.adapters.portfolio import charts
from dealgate.adapters.portfolio.pages import Cell, Page
from dealgate.adapters.portfolio.simulating import BREAKDOWNS, LTV_BIN, MONEY_BIN, Moved, Simulation
from dealgate.rules.policy import Outcome, Policy

OUTCOMES = tuple(map(str, Outcome))


def simulation_page(found: Simulation, source: str) -> str:
    current, candidate = _named(found.current), _named(found.candidate)
    page = Page(f"{candidate} against {current}")
    page.paragraph(f"{found.deals:,} deals of {source}, each judged under both policies.")
    tell_rejected(page, found.rejected)
    _headline(page, found)
    _matrix(page, found)
    _rules(page, found)
    _distributions(page, found)
    _groups(page, found)
    _affected(page, found)
    _deficiency(page, found)
    page.paragraph(
        f"Policies: {current}, sha256 {found.current.sha256}; {candidate}, sha256 {found.candidate.sha256}.", note=True
    )
    return page.html()


def tell_rejected(page: Page, rows: int) -> None:
    if rows:
        page.paragraph(f"{rows:,} rows of the source were rejected and are not counted here.")


def dollars(cents: int) -> str:
    """Whole dollars, for totals."""
    return f"-${-cents // 100:,}" if cents < 0 else f"${cents // 100:,}"


def share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "none"


def _named(policy: Policy) -> str:
    return f"{policy.name} {policy.version}"


def _headline(page: Page, found: Simulation) -> None:
    stricter, looser = found.stricter, found.looser
    now, then = found.through
    page.figures(
        [
            (f"{stricter.deals:,}", f"deals get a stricter outcome ({share(stricter.deals, found.deals)})"),
            (f"{looser.deals:,}", f"deals get a looser one ({share(looser.deals, found.deals)})"),
            (dollars(stricter.amount_financed), "financed in the stricter ones"),
            (dollars(stricter.negative_equity), "rolled-in negative equity in them"),
            (dollars(then.deficiency - now.deficiency), "change in projected deficiency of what is let through"),
        ]
    )


def _matrix(page: Page, found: Simulation) -> None:
    page.heading("Outcomes: current by candidate")
    page.paragraph(
        "Each row is an outcome under the current policy; the columns say where its deals go under the candidate."
    )
    rows = []
    for current in OUTCOMES:
        cells = [found.matrix.get((current, candidate), Moved(0, 0, 0)) for candidate in OUTCOMES]
        counted = [_moved(cell, OUTCOMES.index(current), at) for at, cell in enumerate(cells)]
        rows.append([current, *counted, f"{sum(cell.deals for cell in cells):,}"])
    totals = [sum(cell.deals for (_, to), cell in found.matrix.items() if to == candidate) for candidate in OUTCOMES]
    rows.append(["all", *(f"{total:,}" for total in totals), f"{found.deals:,}"])
    page.table(["Current", *OUTCOMES, "all"], rows)


def _moved(cell: Moved, current: int, candidate: int) -> Cell:
    kind = "up" if candidate > current else "down" if candidate < current else "same"
    return Cell(f"{cell.deals:,}", kind if cell.deals else "")


def _rules(page: Page, found: Simulation) -> None:
    page.heading("Rules")
    moved = [flip._asdict() for flip in found.rules if flip.newly or flip.no_longer]
    if not moved:
        page.paragraph("No deal breaks another rule than before.")
        return
    page.chart(charts.flips(moved))
    head = ["Rule", "Violated now", "Under the candidate", "Newly", "No longer"]
    rows = [
        [flip.rule, _count(flip.current), _count(flip.candidate), f"{flip.newly:,}", f"{flip.no_longer:,}"]
        for flip in found.rules
    ]
    page.table(head, rows)


def _count(number: int | None) -> str:
    return "not in it" if number is None else f"{number:,}"


def _distributions(page: Page, found: Simulation) -> None:
    page.heading("Total LTV against the limits")
    page.paragraph(
        "Bars count deals and say whose limits on the measure they keep. Lines mark the limits that stand as fixed numbers; which of "
        "them holds for a deal turns on the policy's tables."
    )
    limits = {name: [limit / 100 for limit in values] for name, values in found.limits["total_ltv"].items()}
    page.chart(charts.distribution(found.ltv, LTV_BIN, "Total LTV, percent (200 and more in the last bar)", limits))
    page.heading("Rolled-in negative equity against the limits")
    page.paragraph("Deals that roll in negative equity; those without are left out.")
    limits = {
        name: [limit / 100 for limit in values] for name, values in found.limits["rolled_in_negative_equity"].items()
    }
    axis = "Rolled-in negative equity, dollars (20,000 and more in the last bar)"
    page.chart(charts.distribution(found.negative_equity, MONEY_BIN, axis, limits))


def _groups(page: Page, found: Simulation) -> None:
    for name, title in BREAKDOWNS.items():
        rows = found.groups[name]
        page.heading(f"By {title.lower()}")
        if name in ("dealer_id", "state") and len(rows) >= 15:
            page.paragraph("The fifteen with most deals whose outcome changes.", note=True)
        page.chart(charts.shares(rows, title))
        _group_table(page, title, rows)


def _group_table(page: Page, title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    head = [title, "Deals", "Stricter", "Share", "Financed in them", "Negative equity", "Looser", "Financed in them"]
    page.table(
        head,
        [
            [
                str(row["group"] or "(unknown)"),
                f"{row['deals']:,}",
                f"{row['stricter']:,}",
                share(row["stricter"], row["deals"]),
                dollars(row["stricter_amount_financed"]),
                dollars(row["stricter_rolled_in_negative_equity"]),
                f"{row['looser']:,}",
                dollars(row["looser_amount_financed"]),
            ]
            for row in rows
        ],
    )


def _affected(page: Page, found: Simulation) -> None:
    page.heading("The most affected deals")
    if not found.affected:
        page.paragraph("No deal has another outcome than before.")
        return
    page.paragraph(
        "Those whose outcome moves furthest, the largest first, with what the candidate policy says of them."
    )
    rows = [
        [
            deal.deal_id,
            f"{deal.current} to {deal.candidate}",
            deal.explanations,
            "unknown" if deal.amount_financed is None else dollars(deal.amount_financed),
        ]
        for deal in found.affected
    ]
    page.table(["Deal", "Outcome", "Findings that differ", "Amount financed"], rows, texts=3)


def _deficiency(page: Page, found: Simulation) -> None:
    page.heading("Projected deficiency of what is let through")
    page.paragraph("Deals that pass or are flagged go on; deals that are referred or declined stop at the gate.")
    rows = [
        [words, f"{through.deals:,}", dollars(through.amount_financed), dollars(through.deficiency)]
        for words, through in zip(("Current", "Candidate"), found.through, strict=True)
    ]
    now, then = found.through
    change = [then.deals - now.deals, then.amount_financed - now.amount_financed, then.deficiency - now.deficiency]
    rows.append(["Change", f"{change[0]:,}", dollars(change[1]), dollars(change[2])])
    page.table(["Policy", "Deals let through", "Amount financed", "Projected deficiency"], rows)
    page.paragraph(found.assumptions, note=True)
