"""What workers show each other: whole, or not at all."""

import os
import signal
from time import monotonic, sleep

import pytest

from llmproxy.telemetry.board import Board, SheetFull


def test_a_sheet_shows_what_was_written_last_and_only_its_own():
    board = Board(places=3, sheets=2)
    assert board.read(1, 0) is None
    board.write(1, 0, b"one")
    board.write(1, 1, b"other sheet")
    board.write(2, 0, b"other place")
    assert board.read(1, 0) == b"one"
    board.write(1, 0, b"a longer text")
    board.write(1, 0, b"short")
    assert board.read(1, 0) == b"short"
    assert board.read(1, 1) == b"other sheet"
    assert list(board.others(1, 0)) == [b"other place"]


def test_what_is_too_long_is_refused_and_the_old_text_stays():
    board = Board(places=1, sheets=1, half_bytes=64)
    board.write(0, 0, b"a" * 56)
    with pytest.raises(SheetFull, match="57 bytes"):
        board.write(0, 0, b"b" * 57)
    assert board.read(0, 0) == b"a" * 56


def test_an_empty_text_is_shown_too():
    board = Board(places=1, sheets=1)
    board.write(0, 0, b"")
    assert board.read(0, 0) == b""


def test_a_reader_in_another_process_never_sees_a_half_written_sheet():
    board = Board(places=1, sheets=1, half_bytes=1 << 16)
    writer = os.fork()
    if writer == 0:
        number = 0
        while True:
            number = (number + 1) % 256
            board.write(0, 0, bytes([number]) * (1000 + 200 * number))
    try:
        seen, ends_at = set(), monotonic() + 1.0
        while monotonic() < ends_at:
            text = board.read(0, 0)
            if text:
                assert text == bytes([text[0]]) * (1000 + 200 * text[0])
                seen.add(text[0])
        assert len(seen) > 10
    finally:
        os.kill(writer, signal.SIGKILL)
        os.waitpid(writer, 0)


def test_a_writer_that_was_killed_leaves_what_it_had_shown():
    board = Board(places=1, sheets=1)
    writer = os.fork()
    if writer == 0:
        board.write(0, 0, b"its last word")
        while True:
            sleep(1)
    while board.read(0, 0) is None:
        sleep(0.001)
    os.kill(writer, signal.SIGKILL)
    os.waitpid(writer, 0)
    assert board.read(0, 0) == b"its last word"
