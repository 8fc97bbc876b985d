"""Questions about spend: what can be asked, and which sums answer it."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.batteries.spend import SpendQueryError, spend_query

NOW = datetime(2026, 11, 27, 12, 30, tzinfo=UTC).timestamp()
HOUR, DAY = 3600, 86400


def at(*date):
    return int(datetime(*date, tzinfo=UTC).timestamp())


def ask(by="team", **options):
    return spend_query(by, now=NOW, **options)


def test_a_range_without_times_is_the_last_thirty_days_up_to_now():
    query = ask()
    assert (query.start, query.end) == (at(2026, 10, 28, 12), at(2026, 11, 27, 13))


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("12h", at(2026, 11, 27, 0)),
        ("2w", at(2026, 11, 13, 12)),
        ("2026-10", at(2026, 10, 1)),
        ("2026-10-31", at(2026, 10, 31)),
        ("2026-10-31T12:59", at(2026, 10, 31, 12)),
        ("2026-10-31T12:59+02:00", at(2026, 10, 31, 10)),
        ("1795415102", 1795413600),
    ],
)
def test_a_range_begins_at_the_hour_of_its_time(text, start):
    assert ask(since=text).start == start


def test_whole_days_are_read_from_days_and_the_ends_from_hours():
    query = ask(since="2026-11-20T22:00", until="2026-11-22T02:00")
    assert [(part.period, part.start, part.end) for part in query.slices()] == [
        ("hour", at(2026, 11, 20, 22), at(2026, 11, 21)),
        ("day", at(2026, 11, 21), at(2026, 11, 22)),
        ("hour", at(2026, 11, 22), at(2026, 11, 22, 2)),
    ]


@given(
    start=st.integers(0, 500),
    hours=st.integers(1, 500),
    by=st.sampled_from(["team", "day", "hour", ""]),
)
def test_each_hour_is_in_exactly_one_part_whatever_the_range(start, hours, by):
    first, end = 10**9 // DAY * DAY + start * HOUR, 10**9 // DAY * DAY + (start + hours) * HOUR
    parts = list(ask(by, since=str(first), until=str(end)).slices())
    assert (parts[0].start, parts[-1].end) == (first, end)
    assert all(one.end == other.start for one, other in zip(parts, parts[1:], strict=False))
    for part in parts:
        assert part.start < part.end
        assert part.period == "hour" or (part.start % DAY == part.end % DAY == 0)


def test_the_period_before_is_as_long():
    before = ask(since="2026-10-01", until="2026-11-01").before
    assert (before.start, before.end) == (at(2026, 8, 31), at(2026, 10, 1))


def test_a_month_is_its_first_day():
    assert ask(since="2026-10", until="2026-11") == ask(since="2026-10-01", until="2026-11-01")


@pytest.mark.parametrize(
    ("by", "options", "says"),
    [
        ("tema", {}, "Spend is not summed by 'tema'. It is by: team, key, caller, model, group"),
        ("team", {"where": {"colour": "red"}}, "cannot be restricted by 'colour'"),
        ("tag,model", {}, "Sums by tag are kept by team, day, hour only, not together with model"),
        ("tag,end_user", {}, "not together with end_user"),
        ("tag", {"where": {"caller": "app"}}, "not together with caller"),
        ("tag", {"where": {"tag": "(none)"}}, "calls without a tag are not summed apart"),
        ("day,hour", {}, "by day or by hour, not by both"),
        ("team", {"since": "yesterday"}, "Expected a time such as 30d, 12h, 4w, 2026-10"),
        ("team", {"since": "2026-10-02", "until": "2026-10-01"}, "`since` must be before `until`"),
        ("team", {"since": "1900-01-01"}, "at most ten years"),
        ("team", {"step": "week"}, "`step` is day or hour"),
    ],
)
def test_a_question_that_has_no_answer_says_what_can_be_asked(by, options, says):
    with pytest.raises(SpendQueryError) as error:
        ask(by, **options)
    assert says in str(error.value)


def test_a_series_has_hours_for_two_days_and_days_for_longer():
    assert ask(since="24h").step == "hour"
    assert ask(since="30d").step == "day"
    assert ask(since="30d", step="hour").step == "hour"
