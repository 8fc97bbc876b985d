"""`llmproxy spend`: what calls have cost, in a table, as CSV and as JSON."""

import csv
import io
import json

import pytest

from llmproxy.tools.spend_command import shown
from tests.support.callers import bearer
from tests.support.client import CHAT, ask
from tests.support.process import command
from tests.support.run import bounded
from tests.support.spending import proxy_with_teams, until_counted


@bounded()
async def test_it_asks_the_running_proxy(tmp_path):
    async with proxy_with_teams(tmp_path) as proxy:
        for key in ("sk-client-app-1", "sk-client-app-1", "sk-client-job-1"):
            await ask(proxy.port, body=CHAT, headers=bearer(key))
        await until_counted(proxy, "/admin/spend", 3)

        said = await command("spend", "--by", "team,caller", "--url", proxy.root)
        assert (said.status, said.stderr) == (0, "")
        assert [line.split() for line in said.stdout.splitlines()[2:6]] == [
            ["team", "caller", "calls", "input", "output", "cost", "known"],
            ["search", "app", "2", "6", "4", "$0.000024", "100", "%"],
            ["ads", "=job", "1", "3", "2", "$0.000012", "100", "%"],
            ["total", "3", "9", "6", "$0.000036", "100", "%"],
        ]
        table = await command(
            "spend", "--team", "ads", "--since", "1d", "--url", proxy.root, "--csv"
        )
        assert [
            (row["team"], row["calls"], row["cost_usd"])
            for row in csv.DictReader(io.StringIO(table.stdout))
        ] == [("ads", "1", "0.000012")]
        answer = await command("spend", "--by", "model", "--url", proxy.root, "--json")
        assert json.loads(answer.stdout)["total"]["calls"] == 3


@bounded()
async def test_a_question_without_an_answer_is_an_error_with_what_can_be_asked(tmp_path):
    async with proxy_with_teams(tmp_path) as proxy:
        for shape in ((), ("--csv",), ("--json",)):
            said = await command("spend", "--by", "tema", "--url", proxy.root, *shape)
            assert said.status == 1
            assert said.stdout == ""
            assert "It is by: team, key, caller" in said.stderr


def sums(calls=1, cost="0.50", coverage=1.0, unknown=0):
    return {
        **{"calls": calls, "input_tokens": 123_456_789, "output_tokens": 12, "cost_usd": cost},
        **{"estimated_usd": cost and "0.25", "unknown_calls": unknown, "coverage": coverage},
        "saved_usd": "0.00",
    }


def answer(*rows, by=("team", "model"), total=None):
    return {
        **{"from": 0, "to": 86400, "by": list(by), "next": None, "key_names": {"key_1": "job"}},
        "rows": [{"keys": dict(zip(by, names, strict=True)), **one} for names, one in rows],
        "total": total or sums(),
        "before": sums(calls=0),
    }


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits_whatever_names_there_are(width):
    long = answer(
        (("t" * 200, "m" * 300), sums(calls=10**9, cost="123456789.01")),
        (("short", None), sums()),
    )
    lines = shown(long, width).splitlines()
    assert max(map(len, lines)) <= width
    assert "$123,456,789.01" in lines[3]
    assert "short" in lines[4]
    assert "(none)" in lines[4]


def test_what_is_not_known_is_said():
    text = shown(answer((("a", "b"), sums(cost=None, coverage=0.0, unknown=1))), 80)
    assert "unknown" in text.splitlines()[3]
    text = shown(answer(total=sums(calls=1000, coverage=0.999, unknown=1)), 80)
    assert "99 %" in text
    assert "The cost of 1 call is not known. --by endpoint says where." in text
    assert "Estimated: $0.250000 of the cost." in text


def test_a_name_moves_no_cursor():
    assert "\x1b" not in shown(answer((("\x1b[2J", "\n"), sums())), 80)


def test_without_calls_it_says_so():
    empty = answer(total=sums(calls=0, cost="0.00", coverage=None))
    assert shown(empty, 80) == "1970-01-01 00:00 UTC to 1970-01-02 00:00 UTC\nNo calls."


def test_keys_are_shown_by_their_names():
    rows = (("key_1", "a"), sums()), (("key_gone", "a"), sums()), ((None, "a"), sums())
    text = shown(answer(*rows, by=("key", "model")), 80)
    assert [line.split()[0] for line in text.splitlines()[3:6]] == ["job", "key_gone", "(none)"]
