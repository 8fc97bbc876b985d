"""The access log: the content of its lines, and that a stuck reader delays no call."""

import asyncio
import json
import os
import select
import threading
import time

import pytest

from llmproxy.batteries.telemetry.access_log import AccessLog, write_lines_to, write_to
from llmproxy.events import EndpointChange, EndpointStateChanged
from llmproxy.steps import Attempt, AttemptOutcome, FellBack, PassedOver, Verdict
from tests.support.finished import finished_call
from tests.support.run import bounded
from tests.support.waiting import until

MAX_PENDING_LINES = 20_000

ANSWERED, FAILED = AttemptOutcome.ANSWERED, AttemptOutcome.FAILED
NEXT = Verdict.NEXT_ENDPOINT
FINISHED = finished_call()


class Written:
    def __init__(self):
        self.blocks = []
        self.begun = False
        self.may_write = threading.Event()
        self.may_write.set()

    def __call__(self, block):
        self.begun = True
        self.may_write.wait(60)
        self.blocks.append(block)

    @property
    def lines(self):
        return b"".join(self.blocks).decode().splitlines()


def log_to(written, **options):
    return AccessLog(written, **{"human": False, **options})


@pytest.mark.parametrize("human", [True, False], ids=["text", "json"])
@bounded()
async def test_a_line_lists_the_steps_of_its_call_if_configured(human):
    steps = [
        PassedOver("east", 0.0, "breaker open"),
        Attempt("west", 0.0, 0.25, ANSWERED, 200),
    ]
    event = finished_call(steps=steps)
    summary = "skipped east (breaker open); west answered 200 after 250.0 ms"
    for wanted in (True, False):
        written = Written()
        log = log_to(written, human=human, steps=wanted)
        log.call_finished(event)
        log.close()
        (line,) = written.lines
        assert (summary in line) == wanted
        assert human or json.loads(line).get("steps") == (summary if wanted else None)


@bounded()
async def test_a_json_line_describes_the_call():
    written = Written()
    log = log_to(written)
    log.call_finished(FINISHED)
    log.close()
    assert json.loads(written.lines[0]) == {
        "time": "2026-11-23T06:25:02.250Z",
        "id": "req_1",
        "request": "POST /v1/chat/completions",
        "group": "gpt-4.1",
        "endpoint": "east",
        "status": 200,
        "attempts": 2,
        "first_byte_ms": 12.345,
        "total_ms": 1500.0,
        "overhead_ms": 0.045,
        "input_tokens": 10,
        "output_tokens": 20,
        "cached_tokens": 5,
    }


@bounded()
async def test_the_bytes_of_a_json_line_are_what_log_parsers_expect():
    """Order, spelling and number format are a public contract."""
    steps = [
        PassedOver("east", 0.0, "breaker open"),
        Attempt("west", 0.0, 0.25, FAILED, 500, "server_error", NEXT),
        FellBack("small", 0.3),
        Attempt("north", 0.3, 0.0625, ANSWERED, 200),
    ]
    written = Written()
    log = log_to(written, steps=True)
    full = {"client": "10.0.0.9", "caller": "team-a", "cache": "miss", "fallback": "small"}
    log.call_finished(finished_call(steps=steps, error="upstream_stream_interrupted", **full))
    bare = {"id": "", "group": None, "endpoint": None, "attempts": 0, "status": 404}
    log.call_finished(finished_call(**bare, first_byte_s=None, usage=None, error="not_found"))
    log.close()
    assert b"".join(written.blocks) == (
        b'{"time":"2026-11-23T06:25:02.250Z","id":"req_1",'
        b'"request":"POST /v1/chat/completions","group":"gpt-4.1","endpoint":"east","status":200,'
        b'"attempts":2,"first_byte_ms":12.345,"total_ms":1500.0,"overhead_ms":0.045,'
        b'"input_tokens":10,"output_tokens":20,"cached_tokens":5,"client":"10.0.0.9",'
        b'"caller":"team-a","cache":"miss","error":"upstream_stream_interrupted",'
        b'"steps":"skipped east (breaker open); west failed 500 (server_error) after 250.0 ms, '
        b'then next endpoint; fell back to group small; north answered 200 after 62.5 ms"}\n'
        b'{"time":"2026-11-23T06:25:02.250Z","id":null,"request":"POST /v1/chat/completions",'
        b'"group":null,"endpoint":null,"status":404,"attempts":0,"first_byte_ms":null,'
        b'"total_ms":1500.0,"overhead_ms":0.045,"error":"not_found",'
        b'"steps":"no endpoint was asked"}\n'
    )


@bounded()
async def test_the_bytes_of_a_line_for_people_do_not_change():
    written = Written()
    log = log_to(written, human=True, steps=True)
    log.call_finished(finished_call(endpoint=None, cache="hit", attempts=0, first_byte_s=None))
    log.call_finished(finished_call(group=None, endpoint=None, usage=None, status=404))
    log.close()
    assert b"".join(written.blocks) == (
        b"06:25:02.250 200 POST /v1/chat/completions gpt-4.1 -> the cache: 1500 ms, "
        b"overhead 0.04 ms, 10+20 tokens | no endpoint was asked\n"
        b"06:25:02.250 404 POST /v1/chat/completions - -> - after 2 attempts: 1500 ms, "
        b"first byte 12 ms, overhead 0.04 ms | no endpoint was asked\n"
    )


