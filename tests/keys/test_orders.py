"""What an operator may say of keys and teams."""

import pytest

from llmproxy.batteries.keys import OrderError
from llmproxy.batteries.keys.orders import BudgetOrder, budget_order, key_fields, moment, seconds

NOW = 1_800_000_000.0
DAY = 86_400


@pytest.mark.parametrize(
    ("written", "unit", "amount", "per"),
    [
        ("200/month", "usd", 200_000_000_000, "month"),
        ("$12.50/day", "usd", 12_500_000_000, "day"),
        ("5000000 tokens/hour", "tokens", 5_000_000, "hour"),
        ("50", "usd", 50_000_000_000, "total"),
        (50, "usd", 50_000_000_000, "total"),
    ],
)
def test_a_budget_is_an_amount_and_a_period(written, unit, amount, per):
    assert budget_order(written) == BudgetOrder(unit, amount, per)


@pytest.mark.parametrize("written", ["", None])
def test_no_budget_is_none(written):
    assert budget_order(written) is None


@pytest.mark.parametrize(
    "written", ["200/year", "lots", "-5/day", "0/day", "0.5 tokens/day", "1e9"]
)
def test_another_budget_is_refused_with_an_example(written):
    with pytest.raises(OrderError, match=r"budget: expected .*200/month"):
        budget_order(written)


@pytest.mark.parametrize(
    ("written", "at"),
    [
        ("90d", NOW + 90 * DAY),
        ("12h", NOW + DAY / 2),
        ("2027-01-31", 1_801_353_600.0),
        ("2027-01-31T01:00:00+01:00", 1_801_353_600.0),
        (NOW + 5, NOW + 5),
        (None, None),
        ("never", None),
    ],
)
def test_a_key_expires_in_a_while_or_at_a_date(written, at):
    assert moment(written, NOW) == at


@pytest.mark.parametrize("written", ["soon", "2020-01-31", NOW - 1, True, "90 days"])
def test_another_time_is_refused_with_an_example(written):
    with pytest.raises(OrderError, match=r"expires: expected .*90d.*2027-01-31"):
        moment(written, NOW)


@pytest.mark.parametrize(
    ("order", "says"),
    [
        ({"nmae": "x"}, "A key has no 'nmae'. It has: name, "),
        ({"name": ""}, "name: expected text"),
        ({"name": "a/b"}, "name: expected a name without a slash"),
        ({"name": "key_BL2KjKk7BSEZjSIw"}, "name: expected a name that begins with none of key_"),
        ({"name": "jwt:ann@example.com"}, "name: expected a name that begins with none of"),
        ({"name": "(none)"}, "name: expected a name that begins with none of"),
        ({"name": "a\nb"}, "name: expected text without control characters"),
        ({"name": "a" * 101}, "name: expected at most 100 characters, found 101"),
        ({"rpm": 0}, "rpm: expected a whole number from 1, found '0'"),
        ({"rpm": True}, "rpm: expected a whole number"),
        ({"tpm": "60"}, "tpm: expected a whole number"),
        ({"models": "gpt-4.1"}, "models: expected a list"),
        ({"tags": ["a,b"]}, "tags: expected labels without a comma"),
        ({"tags": ["a"] * 21}, "tags: expected at most 20"),
    ],
)
def test_a_mistake_in_an_order_is_named_with_what_was_expected(order, says):
    with pytest.raises(OrderError) as refused:
        key_fields(order, NOW)
    assert says in str(refused.value)


def test_only_what_an_order_names_is_changed():
    order = {"team": None, "rpm": 5, "models": ["gpt*", "gpt*"], "expires": "1d"}
    assert key_fields(order, NOW) == {
        **{"team": None, "rpm": 5, "models": ["gpt*"], "expires_at": NOW + DAY}
    }


def test_an_overlap_is_a_duration():
    assert (seconds("overlap", "24h"), seconds("overlap", "0")) == (DAY, 0)
    with pytest.raises(OrderError, match="overlap: expected a time such as 24h"):
        seconds("overlap", "a day")
