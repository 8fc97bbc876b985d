"""What a budget is, and when its period begins and ends."""

from datetime import UTC, datetime
from math import inf
from zoneinfo import ZoneInfo

import pytest

from llmproxy.batteries.budgets.accounts import BudgetAccount
from llmproxy.batteries.budgets.budget import (
    BudgetError,
    Kind,
    Unit,
    dollars,
    from_mapping,
    from_short,
)
from llmproxy.batteries.budgets.periods import Per, period_at
from llmproxy.batteries.money import NANO


def at(text, zone="UTC"):
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


@pytest.mark.parametrize(
    ("per", "start", "end"),
    [
        ("hour", "2026-11-27T15:00", "2026-11-27T16:00"),
        ("day", "2026-11-27", "2026-11-28"),
        ("week", "2026-11-23", "2026-11-30"),
        ("month", "2026-11-01", "2026-12-01"),
    ],
)
def test_a_period_is_one_of_the_calendar(per, start, end):
    period = period_at(at("2026-11-27T15:30:20.5"), Per(per), "UTC")
    assert (period.start, period.end) == (at(start), at(end))


def test_a_total_never_ends():
    assert period_at(1e9, Per.TOTAL, "UTC").end == inf


def test_a_month_ends_at_midnight_of_its_time_zone():
    period = period_at(at("2026-12-31T23:30"), Per.MONTH, "Europe/Berlin")
    assert period.start == at("2027-01-01", "Europe/Berlin") == at("2026-12-31T23:00")


@pytest.mark.parametrize(
    ("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-06-01", 24)]
)
def test_a_day_on_which_clocks_change_is_shorter_or_longer(day, hours):
    period = period_at(at(f"{day}T12:00", "Europe/Berlin"), Per.DAY, "Europe/Berlin")
    assert period.end - period.start == hours * 3600


def test_the_hour_that_comes_twice_is_two_hours():
    first = at("2026-10-25T00:30")  # 2:30 in summer time; an hour later it is 2:30 again
    earlier, later = (period_at(now, Per.HOUR, "Europe/Berlin") for now in (first, first + 3600))
    assert (earlier.end, later.end - later.start) == (later.start, 3600)


@pytest.mark.parametrize("zone", ["Africa/Cairo", "Asia/Kolkata", "America/St_Johns"])
def test_each_moment_is_in_one_day_and_days_follow_each_other(zone):
    now = at("2026-01-01")
    while now < at("2027-01-01"):
        period = period_at(now, Per.DAY, zone)
        assert period.start <= now < period.end
        assert period_at(period.end, Per.DAY, zone).start == period.end
        now = period.end


@pytest.mark.parametrize(
    ("text", "unit", "amount", "per"),
    [
        ("200/month", "usd", 200 * 10**9, "month"),
        ("$0.5/day", "usd", 5 * 10**8, "day"),
        ("12.34 usd", "usd", 12_340_000_000, "total"),
        ("5$/hour", "usd", 5 * 10**9, "hour"),
        ("5000000 tokens/week", "tokens", 5_000_000, "week"),
        (50, "usd", 50 * 10**9, "total"),
    ],
)
def test_a_short_form_says_amount_unit_and_period(text, unit, amount, per):
    budget = from_short(text, Kind.TEAM, "search")
    assert (budget.unit, budget.amount, budget.per) == (Unit(unit), amount, Per(per))
    assert budget.hard


@pytest.mark.parametrize("text", ["", "much", "200/year", "-5/day", "0/day", "1.5 tokens", "$5$"])
def test_another_short_form_is_refused_with_the_expected_one(text):
    with pytest.raises(BudgetError, match="expected"):
        from_short(text, Kind.TEAM, "search")


def test_an_entry_of_the_config_says_everything():
    order = {"for": {"team": "search"}, "usd": 200, "per": "month", "time_zone": "Europe/Berlin"}
    budget = from_mapping(order | {"hard": False, "notify_at": [1.0, 0.5]})
    assert (budget.kind, budget.subject, budget.amount) == (Kind.TEAM, "search", 200 * 10**9)
    assert (budget.time_zone, budget.hard, budget.notify_at) == ("Europe/Berlin", False, (0.5, 1.0))


def test_a_clock_that_was_wrong_for_a_while_does_not_leave_the_budget_of_another_year():
    now = datetime(2026, 11, 27, tzinfo=UTC).timestamp()
    account = BudgetAccount(from_short("5/month", Kind.KEY, "a"), now, shared=False)
    november = account.current(now).period
    assert account.current(now + 365 * 86_400).period.start > now
    assert account.current(now).period == november
    assert account.before is None, "the store knows what was spent in it"
    account.before, december = 0, account.current(november.end)
    assert account.current(november.end - 1.0) is december, "a call that ended a moment before"


@pytest.mark.parametrize("written", [0, 1, 4])
def test_what_was_spent_here_counts_once_though_the_store_was_away_at_the_start(written):
    account = BudgetAccount(from_short("100 tokens/month", Kind.KEY, "a"), 0.0, shared=False)
    account.ledger.spend(4)
    account.learn(10 + written)  # others and an earlier start: 10
    assert (account.ledger.spent >= 14, account.settled) == (True, False)
    account.ledger.spend(3)
    account.learn(10 + 4)  # two seconds later
    assert account.ledger.spent == 17
    account.learn(10 + 7)
    assert account.ledger.spent == 17


def test_a_raised_budget_is_told_of_again():
    account = BudgetAccount(from_short("10/month", Kind.KEY, "a"), 0.0, shared=False)
    account.ledger.spend(10 * NANO)
    assert (account.reached(1.0), account.reached(2.0)) == (1.0, None)
    account.change(from_short("20/month", Kind.KEY, "a"))
    assert account.reached(3.0) is None
    account.ledger.spend(6 * NANO)
    assert account.reached(4.0) == 0.8


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"for": {"teem": "x"}}, "for: expected"),
        ({"usd": None}, "either `usd` or `tokens`"),
        ({"tokens": 5}, "either `usd` or `tokens`"),
        ({"per": "year"}, "per: expected hour, day"),
        ({"time_zone": "Mars/Olympus"}, "time_zone: expected"),
        ({"hard": "yes"}, "hard: expected"),
        ({"notify_at": ["x"]}, "notify_at: expected"),
        ({"notify": [1]}, "has no 'notify'"),
        ({"for": {"team": ["search"]}}, "for: expected"),
        ({"for": {"team": "sea\0rch"}}, "for: expected"),
        ({"for": {"team": "\ud83d"}}, "for: expected"),
        ({"for": {"team": "x" * 257}}, "for: expected"),
        ({"time_zone": "localtime"}, "time_zone: expected"),
        ({"notify_at": [0.5] * 11}, "at most 10 shares"),
    ],
)
def test_an_entry_that_says_something_else_is_refused(change, says):
    with pytest.raises(BudgetError, match=says):
        from_mapping({"for": "all", "usd": 5} | change)


def test_money_is_shown_exactly():
    assert [dollars(nano) for nano in (0, 1, 10**9, 12_500_000_000)] == [
        *("0", "0.000000001", "1", "12.5")
    ]
    assert from_mapping({"usd": 12.5}).shown(12_500_000_000) == "$12.50"
    assert from_mapping({"tokens": 1000}).shown(1000) == "1,000 tokens"
