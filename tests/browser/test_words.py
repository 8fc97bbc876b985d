"""The texts for numbers and states: functions of the modules, called in the browser."""

import pytest

NBSP = "\u00a0"


@pytest.fixture
def call(visit, world):
    """call("format.js", "usd", 1.5) calls a function of a module."""
    page = visit()

    def called(module, function, *arguments):
        return page.evaluate(
            "async ([module, name, given]) =>"
            " (await import(new URL(`dashboard/${module}`, location.href)))[name](...given)",
            [module, function, arguments],
        )

    return called


def test_numbers_are_short_and_have_their_unit(call):
    expected = {
        "count": {0: "0", 9_999: "9,999", 12_345: "12.3K", 4_560_000: "4.56M"},
        "rate": {0: "0", 0.004: "<0.01", 0.5: "0.5", 3.24: "3.2", 48.7: "49"},
        "percent": {0: "0%", 0.0004: "<0.1%", 0.0123: "1.2%", 0.5: "50%", 1: "100%"},
        "millis": {0.05: "0.1 ms", 423.4: "423 ms", 1_920: "1.92 s", 75_000: "75.0 s"},
        "usd": {0: "$0", 0.00001: "<$0.0001", 0.00123: "$0.0012", 12.3: "$12.30", 54_321: "$54.3K"},
        "duration": {0.9: "0 s", 59.9: "59 s", 60: "1 min", 7_500: "2 h 5 min", 7_200: "2 h"},
        "countdown": {0.2: "1 s", 41.5: "42 s"},
        "bytes": {999: "999 B", 1_500: "1.5 kB", 61_400_000: "61.4 MB"},
    }
    for function, examples in expected.items():
        for number, words in examples.items():
            assert call("format.js", function, number).replace(NBSP, " ") == words
    for function in ("count", "rate", "percent", "millis", "usd"):
        assert call("format.js", function, None) == "\u2013"


def test_ticks_are_round_and_reach_the_highest_value(call):
    for highest, ticks in {
        0: [0, 1],
        1: [0, 0.5, 1],
        22: [0, 10, 20, 30],
        0.043: [0, 0.02, 0.04, 0.06],
        1_900_000: [0, 1_000_000, 2_000_000],
    }.items():
        assert call("scales.js", "valueTicks", highest) == pytest.approx(ticks)
    # 14:03 to 14:18, in steps of five minutes, whatever the time zone.
    times = call("scales.js", "timeTicks", 1_764_000_180, 1_764_001_080, 4)
    assert [at % 300 for at in times] == [0, 0, 0]


def test_a_reason_is_shown_if_it_says_more_than_the_state(call):
    for state, reason, probing, shown in [
        ("cooling", "throttled", False, "throttled"),
        ("open", None, False, ""),
        ("open", "server_error", False, "server error"),
        ("half-open", "server_error", True, "a probe is under way"),
        ("half-open", "server_error", False, "waiting for a call to probe it"),
        ("ok", None, False, ""),
    ]:
        endpoint = {"state": state, "reason": reason, "probing": probing}
        assert call("words.js", "reasonOf", endpoint) == shown


def test_the_headline_is_a_sentence(call):
    def headline(*groups, status="ok"):
        state = {
            "status": status,
            "groups": [
                {"group": name, "status": how, "endpoints": [{"state": state} for state in states]}
                for name, how, states in groups
            ],
        }
        return tuple(call("words.js", "headlineOf", state).values())

    assert headline(("a", "ok", ["ok"])) == ("ok", "The endpoint is healthy")
    assert headline(("a", "ok", ["ok", "full"])) == ("ok", "All 2 endpoints are healthy; 1 is full")
    assert headline(("a", "degraded", ["ok", "open"])) == (
        "warn",
        "1 of 2 endpoints is unavailable",
    )
    down = [(name, "down", ["drained"]) for name in "abcd"]
    assert headline(*down[:2]) == ("bad", "a and b are down: 2 of 2 endpoints unavailable")
    assert headline(*down) == ("bad", "4 groups are down: 4 of 4 endpoints unavailable")
    assert headline(("a", "ok", ["ok"]), status="draining")[0] == "warn"
    assert headline() == ("warn", "No endpoints are configured")
