"""The supervisor's decisions, with fake processes and a fake clock."""

import itertools
import logging
import signal
from math import inf

import pytest

from llmproxy.workers.inbox import ACCEPTING
from llmproxy.workers.process_slot import ProcessSlot
from llmproxy.workers.supervisor import Supervisor

PATIENCE_S = 60.0


class Process:
    numbers = itertools.count(1)

    def __init__(self):
        self.pid = next(self.numbers)
        self.status = None
        self.signals = []

    def poll(self):
        return self.status

    def send_signal(self, number):
        self.signals.append(number)


class Stage:
    """A supervisor in front of a script: each step is what happens while it waits."""

    def __init__(self, count, *script, reloads=True):
        self.now = 1000.0
        self.started = []  # (slot, moment), in order
        self.longest = []
        self.announced = 0
        self.stopped = 0
        self.script = iter(script)
        self.workers = [
            ProcessSlot(f"Worker {number + 1}", lambda number=number: self.start(number))
            for number in range(count)
        ]
        self.server = ProcessSlot("The server", lambda: self.start("server"), process=Process())
        self.supervisor = Supervisor(
            self,
            self.workers,
            others=[self.server],
            reloads=reloads,
            on_accepting=self.announce,
            on_stopping=self.note_stop,
            patience_s=PATIENCE_S,
            clock=lambda: self.now,
        )

    def start(self, name):
        self.started.append((name, self.now - 1000.0))
        return Process()

    def announce(self):
        self.announced += 1

    def note_stop(self):
        self.stopped += 1

    def wait(self, longest_s):
        self.longest.append(longest_s)
        return bytes(next(self.script)(self) or ())

    def run(self):
        return self.supervisor.run()


def accepts(*numbers):
    return lambda stage: [ACCEPTING + number for number in numbers]


def signals(number):
    return lambda stage: [number]


def time_passes(stage):
    stage.now += stage.longest[-1]


def ends(number, status=0):
    def step(stage):
        slot = stage.server if number == "server" else stage.workers[number]
        slot.process.status = status
        return [signal.SIGCHLD]

    return step


def all_end(stage):
    for slot in stage.workers:
        if slot.process is not None:
            slot.process.status = 0


STOP = (signals(signal.SIGTERM), all_end)


def test_one_worker_starts_first_and_the_address_is_announced_when_all_accept():
    seen = []

    def look(stage):
        seen.append((len(stage.started), stage.announced))

    stage = Stage(3, look, accepts(0), look, accepts(1), accepts(2), look, *STOP)
    assert stage.run() == 0
    assert seen == [(1, 0), (3, 0), (3, 1)]
    assert stage.announced == 1


def test_it_sleeps_until_something_happens():
    stage = Stage(1, accepts(0), *STOP)
    stage.run()
    assert stage.longest[:2] == [inf, inf]


def test_a_failure_of_the_first_worker_is_logged_once_and_is_the_exit_status(caplog):
    stage = Stage(4, ends(0, status=2))
    assert stage.run() == 2
    assert stage.started == [(0, 0.0)]
    assert stage.announced == 0
    assert len(caplog.records) == 1
    assert "Worker 1" in caplog.text
    assert "ended with status 2 before it accepted a call" in caplog.text


def test_a_worker_that_dies_is_replaced_after_a_pause(caplog):
    stage = Stage(2, accepts(0), accepts(1), ends(1, status=-9), time_passes, accepts(1), *STOP)
    assert stage.run() == 0
    assert stage.started == [(0, 0.0), (1, 0.0), (1, 0.25)]
    assert "was killed by SIGKILL. It is replaced in 0.25 s." in caplog.text
    assert "Worker 2 accepts calls again, as process" in caplog.text
    assert stage.announced == 1


def test_while_one_worker_serves_the_others_are_tried_again_and_again():
    deaths = [step for _ in range(5) for step in (ends(1, status=1), time_passes)]
    stage = Stage(2, accepts(0), accepts(1), *deaths, *STOP)
    assert stage.run() == 0
    assert [moment for name, moment in stage.started if name == 1] == [
        0.0,
        0.25,
        0.75,
        1.75,
        3.75,
        7.75,
    ]


