"""The progress of long work: one line at a terminal, and nothing anywhere else."""

import io
import time

import pytest

from llmproxy.tools.progress import Progress, progress


class FakeTerminal(io.StringIO):
    def isatty(self):
        return True


class GoneTerminal(FakeTerminal):
    def write(self, _):
        raise OSError("the window was closed")


def test_a_terminal_sees_the_work_and_nothing_of_it_stays():
    terminal = FakeTerminal()

    with progress("Copying", 4, stream=terminal, environ={}, shown_after_s=0) as work:
        work.advance()
        until(lambda: "25%" in terminal.getvalue())
        work.advance(2)
        until(lambda: "75%" in terminal.getvalue())

    assert "Copying  [#####...............]  25%  1 of 4" in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\x1b[K")


def test_short_work_is_not_shown():
    terminal = FakeTerminal()

    with progress("Copying", 4, stream=terminal, environ={}) as work:
        work.advance()

    assert terminal.getvalue() == ""


@pytest.mark.parametrize(
    ("stream", "environ"),
    [(io.StringIO(), {}), (FakeTerminal(), {"TERM": "dumb"})],
    ids=["a file", "a terminal that cannot erase"],
)
def test_other_outputs_see_nothing(stream, environ):
    with progress("Copying", stream=stream, environ=environ, shown_after_s=0) as work:
        work.advance()
        time.sleep(0.05)

    assert stream.getvalue() == ""


def test_a_terminal_that_is_gone_does_not_end_the_work():
    with progress("Copying", stream=GoneTerminal(), environ={}, shown_after_s=0) as work:
        time.sleep(0.05)
        work.advance()

    assert work.done == 1


def test_the_line_is_erased_when_the_work_fails():
    terminal = FakeTerminal()

    with pytest.raises(ZeroDivisionError):
        with progress("Copying", stream=terminal, environ={}, shown_after_s=0):
            until(lambda: "Copying" in terminal.getvalue())
            raise ZeroDivisionError

    assert terminal.getvalue().endswith("\r\x1b[K")


def test_the_line_says_how_long_it_will_take():
    work = Progress("Simulating", 3000)
    work.advance(1000)

    line = work.line(10, 79)

    assert line == "Simulating  [######..............]  33%  1,000 of 3,000  20 s left"
    assert work.line(10, 40) == "Simulating  33%  20 s left"
    assert len(work.line(10, 12)) == 12


def test_work_of_unknown_length_tells_its_time():
    work = Progress("Copying the database")
    assert work.line(61.2, 79) == "Copying the database ...  61 s"
    work.advance(1200)
    assert work.line(61.2, 79) == "Copying the database ...  1,200  61 s"


def until(is_so, within_s=10):
    ends = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < ends
        time.sleep(0.01)
