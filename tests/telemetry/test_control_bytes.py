"""Control characters reach no terminal, whoever wrote them."""

import io
import logging

import pytest

from llmproxy.batteries.telemetry.access_log import AccessLog
from llmproxy.process import TerminalFormatter
from tests.support.finished import finished_call
from tests.support.run import bounded

ODD = "a\x9b31m\x90\x9d\x1b[0m\x7f"


def test_a_line_for_operators_has_none():
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(TerminalFormatter("%(message)s"))
    handler.emit(logging.LogRecord("x", logging.ERROR, "", 0, "%s\tb\nc", (ODD,), None))

    assert stream.getvalue() == "a?31m???[0m?\tb\nc\n"


@pytest.mark.parametrize("human", [True, False])
@bounded()
async def test_a_line_of_the_access_log_has_none(human):
    blocks = []
    log = AccessLog(blocks.append, human=human)
    log.call_finished(finished_call(line="GET /v1/\x9b31m\xe9"))
    log.close()

    text = b"".join(blocks).decode()
    assert "GET /v1/?31m\xe9" in text
    assert not any(0x7F <= ord(char) < 0xA0 for char in text)
