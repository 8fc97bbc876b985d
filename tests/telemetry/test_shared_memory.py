"""What workers show each other: whole, or not at all."""

import os
import signal
from time import monotonic, sleep

import pytest

from llmproxy.telemetry.shared_memory import SharedMemory, SlotFull


def test_a_sheet_shows_what_was_written_last_and_only_its_own():
    memory = SharedMemory(workers=3, slots=2)
    assert memory.read(1, 0) is None
    memory.write(1, 0, b"one")
    memory.write(1, 1, b"other sheet")
    memory.write(2, 0, b"other place")
    assert memory.read(1, 0) == b"one"
    memory.write(1, 0, b"a longer text")
    memory.write(1, 0, b"short")
    assert memory.read(1, 0) == b"short"
    assert memory.read(1, 1) == b"other sheet"
    assert list(memory.read_others(1, 0)) == [b"other place"]


def test_what_is_too_long_is_refused_and_the_old_text_stays():
    memory = SharedMemory(workers=1, slots=1, buffer_bytes=64)
    memory.write(0, 0, b"a" * 56)
    with pytest.raises(SlotFull, match="57 bytes"):
        memory.write(0, 0, b"b" * 57)
    assert memory.read(0, 0) == b"a" * 56


def test_an_empty_text_is_shown_too():
    memory = SharedMemory(workers=1, slots=1)
    memory.write(0, 0, b"")
    assert memory.read(0, 0) == b""


def test_a_reader_in_another_process_never_sees_a_half_written_sheet():
    memory = SharedMemory(workers=1, slots=1, buffer_bytes=1 << 16)
    writer = os.fork()
    if writer == 0:
        number = 0
        while True:
            number = (number + 1) % 256
            memory.write(0, 0, bytes([number]) * (1000 + 200 * number))
    try:
        seen, ends_at = set(), monotonic() + 1.0
        while monotonic() < ends_at:
            text = memory.read(0, 0)
            if text:
                assert text == bytes([text[0]]) * (1000 + 200 * text[0])
                seen.add(text[0])
        assert len(seen) > 10
    finally:
        os.kill(writer, signal.SIGKILL)
        os.waitpid(writer, 0)


def test_a_writer_that_was_killed_leaves_what_it_had_shown():
    memory = SharedMemory(workers=1, slots=1)
    writer = os.fork()
    if writer == 0:
        memory.write(0, 0, b"its last word")
        while True:
            sleep(1)
    while memory.read(0, 0) is None:
        sleep(0.001)
    os.kill(writer, signal.SIGKILL)
    os.waitpid(writer, 0)
    assert memory.read(0, 0) == b"its last word"
