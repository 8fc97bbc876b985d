"""How a view changes with what is heard."""

from llmproxy.tools.top.view import CALLS_KEPT, NOTICE_S, POINTS_KEPT, Lost, Refused
from tests.tools.top import made_up
from tests.tools.top.made_up import NOW
from tests.tools.top.views import calls, drawn, history, new_point, state, view

GONE = Lost("Nothing answers. Is it running?", brief="Connection refused.")


def test_a_loss_keeps_what_was_known_and_since_when():
    seen = view().after(GONE, NOW + 1).after(GONE, NOW + 5)
    assert seen.lost == (NOW + 1, "Connection refused.")
    lines = drawn(seen, 120, now=NOW + 11)
    assert lines[0].startswith("✖ LOST")
    assert "✖ Connection lost 10s ago, trying again. Connection refused." in lines
    assert any("azure-east" in line for line in lines)


def test_being_connected_again_is_told_for_a_while():
    seen = view().after(GONE, NOW).after(state(), NOW + 2)
    assert seen.lost is None
    assert "▲ Connected again." in drawn(seen, now=NOW + 3)
    assert "▲ Connected again." not in drawn(seen, now=NOW + 2 + NOTICE_S)
    assert seen.after(state(), NOW + 3).notice is not None
    assert seen.after(state(), NOW + 2 + NOTICE_S).notice is None


def test_a_restart_is_told_even_if_no_connection_was_lost():
    seen = view().after(state(started_at=NOW), NOW + 1)
    assert "▲ The proxy was restarted." in drawn(seen, now=NOW + 1)


def test_workers_that_started_one_after_the_other_are_no_restart():
    seen = view().after(state(started_at=NOW - 200_000 + 1.5), NOW + 1)
    assert seen.notice is None


def test_a_refusal_is_a_loss():
    assert view().after(Refused("It answered 401."), NOW).lost == (NOW, "It answered 401.")


def test_points_are_added_replaced_and_kept_within_bounds():
    seen = view(state(), history())
    assert len(seen.points) == POINTS_KEPT
    more = seen.after(new_point(180, calls=1), NOW).after(new_point(180, calls=2), NOW)
    assert len(more.points) == POINTS_KEPT
    assert [point.calls for point in more.points[-2:]] == [seen.points[-1].calls, 2]


def test_each_call_is_kept_once_newest_first_and_not_for_ever():
    seen = view(state(), calls(made_up.call(2), made_up.call(1)))
    seen = seen.after(calls(made_up.call(3), made_up.call(2)), NOW)
    assert [call.at - NOW for call in seen.calls] == [-57, -58, -59]
    many = calls(*(made_up.call(n) for n in range(CALLS_KEPT + 50)))
    assert len(seen.after(many, NOW).calls) == CALLS_KEPT


def test_the_status_is_that_of_what_is_meant():
    groups = [made_up.group("a", made_up.endpoint("x"), status="down"), *made_up.well()]
    with_one_down = state(groups, status="down")
    assert view(with_one_down).status == "down"
    assert view(with_one_down, only="gpt-4.1").status == "ok"
    assert view(with_one_down, only="gone").status == "down"
    assert view(state(groups, status="draining"), only="gpt-4.1").status == "draining"
    assert view(history()).status == "unknown"


def test_a_group_that_is_gone_is_told():
    lines = drawn(view(only="gone"))
    assert "✖ There is no group 'gone' any longer." in lines
