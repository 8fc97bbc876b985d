"""What is held of a client's message until it is whole."""

import pytest
from websockets.frames import Frame, Opcode

from llmproxy.batteries.websockets.client_messages import HeldMessage


@pytest.mark.parametrize("count", [1, 999, 1000, 1001, 25_000])
@pytest.mark.parametrize("data", [b"", b"x"])
def test_a_message_in_many_pieces_is_held_in_few_and_stays_what_it_is(count, data):
    held = HeldMessage()
    for number in range(count):
        opcode = Opcode.CONT if number else Opcode.TEXT
        held.add(Frame(opcode, data, fin=number == count - 1))
    assert len(held.frames) <= 1000 + count / 1000
    first, *others = held.frames
    assert first.opcode is Opcode.TEXT
    assert all(frame.opcode is Opcode.CONT for frame in others)
    assert [frame.fin for frame in held.frames] == [False] * len(others) + [True]
    assert b"".join(frame.data for frame in held.frames) == data * count
