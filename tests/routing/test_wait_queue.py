"""First come, first served, within a priority."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from llmproxy.routing.wait_queue import WaitQueue


@dataclass(eq=False)
class Waiting:
    name: str
    priority: int = 0
    tokens: int = 0
    restricted: bool = False


def queue_of(*waiting):
    queue = WaitQueue()
    for waiter in waiting:
        queue.join(waiter)
    return queue


def names(queue):
    return [waiter.name for waiter in queue]


def test_equals_are_served_in_the_order_they_came():
    assert names(queue_of(*map(Waiting, "abc"))) == ["a", "b", "c"]


def test_a_higher_priority_stands_in_front_and_behind_its_equals():
    queue = queue_of(Waiting("a"), Waiting("b", 5), Waiting("c", -1), Waiting("d", 5), Waiting("e"))
    assert names(queue) == ["b", "d", "a", "e", "c"]


def test_a_waiter_that_leaves_takes_its_need_along():
    a, b = Waiting("a", tokens=10), Waiting("b", tokens=5)
    queue = queue_of(a, b)
    assert (len(queue), queue.tokens) == (2, 15)
    queue.leave(a)
    assert (names(queue), queue.tokens) == (["b"], 5)


def test_a_newcomer_stands_behind_those_of_its_priority_and_above():
    queue = queue_of(Waiting("a", 5, 100), Waiting("b", 0, 10), Waiting("c", 0, 1))
    assert queue.position(9) == (0, 0)
    assert queue.position(5) == (1, 100)
    assert queue.position(1) == (1, 100)
    assert queue.position(0) == (3, 111)
    assert queue_of().position(0) == (0, 0)


def test_it_may_change_while_it_is_walked():
    queue = queue_of(*map(Waiting, "abcd"))
    for waiter in queue:
        if waiter.name in "bc":
            queue.leave(waiter)
    assert names(queue) == ["a", "d"]


@given(st.lists(st.integers(-3, 3)), st.integers(-4, 4))
def test_where_a_newcomer_comes_to_stand_is_where_it_was_told(priorities, mine):
    queue = queue_of(*(Waiting("other", priority, tokens=1) for priority in priorities))
    ahead, tokens = queue.position(mine)
    queue.join(Waiting("mine", mine))
    assert names(queue).index("mine") == ahead == tokens


def test_the_line_knows_how_many_may_not_go_everywhere():
    restricted, easy = Waiting("a", restricted=True), Waiting("b")
    queue = queue_of(restricted, easy)
    assert queue.restricted == 1
    queue.leave(restricted)
    assert queue.restricted == 0