@bounded()
async def test_a_line_for_people_reads_like_a_sentence():
    written = Written()
    log = log_to(written, human=True)
    log.call_finished(FINISHED)
    log.call_finished(finished_call(status=503, error="no_endpoint_available"))
    log.close()
    first, second = written.lines
    assert first == (
        "06:25:02.250 200 POST /v1/chat/completions gpt-4.1 -> east after 2 attempts: 1500 ms, "
        "first byte 12 ms, overhead 0.04 ms, 10+20 tokens"
    )
    assert second.endswith("[no_endpoint_available]")


@bounded()
async def test_lines_are_written_soon_and_in_order():
    written = Written()
    log = log_to(written)
    for status in range(200, 210):
        log.call_finished(finished_call(status=status))
    await until(lambda: len(written.lines) == 10)
    assert [json.loads(line)["status"] for line in written.lines] == list(range(200, 210))
    log.close()


@bounded()
async def test_a_call_that_ends_after_the_log_was_closed_is_written_too():
    """A second Ctrl+C ends calls when all else is closed."""
    written = Written()
    log = log_to(written)
    log.call_finished(FINISHED)
    log.close()
    log.call_finished(FINISHED)
    await asyncio.sleep(0.3)  # a timer would have fired
    assert len(written.lines) == 2


@bounded()
async def test_a_stuck_reader_delays_no_call_and_the_backlog_is_bounded():
    written = Written()
    written.may_write.clear()
    log = log_to(written)
    log.call_finished(FINISHED)
    await until(lambda: written.begun)  # the writer is blocked now
    began_at = asyncio.get_running_loop().time()
    for _ in range(MAX_PENDING_LINES + 500):
        log.call_finished(FINISHED)
    assert asyncio.get_running_loop().time() - began_at < 30, "one has waited for the writer"
    written.may_write.set()
    log.close()
    assert log.dropped == 500
    assert len(written.lines) == MAX_PENDING_LINES + 1


@bounded()
async def test_a_closed_pipe_loses_lines_and_nothing_else():
    def broken(block):
        raise BrokenPipeError

    log = AccessLog(broken, human=False)
    log.call_finished(FINISHED)
    await asyncio.sleep(0.2)
    log.call_finished(FINISHED)
    log.close()
    assert log.dropped == 2


@bounded()
async def test_a_long_path_is_cut_so_that_a_pipe_takes_the_line_whole():
    written = Written()
    log = log_to(written)
    log.call_finished(finished_call(line='POST /"' + "x" * 60_000))
    log.close()
    (line,) = written.lines
    assert json.loads(line)["request"].startswith('POST /"xxx')
    assert len(line) < select.PIPE_BUF


def block_of(writer, lines, length=300):
    """Return lines that start with their writer and number, all of one length."""
    return b"".join(
        f"{writer}:{number}:".encode().ljust(length, b"x") + b"\n" for number in range(lines)
    )


def lines_of_writers_that_share_a_pipe(write_to_pipe, writers=4, lines=2_000):
    """Return the lines that arrive when threads share a pipe that is read in small pieces."""
    read, write = os.pipe()
    write_block = write_to_pipe(write)
    blocks = [block_of(writer, lines) for writer in range(writers)]
    threads = [threading.Thread(target=write_block, args=[block]) for block in blocks]
    for thread in threads:
        thread.start()
    arrived = b""
    while len(arrived) < sum(map(len, blocks)):
        arrived += os.read(read, 5_000)
        time.sleep(0.0002)
    for thread in threads:
        thread.join()
    os.close(read)
    os.close(write)
    return arrived.splitlines(), sorted(b"".join(blocks).splitlines())


def test_lines_stay_whole_when_several_writers_share_a_pipe():
    arrived, written = lines_of_writers_that_share_a_pipe(write_lines_to)
    assert sorted(arrived) == written


def test_plain_writes_to_a_shared_pipe_mix_lines():
    """Proves that the test above can fail."""
    arrived, written = lines_of_writers_that_share_a_pipe(write_to)
    assert sorted(arrived) != written


@pytest.mark.parametrize("length", [1, 300, select.PIPE_BUF - 1, select.PIPE_BUF, 20_000])
def test_lines_of_any_length_arrive_unchanged_and_in_order(tmp_path, length):
    block = block_of(7, 40, length)
    with (tmp_path / "log").open("wb") as file:
        write_lines_to(file.fileno())(block)
        write_lines_to(file.fileno())(b"")
    assert (tmp_path / "log").read_bytes() == block


@pytest.mark.parametrize(
    ("state", "for_s", "level", "said"),
    [
        ("open", 60.0, "WARNING", "g e gets no calls for 60 s (breaker open): why"),
        ("half-open", None, "WARNING", "gets one call, to see"),
        ("closed", None, "WARNING", "g e gets calls again"),
        ("cooling", 12.4, "WARNING", "gets no calls for 12 s (cooling down)"),
        ("misconfigured", 300.0, "ERROR", "gets no calls for 300 s (misconfigured)"),
        ("suspect", None, "ERROR", "looks misconfigured, and still gets calls"),
        ("drained", None, "WARNING", "gets no new calls (drained)"),
        ("enabled", None, "WARNING", "gets calls again"),
        ("cleared", None, "WARNING", "gets calls again"),
    ],
)
def test_the_log_says_whether_an_endpoint_gets_calls(state, for_s, level, said, caplog):
    log = AccessLog(lambda _: None, human=False)
    log.endpoint_state_changed(EndpointStateChanged("g", "e", EndpointChange(state), "why", for_s))
    (record,) = caplog.records
    assert record.levelname == level
    assert said in record.getMessage()
    log.close()
