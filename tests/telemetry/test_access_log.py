"""The access log: what a line says, and that a stuck log delays nobody."""

import asyncio
import json
import os
import select
import threading
import time

import msgspec
import pytest

from llmproxy.calls import Usage
from llmproxy.events import CallFinished
from llmproxy.steps import Attempt, PassedOver
from llmproxy.telemetry.access_log import MAX_PENDING_LINES, AccessLog, write_lines_to, write_to
from tests.support.run import bounded

FINISHED = CallFinished(
    ended_at=1_795_415_102.25,
    received_at=0.0,
    id="req_1",
    request="POST /v1/chat/completions",
    group="gpt-4.1",
    endpoint="east",
    status=200,
    attempts=2,
    first_byte_s=0.0123456,
    total_s=1.5,
    overhead_s=0.000045,
    usage=Usage(10, 20, 5),
    error=None,
)


class Written:
    def __init__(self):
        self.blocks = []
        self.may_write = threading.Event()
        self.may_write.set()

    def __call__(self, block):
        self.may_write.wait(10)
        self.blocks.append(block)

    @property
    def lines(self):
        return b"".join(self.blocks).decode().splitlines()


def log_to(written, **options):
    return AccessLog(written, **{"human": False, **options})


@pytest.mark.parametrize("human", [True, False], ids=["text", "json"])
@bounded()
async def test_a_line_tells_why_the_call_went_where_it_went_if_it_is_wanted(human):
    steps = [PassedOver("east", 0.0, "breaker open"), Attempt("west", 0.0, 0.25, "answered", 200)]
    event = msgspec.structs.replace(FINISHED, steps=steps)
    told = "skipped east (breaker open); west answered 200 after 250.0 ms"
    for wanted in (True, False):
        written = Written()
        log = log_to(written, human=human, steps=wanted)
        log.call_finished(event)
        log.close()
        (line,) = written.lines
        assert (told in line) == wanted
        assert human or json.loads(line).get("steps") == (told if wanted else None)


@bounded()
async def test_a_json_line_tells_the_call():
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
async def test_a_line_for_people_reads_like_a_sentence():
    written = Written()
    log = log_to(written, human=True)
    log.call_finished(FINISHED)
    log.call_finished(msgspec.structs.replace(FINISHED, status=503, error="no_endpoint_available"))
    log.close()
    first, second = written.lines
    assert first == (
        "06:25:02.250 200 POST /v1/chat/completions gpt-4.1 -> east after 2 attempts: 1500 ms, "
        "first byte 12 ms, overhead 0.04 ms, 10+20 tokens"
    )
    assert second.endswith("[no_endpoint_available]")


@bounded()
async def test_lines_come_in_time_and_in_order_without_being_asked_for():
    written = Written()
    log = log_to(written)
    for status in range(200, 210):
        log.call_finished(msgspec.structs.replace(FINISHED, status=status))
    await asyncio.sleep(0.3)
    assert [json.loads(line)["status"] for line in written.lines] == list(range(200, 210))
    log.close()


@bounded()
async def test_a_stuck_log_delays_nobody_and_is_bounded():
    written = Written()
    written.may_write.clear()
    log = log_to(written)
    log.call_finished(FINISHED)
    await asyncio.sleep(0.2)  # the writer hangs now
    began_at = asyncio.get_running_loop().time()
    for _ in range(MAX_PENDING_LINES + 500):
        log.call_finished(FINISHED)
    assert asyncio.get_running_loop().time() - began_at < 2
    written.may_write.set()
    await asyncio.sleep(0.3)
    log.close()
    assert log.dropped == 500
    assert len(written.lines) == MAX_PENDING_LINES + 1


@bounded()
async def test_a_closed_pipe_costs_lines_only():
    def broken(block):
        raise BrokenPipeError

    log = AccessLog(broken, human=False)
    log.call_finished(FINISHED)
    await asyncio.sleep(0.2)
    log.call_finished(FINISHED)
    log.close()
    assert log.dropped == 2


@bounded()
async def test_a_path_of_any_length_leaves_a_line_that_a_pipe_takes_whole():
    written = Written()
    log = log_to(written)
    log.call_finished(msgspec.structs.replace(FINISHED, request='POST /"' + "x" * 60_000))
    log.close()
    (line,) = written.lines
    assert json.loads(line)["request"].startswith('POST /"xxx')
    assert len(line) < select.PIPE_BUF


def block_of(writer, lines, length=300):
    """Lines that say whose they are and how long they must be."""
    return b"".join(
        f"{writer}:{number}:".encode().ljust(length, b"x") + b"\n" for number in range(lines)
    )


def lines_of_writers_that_share_a_pipe(write_to_pipe, writers=4, lines=2_000):
    """What arrives of blocks that some threads write to a pipe, which is read in small bites."""
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


def test_lines_stay_whole_where_several_write_to_one_pipe():
    arrived, written = lines_of_writers_that_share_a_pipe(write_lines_to)
    assert sorted(arrived) == written


def test_without_care_they_would_not():
    """This is what the test above would see; it proves that it can see it."""
    arrived, written = lines_of_writers_that_share_a_pipe(write_to)
    assert sorted(arrived) != written


@pytest.mark.parametrize("length", [1, 300, select.PIPE_BUF - 1, select.PIPE_BUF, 20_000])
def test_lines_of_any_length_arrive_unchanged_and_in_order(tmp_path, length):
    block = block_of(7, 40, length)
    with (tmp_path / "log").open("wb") as file:
        write_lines_to(file.fileno())(block)
        write_lines_to(file.fileno())(b"")
    assert (tmp_path / "log").read_bytes() == block
