"""A slot for one process: when it is filled again."""

import pytest

from llmproxy.workers.process_slot import LONGEST_PAUSE_S, STEADY_S, ProcessSlot, how_it_ended


class Process:
    pid = 4711

    def __init__(self):
        self.status = None

    def poll(self):
        return self.status

    def send_signal(self, number):
        raise AssertionError("unexpected signal")


def place_that_was_filled(now=0.0):
    slot = ProcessSlot("Worker 1", Process)
    slot.fill(now)
    return slot


def end(slot, now, status=1):
    """Its process ends; return the seconds until the next start."""
    slot.process.status = status
    assert slot.clear(now) == status
    assert slot.process is None
    return slot.start_at - now


def test_no_process_is_due_while_one_runs():
    slot = place_that_was_filled()
    assert slot.clear(1000.0) is None
    assert slot.process is not None
    assert slot.start_at == float("inf")


def test_a_process_that_ran_long_is_replaced_at_once():
    slot = place_that_was_filled()
    assert end(slot, STEADY_S) == 0


def test_short_lives_are_followed_by_pauses_that_double_up_to_a_bound():
    slot, now, pauses = place_that_was_filled(), 0.0, []
    for _ in range(7):
        pauses.append(end(slot, now))
        now = slot.start_at
        slot.fill(now)
    assert pauses == [0.25, 0.5, 1.0, 2.0, 4.0, LONGEST_PAUSE_S, LONGEST_PAUSE_S]


def test_after_a_long_life_the_pauses_begin_anew():
    slot = place_that_was_filled()
    end(slot, 0.0)
    slot.fill(1.0)
    assert end(slot, 1.0 + STEADY_S) == 0
    slot.fill(40.0)
    assert end(slot, 40.0) == 0.25


def test_a_new_process_does_not_accept_before_it_says_so():
    slot = place_that_was_filled()
    slot.is_accepting = True
    end(slot, 1.0)
    slot.fill(2.0)
    assert not slot.is_accepting


def test_a_process_that_the_system_cannot_start_is_wanted_again_later():
    def refuse():
        raise OSError("out of memory")

    slot = ProcessSlot("Worker 1", refuse)
    for pause_s in (0.25, 0.5):
        with pytest.raises(OSError, match="memory"):
            slot.fill(7.0)
        assert slot.start_at == 7.0 + pause_s


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (2, "ended with status 2"),
        (-9, "was killed by SIGKILL"),
        (-11, "was killed by SIGSEGV"),
        (-40, "was killed by signal 40"),
    ],
)
def test_the_end_of_a_process_is_described_in_words(status, words):
    assert how_it_ended(status) == words
