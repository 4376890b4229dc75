"""The same reports in plain Python, from rows that are read back whole: no statement of theirs is used, and none of their parts."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import Any

from sqlalchemy import Connection, select

from dealgate.models import (
    BookValue,
    Decision,
    Finding,
    LedgerEntry,
    LedgerPending,
    LegalHold,
    Notice,
    OverrideFinding,
    OverrideStep,
    PolicyStep,
    PolicyVersion,
    Submission,
    TradeIn,
    find_decision,
    find_submission,
)

AGAINST = {"refer", "decline"}
Row = dict[str, Any]


def rows(connection: Connection, entity: Any) -> list[Row]:
    return [dict(row._mapping) for row in connection.execute(select(entity.__table__))]


class Naive:
    """Everything that is stored, as lists."""

    def __init__(
        self, connection: Connection, as_of: datetime, since: datetime | None = None, until: datetime | None = None
    ) -> None:
        self.as_of, self.since, self.until = as_of, since, until
        entries = {row["id"]: row for row in rows(connection, LedgerEntry)}
        submissions = {row["id"]: row for row in rows(connection, Submission)}
        versions = {row["sha256"]: row for row in rows(connection, PolicyVersion)}
        self.everything = [
            {
                **submissions[row["submission_id"]],
                "program": versions[row["policy_sha256"]]["name"],
                "version": versions[row["policy_sha256"]]["version"],
                **row,
            }
            for row in rows(connection, Decision)
        ]
        for one in self.everything:
            one["findings"] = []
            one["document"] = find_decision(connection, one["decision_id"])
            one["deal"] = find_submission(connection, one["decision_id"])
        by_id = {one["id"]: one for one in self.everything}
        for finding in rows(connection, Finding):
            by_id[finding["decision"]]["findings"].append(finding)
        self.known = [one for one in self.everything if one["decided_at"] <= as_of]
        steps = [row for row in rows(connection, OverrideStep) if row["recorded_at"] <= as_of]
        self.requests = [row for row in steps if row["step"] == "request"]
        self.grants = [row for row in steps if row["step"] == "grant"]
        self.denials = [row for row in steps if row["step"] == "deny"]
        self.named = defaultdict[int, set[str]](set)
        for row in rows(connection, OverrideFinding):
            self.named[row["entry"]].add(row["rule"])
        self.notices = [row for row in rows(connection, Notice) if entries[row["entry"]]["recorded_at"] <= as_of]
        self.holds = [row for row in rows(connection, LegalHold) if entries[row["entry"]]["recorded_at"] <= as_of]
        pending = {row["entry"] for row in rows(connection, LedgerPending)}
        self.unsealed = {row["deal_id"] for row in entries.values() if row["id"] in pending}
        self.policy_steps = [row for row in rows(connection, PolicyStep) if row["recorded_at"] <= as_of]
        self.versions = versions
        self.parts = rows(connection, TradeIn), rows(connection, BookValue)

    # What is known

    def within(self, at: datetime) -> bool:
        return at <= self.as_of and (self.since is None or at >= self.since) and (self.until is None or at < self.until)

    def decided(self) -> list[Row]:
        return [one for one in self.known if self.within(one["decided_at"])]

    def last(self, deal_id: str) -> Row:
        return max((one for one in self.known if one["deal_id"] == deal_id), key=lambda one: one["submission"])

    def latest(self) -> list[Row]:
        return [one for one in self.decided() if self.last(one["deal_id"]) is one]

    def granted_at(self, request: Row, at: datetime) -> list[Row]:
        return [g for g in self.grants if g["override_id"] == request["override_id"] and g["recorded_at"] <= at]

    def is_granted(self, request: Row, at: datetime | None = None) -> bool:
        return len(self.granted_at(request, at or self.as_of)) >= int(request["persons"])

    def is_denied(self, request: Row, at: datetime | None = None) -> bool:
        return any(
            d["override_id"] == request["override_id"] and d["recorded_at"] <= (at or self.as_of) for d in self.denials
        )

    def in_force(self, request: Row, at: datetime) -> bool:
        ends = [g["ends_at"] for g in self.granted_at(request, at) if g["ends_at"]]
        return self.is_granted(request, at) and not self.is_denied(request, at) and all(end > at for end in ends)

    def overridden(self, one: Row, side: str) -> bool:
        return any(
            r["decision_id"] == one["decision_id"] and r["side"] == side and self.is_granted(r) for r in self.requests
        )

    def let_through_against(self, one: Row, rule: str, at: datetime) -> bool:
        return any(
            r["decision_id"] == one["decision_id"]
            and r["side"] == "low"
            and r["recorded_at"] <= at
            and rule in self.named[r["entry"]]
            and self.in_force(r, at)
            for r in self.requests
        )

    def sent(self, deal_id: str, *kinds: str) -> list[datetime]:
        return [n["sent_at"] for n in self.notices if n["deal_id"] == deal_id and (not kinds or n["kind"] in kinds)]

    def turned_down(self, one: Row) -> bool:
        return one["outcome"] not in AGAINST and self.overridden(one, "high")

    def uncleared(self, one: Row) -> bool:
        if one["outcome"] not in AGAINST:
            return self.turned_down(one)
        open_rules = [f["rule"] for f in one["document"]["findings"] if f["severity"] in AGAINST]
        return any(not self.let_through_against(one, rule, self.as_of) for rule in open_rules)

    # Reports

    def exceptions(self, by: tuple[str, ...]) -> list[Row]:
        found = []
        for place, group in grouped(self.latest(), by):
            against = [one for one in group if one["outcome"] in AGAINST]
            low = [one for one in against if self.overridden(one, "low")]
            past = [
                one
                for one in against
                if one not in low and any(at >= one["decided_at"] for at in self.sent(one["deal_id"], "approval"))
            ]
            within = len(group) - len(against)
            high = sum(self.turned_down(one) for one in group)
            found.append(
                place
                | {
                    "deals": len(group),
                    "outside_policy": len(against),
                    "within_policy": within,
                    "low_side": len(low),
                    "approved_without_override": len(past),
                    "exceptions": len(low) + len(past),
                    "exception_rate": (len(low) + len(past), len(group)),
                    "let_through": (len(low) + len(past), len(against)),
                    "high_side": high,
                    "high_side_rate": (high, within),
                }
            )
        return found

    def overrides(self, by: tuple[str, ...]) -> list[Row]:
        """Each request once in each group it belongs to."""
        of_decisions = tuple(name for name in by if name in OF_A_DECISION)
        decisions = Counter(tuple(value(one, name) for name in of_decisions) for one in self.decided())
        members = defaultdict[tuple[Any, ...], dict[int, Row]](dict)
        for one in self.decided():
            for request in self.requests:
                if request["decision_id"] == one["decision_id"]:
                    for place in self._places(one, request, by):
                        members[place][request["entry"]] = request
        if len(of_decisions) == len(by):
            for place in decisions:
                members.setdefault(place, {})
        found = []
        for place, requests in members.items():
            granted = [r for r in requests.values() if self.is_granted(r)]
            denied = [r for r in requests.values() if self.is_denied(r)]
            of = decisions[tuple(v for name, v in zip(by, place, strict=True) if name in OF_A_DECISION)]
            found.append(
                dict(zip(by, place, strict=True))
                | {
                    "requested": len(requests),
                    "granted": len(granted),
                    "denied": len(denied),
                    "waiting": len(requests) - len(granted) - len(denied),
                    "low_side": sum(r["side"] == "low" for r in granted),
                    "high_side": sum(r["side"] == "high" for r in granted),
                    "granted_share": (len(granted), len(requests)),
                    "decisions": of,
                    "override_rate": (len(granted), of),
                }
            )
        return found

    def _places(self, one: Row, request: Row, by: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
        grants: list[Row] = self.granted_at(request, self.as_of) if {"grantor", "role"} & set(by) else []
        for grant in grants or [{}]:
            rules: list[Any] = sorted(self.named[request["entry"]]) if "rule" in by else []
            for rule in rules or [None]:
                special = {
                    "side": request["side"],
                    "reason": request["reason"],
                    "requester": request["actor"],
                    "grantor": grant.get("actor"),
                    "role": grant.get("role"),
                    "rule": rule,
                }
                yield tuple(special[name] if name in special else value(one, name) for name in by)

    def override_log(self) -> list[Row]:
        found = []
        for request in sorted(self.requests, key=lambda r: (r["recorded_at"], r["entry"]), reverse=True):
            one = next(d for d in self.everything if d["decision_id"] == request["decision_id"])
            if not self.within(request["recorded_at"]):
                continue
            grants = self.granted_at(request, self.as_of)
            denial = [d["actor"] for d in self.denials if d["override_id"] == request["override_id"]]
            if self.last(one["deal_id"]) is not one:
                state = "superseded"
            elif denial:
                state = "denied"
            elif any(g["ends_at"] and g["ends_at"] <= self.as_of for g in grants):
                state = "ended"
            else:
                state = "in force" if self.is_granted(request) else "requested"
            found.append(
                {
                    "override_id": request["override_id"],
                    "deal_id": request["deal_id"],
                    "outcome": one["outcome"],
                    "dealer_id": one["dealer_id"],
                    "rules": sorted(self.named[request["entry"]]),
                    "granted_by": [f"{g['actor']} ({g['role']})" for g in sorted(grants, key=lambda g: g["entry"])],
                    "denied_by": denial[0] if denial else None,
                    "state": state,
                }
            )
        return found

    def findings(self, by: tuple[str, ...]) -> list[Row]:
        """From the documents: a finding that passes or does not apply is not among those that are counted."""
        of_decisions = tuple(name for name in by if name in OF_A_DECISION)
        decisions = Counter(tuple(value(one, name) for name in of_decisions) for one in self.decided())
        results = defaultdict[tuple[Any, ...], Counter[str]](Counter)
        for one in self.decided():
            for finding in one["document"]["findings"]:
                if finding["result"] in {"violated", "mitigated", "not_evaluable"}:
                    place = tuple(value(one, name) if name in OF_A_DECISION else finding.get(name) for name in by)
                    results[place][finding["result"]] += 1
        if len(of_decisions) == len(by):
            for place in decisions:
                results.setdefault(place, Counter())
        found = []
        for place, counts in results.items():
            of = decisions[tuple(v for name, v in zip(by, place, strict=True) if name in OF_A_DECISION)]
            row: Row = {name: counts[name] for name in ("violated", "mitigated", "not_evaluable")} | {"decisions": of}
            row |= {f"{name}_rate": (counts[name], of) for name in ("violated", "not_evaluable")}
            found.append(dict(zip(by, place, strict=True)) | row)
        return found

    def approvals(self, severities: set[str]) -> list[Row]:
        found = []
        for notice in sorted(self.notices, key=lambda n: (n["sent_at"], n["entry"]), reverse=True):
            if notice["kind"] != "approval" or not self.within(notice["sent_at"]):
                continue
            at = notice["sent_at"]
            before = [o for o in self.known if o["deal_id"] == notice["deal_id"] and o["decided_at"] <= at]
            if not before:
                found.append({"deal_id": notice["deal_id"], "sent_at": at, "decision_id": None, "rule": None})
                continue
            one = max(before, key=lambda o: o["submission"])
            for finding in sorted(one["document"]["findings"], key=lambda f: f["rule"]):
                rule = finding["rule"]
                if finding["severity"] in severities and not self.let_through_against(one, rule, at):
                    found.append(
                        {"deal_id": one["deal_id"], "sent_at": at, "decision_id": one["decision_id"], "rule": rule}
                    )
        return found

    def worklist(self) -> list[Row]:
        found = []
        for one in self.latest():
            noticed = max(self.sent(one["deal_id"]), default=None)
            if not self.uncleared(one) or (noticed and noticed >= one["decided_at"]):
                continue
            mine = [s for s in self.known if s["deal_id"] == one["deal_id"]]
            days = [
                min(s["received_at"].date(), s["submitted_on"])
                for s in mine
                if noticed is None or s["received_at"] > noticed
            ]
            start = max([min(days)] + ([noticed.date()] if noticed else []))
            found.append(
                {
                    "deal_id": one["deal_id"],
                    "decision_id": one["decision_id"],
                    "turned_down": self.turned_down(one),
                    "noticed_at": noticed,
                    "clock_from": start,
                    **clocked(start, 30, self.as_of),
                }
            )
        return sorted(found, key=lambda row: (row["clock_from"], row["deal_id"]))

    def counteroffers(self) -> list[Row]:
        found = []
        for notice in sorted(self.notices, key=lambda n: (n["sent_at"], n["entry"])):
            at, deal = notice["sent_at"], notice["deal_id"]
            closed = any(later >= at for later in self.sent(deal, "approval", "adverse_action"))
            if notice["kind"] == "counteroffer" and self.within(at) and not closed:
                again = any(o["deal_id"] == deal and o["decided_at"] > at for o in self.known)
                row = {"deal_id": deal, "sent_at": at, "submitted_again": again}
                found.append(row | clocked(at.date(), 90, self.as_of))
        return found

    def reasons(self) -> list[Row]:
        return [
            {
                "decision_id": one["decision_id"],
                "reasons": list(one["document"]["reasons"]),
                "consumer_report": any(
                    f["used_consumer_report"] and f["severity"] != "pass" for f in one["document"]["findings"]
                ),
            }
            for one in latest_first(self.decided())
            if one["outcome"] in AGAINST
        ]

    def resubmissions(self) -> list[Row]:
        found = []
        for one in latest_first(self.decided()):
            before = [
                o
                for o in self.everything
                if o["deal_id"] == one["deal_id"] and o["submission"] == one["submission"] - 1
            ]
            if not before:
                continue
            (was, then), now = sums(before[0]["deal"]), sums(one["deal"])
            if (
                now[1]
                and now[1] == then
                and (was != now[0] or before[0]["deal"]["cash_price"] != one["deal"]["cash_price"])
            ):
                found.append(
                    {"decision_id": one["decision_id"], "payoff": now[1], "allowance_before": was, "allowance": now[0]}
                )
        return found

    def dealers(self) -> list[Row]:
        found = []
        for place, group in grouped(self.latest(), ("dealer",)):
            hidden = [one["document"]["measures"]["hidden_negative_equity"]["value"] for one in group]
            owed = [(sums(one["deal"])[1] or 0) > 0 for one in group]
            cents = [int(Fraction(text) * 100) for text in hidden if text is not None]
            hiding = [number for number in cents if number > 0]
            found.append(
                place
                | {
                    "deals": len(group),
                    "with_payoff": sum(owed),
                    "unknown": sum(o and text is None for o, text in zip(owed, hidden, strict=True)),
                    "hiding": len(hiding),
                    "hiding_share": (len(hiding), sum(owed)),
                    "hidden": sum(hiding),
                    "largest": max(hiding, default=0),
                }
            )
        return sorted(found, key=lambda row: (-row["hidden"], row["dealer"] or ""))

    def same_inputs(self) -> list[Row]:
        alike = defaultdict[str, list[Row]](list)
        for one in self.decided():
            alike[inputs(one["deal"])].append(one)
        return [
            {
                "decisions": len(group),
                "deals": len({one["deal_id"] for one in group}),
                "outcomes": [
                    f"{name} {number}" for name, number in sorted(Counter(o["outcome"] for o in group).items())
                ],
                "versions": sorted({f"{one['program']} {one['version']}" for one in group}),
                "first_decided_at": min(one["decided_at"] for one in group),
                "explained_by": self._explanation(group),
            }
            for group in alike.values()
            if len({one["outcome"] for one in group}) > 1
        ]

    def _explanation(self, group: list[Row]) -> str:
        if not conflict(group, lambda one: one["engine_agreed"]):
            return "engine"
        if not conflict(group, lambda one: (one["engine_agreed"], one["version"])):
            return "policy"
        if any("credit_score" not in one["deal"]["applicant"] for one in group):
            return "erased"
        if not conflict(group, lambda one: (one["engine_agreed"], one["version"], personal(one["deal"]))):
            return "personal values"
        everything = lambda one: (one["engine_agreed"], one["version"], personal(one["deal"]), one["submitted_on"])  # noqa: E731
        return "nothing" if conflict(group, everything) else "day"

    def not_evaluable(self) -> list[Row]:
        return [
            {"decision_id": one["decision_id"], "rule": finding["rule"], "missing": list(finding["missing"])}
            for one in latest_first(self.decided())
            for finding in sorted(one["document"]["findings"], key=lambda f: f["rule"])
            if finding["result"] == "not_evaluable" and not finding["rule"].startswith("ENGINE-")
        ]

    def engine_trouble(self) -> list[Row]:
        return [
            {"decision_id": one["decision_id"], "rule": finding["rule"], "explanation": finding["explanation"]}
            for one in latest_first(self.decided())
            for finding in one["document"]["findings"]
            if finding["rule"].startswith("ENGINE-")
        ]

    def near_limits(self, width: Fraction) -> list[Row]:
        """From the values and limits that the documents tell."""
        counts = defaultdict[tuple[str, str, str], Counter[str]](Counter)
        for one in self.decided():
            for finding in one["document"]["findings"]:
                rule = finding["rule"]
                limit, measure = finding.get("limit"), one["document"]["measures"].get(finding.get("measure"), finding)
                known = limit is not None and measure.get("value") is not None
                if rule in COUNTED and finding["result"] not in {"not_evaluable", "not_applicable"} and known:
                    place = (one["program"], one["version"], rule)
                    counts[place]["judged"] += 1
                    counts[place][band(exactly(measure), Fraction(limit) / SCALE[rule], finding["result"], width)] += 1
        return [
            dict(zip(("program", "version", "rule"), place, strict=True))
            | {name: found[name] for name in ("judged", "next_within", "just_within", "just_beyond", "next_beyond")}
            for place, found in sorted(counts.items())
        ]

    def retention(self, cutoff: datetime) -> list[Row]:
        found = []
        for one in sorted(self.latest(), key=lambda o: (o["decided_at"], o["id"])):
            if one["decided_at"] > cutoff:
                continue
            noticed = max(self.sent(one["deal_id"]), default=None)
            holds = [h for h in self.holds if h["deal_id"] == one["deal_id"]]
            grants = [g["recorded_at"] for g in self.grants if g["deal_id"] == one["deal_id"]]
            held = bool(holds) and max(holds, key=lambda h: h["deal_seq"])["placed"]
            status = (
                "held" if held
                else "no notice" if noticed is None
                else "decided since" if any(noticed < at for at in (one["decided_at"], *grants))
                else "running" if noticed > cutoff
                else "not sealed" if one["deal_id"] in self.unsealed
                else "due"
            )  # fmt: skip
            found.append({"deal_id": one["deal_id"], "noticed_at": noticed, "held": held, "status": status})
        return found

    def policies(self, date: datetime) -> list[Row]:
        """Moment by moment: a version is in force from its start until whatever ends it first."""
        approved = {s["sha256"]: s for s in self.policy_steps if s["step"] == "approve"}
        retired = {s["sha256"]: s["ends_at"] for s in self.policy_steps if s["step"] == "retire"}
        starts = sorted(s["starts_at"] for s in approved.values())
        found = []
        for sha256, step in approved.items():
            others = [at for at in starts if at > step["starts_at"] and not _never_began(at, approved, retired)]
            ends = [at for at in (step["ends_at"], retired.get(sha256), *others) if at]
            end = min(ends, default=None)
            if end is not None and end <= step["starts_at"]:
                continue
            if (end is None or end > date) and (self.until is None or step["starts_at"] < self.until):
                found.append(
                    {
                        "sha256": sha256,
                        "version": self.versions[sha256]["version"],
                        "starts_at": step["starts_at"],
                        "ends_at": end,
                        "on_the_date": step["starts_at"] <= date,
                    }
                )
        return sorted(found, key=lambda row: row["starts_at"])


COUNTED = {"LTV-TOTAL", "NE-ROLLED", "NE-HIDDEN", "AGE", "MILES"}
SCALE = {"LTV-TOTAL": 100, "NE-ROLLED": 1, "NE-HIDDEN": 1, "AGE": 1, "MILES": 1}
OF_A_DECISION = {"program", "version", "tier", "dealer", "state", "channel", "condition", "month", "outcome"}


def _never_began(at: datetime, approved: dict[str, Row], retired: dict[str, datetime]) -> bool:
    """Whether the version that was to begin then was retired before."""
    [sha256] = [sha256 for sha256, step in approved.items() if step["starts_at"] == at]
    return sha256 in retired and retired[sha256] <= at


def value(one: Row, name: str) -> Any:
    if name == "month":
        return f"{one['decided_at']:%Y-%m}"
    return one["dealer_id" if name == "dealer" else name]


def grouped(found: list[Row], by: tuple[str, ...]) -> list[tuple[Row, list[Row]]]:
    groups = defaultdict[tuple[Any, ...], list[Row]](list)
    for one in found:
        groups[tuple(value(one, name) for name in by)].append(one)
    return [(dict(zip(by, place, strict=True)), group) for place, group in groups.items()]


def latest_first(found: list[Row]) -> list[Row]:
    return sorted(found, key=lambda one: (one["decided_at"], one["id"]), reverse=True)


def clocked(start: date, days: int, as_of: datetime) -> Row:
    due = start + timedelta(days=days)
    return {"due_on": due, "days_left": (due - as_of.date()).days, "overdue": as_of.date() > due}


def sums(deal: Row) -> tuple[int | None, int | None]:
    """Allowances and payoffs of a deal in cents, each unknown if one of them is; nothing is owed on a trade of the kind none."""
    trades = deal.get("trade_ins", [])
    allowances = [trade.get("allowance") for trade in trades]
    payoffs = ["0" if trade["kind"] == "none" else trade.get("payoff") for trade in trades]
    return cents(allowances), cents(payoffs)


def cents(texts: list[str | None]) -> int | None:
    return None if None in texts else sum(int(Fraction(text) * 100) for text in texts if text)


def inputs(deal: Row) -> str:
    """What a rule can read, without the day and what is personal."""
    kept = {name: part for name, part in deal.items() if name not in {"deal_id", "metadata", "submitted_on"}}
    names = {"credit_score", "monthly_income", "monthly_debt"}
    kept["applicant"] = {name: part for name, part in deal["applicant"].items() if name not in names}
    kept["vehicle"] = {name: part for name, part in deal["vehicle"].items() if name != "vin"}
    kept["trade_ins"] = [{k: v for k, v in trade.items() if k != "lienholder"} for trade in deal.get("trade_ins", [])]
    return json.dumps(kept, sort_keys=True)


def personal(deal: Row) -> tuple[Any, ...]:
    return tuple(deal["applicant"].get(name) for name in ("credit_score", "monthly_income", "monthly_debt"))


def conflict(group: list[Row], tell: Any) -> bool:
    outcomes = defaultdict[Any, set[str]](set)
    for one in group:
        outcomes[tell(one)].add(one["outcome"])
    return any(len(found) > 1 for found in outcomes.values())


def exactly(measure: Row) -> Fraction:
    if "denominator" in measure:
        return Fraction(measure["numerator"]) / Fraction(measure["denominator"])
    return Fraction(measure["value"])


def band(value: Fraction, limit: Fraction, result: str, width: Fraction) -> str:
    side = "beyond" if result in {"violated", "mitigated"} else "within"
    away = abs(value - limit)
    return f"just_{side}" if away < width * limit else f"next_{side}" if away < 2 * width * limit else "far"