def test_it_gives_up_when_no_worker_serves_and_none_can_start():
    stage = Stage(
        2,
        accepts(0, 1),
        ends(0, status=-11),
        ends(1, status=-11),
        time_passes,
        ends(0, status=1),
        all_end,
    )
    stage.workers[1].start_at = 1000.0  # both at once
    assert stage.run() == 1
    assert stage.stopped == 1


def test_a_server_that_dies_is_replaced_and_no_reason_to_give_up():
    stage = Stage(1, ends("server", status=-9), ends("server"), time_passes, accepts(0), *STOP)
    assert stage.run() == 0
    assert [name for name, _ in stage.started] == [0, "server", "server"]


def test_a_failed_start_is_logged_and_tried_again(caplog):
    def refuse(stage):
        stage.workers[0].process.status = -9
        stage.start = no_memory

    def no_memory(name):
        del stage.start
        raise OSError("no memory")

    stage = Stage(2, accepts(0), accepts(1), refuse, time_passes, time_passes, *STOP)
    assert stage.run() == 0
    assert "Worker 1 cannot be started: no memory." in caplog.text
    assert [name for name, _ in stage.started] == [0, 1, 0]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_every_signal_is_passed_on_and_no_worker_is_replaced_after_it(number, caplog):
    processes = []

    def look(stage):
        processes.extend(slot.process for slot in stage.workers)

    stage = Stage(
        2, accepts(0), accepts(1), look, signals(number), ends(0), signals(number), ends(1)
    )
    assert stage.run() == 0
    assert [process.signals for process in processes] == [[number], [number, number]]
    assert len(stage.started) == 2
    assert stage.stopped == 1
    assert caplog.records == []


def test_a_worker_that_dies_in_the_drain_makes_the_exit_status_1(caplog):
    stage = Stage(2, accepts(0), accepts(1), signals(signal.SIGTERM), ends(0, status=-9), ends(1))
    assert stage.run() == 1
    assert "Worker 1" in caplog.text
    assert "was killed by SIGKILL." in caplog.text


def test_a_server_that_dies_in_the_drain_is_not_replaced_and_costs_nothing(caplog):
    stage = Stage(1, accepts(0), signals(signal.SIGTERM), ends("server", status=-9), ends(0))
    assert stage.run() == 0
    assert [name for name, _ in stage.started] == [0]
    assert caplog.records == []


def test_a_worker_that_was_starting_when_the_signal_came_may_die_of_it(caplog):
    stage = Stage(2, signals(signal.SIGTERM), ends(0, status=-signal.SIGTERM))
    assert stage.run() == 0
    assert stage.announced == 0
    assert caplog.records == []


def test_a_worker_that_takes_too_long_to_end_is_killed(caplog):
    def killed(stage):
        assert stage.workers[0].process.signals == [signal.SIGTERM, signal.SIGKILL]
        stage.workers[0].process.status = -9

    stage = Stage(1, accepts(0), signals(signal.SIGTERM), time_passes, killed)
    assert stage.run() == 1
    assert stage.now == 1000.0 + PATIENCE_S
    assert "takes too long" in caplog.text


@pytest.fixture(autouse=True)
def everything_is_logged(caplog):
    caplog.set_level(logging.WARNING, logger="llmproxy")


def test_a_hangup_is_for_the_workers_that_live_and_ends_nothing():
    received = []

    def look(stage):
        received.extend(list(slot.process.signals) for slot in stage.workers if slot.process)

    stage = Stage(3, accepts(0), ends(2, status=-9), signals(signal.SIGHUP), look, *STOP)
    assert stage.run() == 0
    assert received == [[signal.SIGHUP]] * 2
    assert stage.stopped == 1


def test_a_hangup_stops_workers_whose_config_has_no_file():
    stage = Stage(2, accepts(0), accepts(1), signals(signal.SIGHUP), all_end, reloads=False)
    assert stage.run() == 0
    assert stage.stopped == 1
