"""The times of 12 CFR 1002.9 in whole days: their ends, what meets them, and whose days count."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dealgate.rules.notice_clocks import Clock, Sent, Submitted, complete, notice_clocks

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def came(at: datetime = NOON, *, whole: bool = True, declined: bool = False) -> Submitted:
    return Submitted(at, whole, declined)


def the_clock(*notices: Sent, zone: str = "UTC", submitted: Submitted | None = None) -> Clock:
    return notice_clocks([submitted or came()], notices, zone)[0]


def test_thirty_days_from_the_completed_application_end_with_the_thirtieth() -> None:
    clock = the_clock()
    assert (clock.source, clock.began_on, clock.due_on) == (
        "12 CFR 1002.9(a)(1)(i)",
        date(2026, 11, 20),
        date(2026, 12, 20),
    )
    assert [clock.state(date(2026, 12, day)) for day in (19, 20, 21)] == ["running", "running", "overdue"]
    assert [clock.days_left(date(2026, 12, day)) for day in (20, 21)] == [0, -1]


@pytest.mark.parametrize(("day", "state"), [(29, "met"), (30, "met"), (31, "met late")])
@pytest.mark.parametrize("kind", ["approval", "counteroffer", "adverse_action"])
def test_a_notice_of_action_meets_it_until_the_thirtieth_day(kind: str, day: int, state: str) -> None:
    assert the_clock(Sent(NOON + day * DAY, kind)).state(date(2030, 1, 1)) == state


def test_a_notice_of_incompleteness_does_not_meet_the_clock_of_a_complete_application() -> None:
    assert the_clock(Sent(NOON + DAY, "incomplete")).met_on is None


def test_a_leap_day_counts() -> None:
    assert the_clock(submitted=came(datetime(2028, 2, 1, tzinfo=UTC))).due_on == date(2028, 3, 2)
    assert the_clock(submitted=came(datetime(2027, 2, 1, tzinfo=UTC))).due_on == date(2027, 3, 3)


def test_days_are_those_of_the_lenders_zone() -> None:
    late = datetime(2026, 11, 21, 3, tzinfo=UTC)  # still the 20th in Chicago
    assert the_clock(submitted=came(late)).began_on == date(2026, 11, 21)
    assert the_clock(submitted=came(late), zone="America/Chicago").began_on == date(2026, 11, 20)
    with pytest.raises(ValueError, match="is no time zone"):
        the_clock(zone="Chicago")


def test_an_incomplete_application_asks_for_notice_of_that_within_thirty_days_and_of_adverse_action_too() -> None:
    clocks = notice_clocks([came(whole=False), came(NOON + DAY, whole=False, declined=True)], [])
    assert [(one.source, one.due_on) for one in clocks] == [
        ("12 CFR 1002.9(c)(1)", date(2026, 12, 20)),
        ("12 CFR 1002.9(a)(1)(ii)", date(2026, 12, 21)),
    ]
    told = notice_clocks([came(whole=False)], [Sent(NOON + 2 * DAY, "incomplete")])
    assert [one.state(date(2027, 1, 1)) for one in told] == ["met"]


def test_the_clock_starts_with_the_first_complete_submission() -> None:
    clocks = notice_clocks([came(whole=False), came(NOON + 3 * DAY), came(NOON + 9 * DAY)], [])
    assert [(one.source, one.began_on) for one in clocks] == [("12 CFR 1002.9(a)(1)(i)", date(2026, 11, 23))]


@pytest.mark.parametrize(
    ("notices", "kept"),
    [
        ([], [("(c)(1)", None), ("(a)(1)(ii)", None)]),
        ([Sent(NOON + 2 * DAY, "incomplete")], [("(a)(1)(ii)", None)]),
        ([Sent(NOON + 60 * DAY, "adverse_action")], [("(c)(1)", 60), ("(a)(1)(ii)", 60)]),
    ],
)
def test_what_had_run_out_before_the_application_became_complete_stays(
    notices: list[Sent], kept: list[tuple[str, int | None]]
) -> None:
    """And what was met in time does not."""
    late = came(NOON + 32 * DAY)
    *before, last = notice_clocks([came(whole=False), came(NOON + DAY, whole=False, declined=True), late], notices)
    assert last.began_on == late.at.date()
    met = [(f"12 CFR 1002.9{source}", days and (NOON + days * DAY).date()) for source, days in kept]
    assert [(one.source, one.met_on) for one in before] == met
    assert {one.state(date(2027, 3, 1)) for one in before} == {"met late" if kept[0][1] else "overdue"}


def test_the_last_day_itself_is_no_running_out() -> None:
    for days, number in ((30, 1), (31, 2)):
        assert len(notice_clocks([came(whole=False), came(NOON + days * DAY)], [])) == number


def test_a_clock_counts_from_the_day_that_a_submission_names_if_that_is_earlier() -> None:
    named = came()._replace(names=date(2026, 11, 18))
    assert the_clock(submitted=named).began_on == date(2026, 11, 18)
    assert the_clock(submitted=came()._replace(names=date(2026, 11, 25))).began_on == date(2026, 11, 20)
    again = named._replace(at=NOON + 20 * DAY)
    (clock,) = notice_clocks([came(), again], [Sent(NOON + DAY, "adverse_action")])
    assert clock.began_on == date(2026, 11, 21)  # not before what was answered


def test_ninety_days_after_a_counteroffer_end_with_acceptance_or_adverse_action() -> None:
    offer = Sent(NOON + DAY, "counteroffer")
    open_ = notice_clocks([came()], [offer])[1]
    assert (open_.source, open_.due_on, open_.met_on) == ("12 CFR 1002.9(a)(1)(iv)", date(2027, 2, 19), None)
    combined = notice_clocks([came()], [offer, Sent(NOON + DAY, "adverse_action")])[1]
    assert combined.met_on == date(2026, 11, 21)


def test_a_submission_after_adverse_action_is_a_new_request() -> None:
    clocks = notice_clocks([came(), came(NOON + 20 * DAY)], [Sent(NOON + DAY, "adverse_action")])
    assert [(one.began_on, one.met_on) for one in clocks] == [(date(2026, 12, 10), None)]


@pytest.mark.parametrize(
    ("missing", "expected"),
    [
        ([], True),
        (["vehicle.values[invoice]", "applicant.tier", "applicant.credit_score"], True),
        (["applicant.credit_report_as_of", "vehicle.values[invoice].as_of (on or before submitted_on)"], True),
        (["max_total_ltv (no row holds)", "cap (several rows hold)", "collateral_value (above zero)"], True),
        (["vehicle.values[invoice]", "applicant.monthly_income"], False),
        (["applicant.monthly_income (above zero)"], False),
        (["trade_ins[0].allowance (above zero)"], False),
    ],
)
def test_what_the_creditor_looks_up_does_not_make_an_application_incomplete(missing: list[str], expected: bool) -> None:
    """So that its own delay does not stop the clock; nor does what its own policy leaves open, which no applicant can supply."""
    assert complete(missing) is expected


KINDS = st.sampled_from(["approval", "counteroffer", "adverse_action", "incomplete"])
HISTORY = st.lists(
    st.tuples(st.integers(0, 200), st.one_of(st.tuples(st.booleans(), st.booleans()), KINDS)), min_size=1, max_size=12
)


@given(HISTORY)
def test_any_history_counts_as_it_does_by_going_through_it_day_by_day(history: list[tuple[int, object]]) -> None:
    events = [
        (NOON + timedelta(days=day, minutes=place), what)
        for place, (day, what) in enumerate(sorted(history, key=lambda one: one[0]))
    ]
    submissions = [Submitted(at, *what) for at, what in events if isinstance(what, tuple)]
    notices = [Sent(at, what) for at, what in events if isinstance(what, str)]
    if not submissions:
        return
    began: dict[str, datetime | None] = {}
    met: dict[str, datetime | None] = {}
    closed = False
    for at, what in events:
        if isinstance(what, tuple):
            if closed:
                began, met, closed = {}, {}, False
            if what[0]:
                began.setdefault("(i)", at)
            began.setdefault("first", at)
        else:
            if "(i)" in began and what != "incomplete":
                met.setdefault("(i)", at)
            if "first" in began:
                met.setdefault("first", at)
            closed = closed or (what in {"approval", "adverse_action"} and "first" in began)
    key = "(i)" if began.get("(i)") else "first"
    source = "12 CFR 1002.9(a)(1)(i)" if key == "(i)" else "12 CFR 1002.9(c)(1)"
    (clock,) = [one for one in notice_clocks(submissions, notices) if one.source == source]
    started, ended = began[key], met.get(key)
    assert started is not None
    assert clock.began_on == started.date()
    assert clock.met_on == (ended.date() if ended else None)
    assert clock.due_on - clock.began_on == timedelta(days=30)
