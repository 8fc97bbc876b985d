"""A place for one process: when it is filled again."""

import pytest

from llmproxy.workers.place import LONGEST_PAUSE_S, STEADY_S, Place, told


class Process:
    pid = 4711

    def __init__(self):
        self.status = None

    def poll(self):
        return self.status

    def send_signal(self, number):
        raise AssertionError("nobody asked for that")


def place_that_was_filled(now=0.0):
    place = Place("Worker 1", Process)
    place.fill(now)
    return place


def end(place, now, status=1):
    """Its process ends; returns after how many seconds somebody new is wanted."""
    place.process.status = status
    assert place.clear(now) == status
    assert place.process is None
    return place.wanted_at - now


def test_nobody_is_wanted_while_the_process_lives():
    place = place_that_was_filled()
    assert place.clear(1000.0) is None
    assert place.process is not None
    assert place.wanted_at == float("inf")


def test_who_ends_after_a_long_life_is_replaced_at_once():
    place = place_that_was_filled()
    assert end(place, STEADY_S) == 0


def test_short_lives_are_followed_by_pauses_that_double_up_to_a_bound():
    place, now, pauses = place_that_was_filled(), 0.0, []
    for _ in range(7):
        pauses.append(end(place, now))
        now = place.wanted_at
        place.fill(now)
    assert pauses == [0.25, 0.5, 1.0, 2.0, 4.0, LONGEST_PAUSE_S, LONGEST_PAUSE_S]


def test_after_a_long_life_the_pauses_begin_anew():
    place = place_that_was_filled()
    end(place, 0.0)
    place.fill(1.0)
    assert end(place, 1.0 + STEADY_S) == 0
    place.fill(40.0)
    assert end(place, 40.0) == 0.25


def test_a_new_process_does_not_accept_before_it_says_so():
    place = place_that_was_filled()
    place.is_accepting = True
    end(place, 1.0)
    place.fill(2.0)
    assert not place.is_accepting


def test_a_process_that_the_system_cannot_start_is_wanted_again_later():
    def refuse():
        raise OSError("out of memory")

    place = Place("Worker 1", refuse)
    for pause_s in (0.25, 0.5):
        with pytest.raises(OSError, match="memory"):
            place.fill(7.0)
        assert place.wanted_at == 7.0 + pause_s


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (2, "ended with status 2"),
        (-9, "was killed by SIGKILL"),
        (-11, "was killed by SIGSEGV"),
        (-40, "was killed by signal 40"),
    ],
)
def test_how_a_process_ended_is_told_in_words(status, words):
    assert told(status) == words
