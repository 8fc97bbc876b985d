"""First come, first served, within a priority."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from llmproxy.rules.line import Line


@dataclass(eq=False)
class Waiting:
    name: str
    priority: int = 0
    tokens: int = 0
    restricted: bool = False


def line_of(*waiting):
    line = Line()
    for each in waiting:
        line.join(each)
    return line


def names(line):
    return [each.name for each in line]


def test_equals_are_served_in_the_order_they_came():
    assert names(line_of(*map(Waiting, "abc"))) == ["a", "b", "c"]


def test_a_higher_priority_stands_in_front_and_behind_its_equals():
    line = line_of(Waiting("a"), Waiting("b", 5), Waiting("c", -1), Waiting("d", 5), Waiting("e"))
    assert names(line) == ["b", "d", "a", "e", "c"]


def test_whoever_leaves_takes_its_need_along():
    a, b = Waiting("a", tokens=10), Waiting("b", tokens=5)
    line = line_of(a, b)
    assert (len(line), line.tokens) == (2, 15)
    line.leave(a)
    assert (names(line), line.tokens) == (["b"], 5)


def test_a_newcomer_stands_behind_those_of_its_priority_and_above():
    line = line_of(Waiting("a", 5, 100), Waiting("b", 0, 10), Waiting("c", 0, 1))
    assert line.ahead_of(9) == (0, 0)
    assert line.ahead_of(5) == (1, 100)
    assert line.ahead_of(1) == (1, 100)
    assert line.ahead_of(0) == (3, 111)
    assert line_of().ahead_of(0) == (0, 0)


def test_it_may_change_while_it_is_walked():
    line = line_of(*map(Waiting, "abcd"))
    for each in line:
        if each.name in "bc":
            line.leave(each)
    assert names(line) == ["a", "d"]


@given(st.lists(st.integers(-3, 3)), st.integers(-4, 4))
def test_where_a_newcomer_comes_to_stand_is_where_it_was_told(priorities, mine):
    line = line_of(*(Waiting("other", priority, tokens=1) for priority in priorities))
    ahead, tokens = line.ahead_of(mine)
    line.join(Waiting("mine", mine))
    assert names(line).index("mine") == ahead == tokens


def test_the_line_knows_how_many_may_not_go_everywhere():
    restricted, easy = Waiting("a", restricted=True), Waiting("b")
    line = line_of(restricted, easy)
    assert line.restricted == 1
    line.leave(restricted)
    assert line.restricted == 0
