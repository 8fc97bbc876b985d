"""Workers read each other's messages whole or not at all."""

import os
import signal
from time import monotonic, sleep

import pytest

from llmproxy.batteries.telemetry.shared_memory import SharedMemory, SlotFull


def test_a_slot_holds_its_last_message_only():
    memory = SharedMemory(workers=3, slots=2)
    assert memory.read(1, 0) is None
    memory.write(1, 0, b"one")
    memory.write(1, 1, b"other slot")
    memory.write(2, 0, b"other worker")
    assert memory.read(1, 0) == b"one"
    memory.write(1, 0, b"a longer text")
    memory.write(1, 0, b"short")
    assert memory.read(1, 0) == b"short"
    assert memory.read(1, 1) == b"other slot"
    assert list(memory.read_others(1, 0)) == [b"other worker"]


def test_a_message_that_is_too_long_is_refused_and_the_old_one_stays():
    memory = SharedMemory(workers=1, slots=1, buffer_bytes=64)
    memory.write(0, 0, b"a" * 56)
    with pytest.raises(SlotFull, match="57 bytes"):
        memory.write(0, 0, b"b" * 57)
    assert memory.read(0, 0) == b"a" * 56


def test_an_empty_message_is_a_message():
    memory = SharedMemory(workers=1, slots=1)
    memory.write(0, 0, b"")
    assert memory.read(0, 0) == b""


def test_a_reader_in_another_process_never_gets_half_a_message():
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


def test_the_last_message_survives_the_death_of_its_writer():
    memory = SharedMemory(workers=1, slots=1)
    writer = os.fork()
    if writer == 0:
        memory.write(0, 0, b"last message")
        while True:
            sleep(1)
    while memory.read(0, 0) is None:
        sleep(0.001)
    os.kill(writer, signal.SIGKILL)
    os.waitpid(writer, 0)
    assert memory.read(0, 0) == b"last message"
