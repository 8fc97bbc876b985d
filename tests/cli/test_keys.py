"""`llmproxy keys` and `llmproxy teams`: what is printed, and errors that say what to do."""

from argparse import Namespace

from llmproxy.tools.key_commands import shown
from tests.support.process import command
from tests.support.run import bounded
from tests.support.spending import proxy_with_teams

LISTING = Namespace(action="list", kind="keys", search=None, team=None, state=None)
BUDGET = {"unit": "usd", "amount": "200", "per": "month", "left": "0.499999999"}
ROW = {
    **{"id": "key_1", "name": "job", "team": "ads", "state": "active", "budgets": [BUDGET]},
    **{"last_used_at": None, "expires_at": None},
}


def test_a_list_shows_what_is_left_of_budgets():
    head, row = shown(LISTING, {"keys": [ROW, {**ROW, "budgets": []}]}).splitlines()[:2]
    assert "$200/month ($0.50 left)" in row
    assert head.index("last used") > head.index("budgets") + len("$200/month ($0.50 left)")


def test_no_rows_of_a_choice_are_not_no_rows_at_all():
    assert shown(LISTING, {"keys": []}) == "There are no keys yet."
    chosen = Namespace(**{**vars(LISTING), "team": "nobody"})
    assert shown(chosen, {"keys": []}) == "No keys fit."


def test_the_values_of_one_key_stand_below_each_other():
    options = Namespace(action="rotate", kind="keys")
    lines = shown(options, {"key": "sk-1", "name": "job", "earlier_key_until": 0}).splitlines()
    assert lines[0] == "sk-1"
    assert lines[-2].index("job") == lines[-1].index("1970")


@bounded()
async def test_errors_name_the_remedy_and_no_query(tmp_path):
    async with proxy_with_teams(tmp_path) as proxy:
        made = await command("teams", "create", "sales", "--url", proxy.root)
        again = await command("teams", "create", "sales", "--url", proxy.root)
        nothing = await command("teams", "change", "sales", "--url", proxy.root)
    assert (made.status, made.stderr) == (0, "")
    assert again.stderr.startswith(f"{proxy.root} answered 409: There is a team named 'sales'")
    assert "Change that one." in again.stderr
    assert nothing.status == 1
    assert "Say what, such as --rpm 60" in nothing.stderr
