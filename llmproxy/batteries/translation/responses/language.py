"""The Responses API as a Language: its readers and writers in one object."""

from __future__ import annotations

from llmproxy.batteries.translation.failures import read_failure
from llmproxy.batteries.translation.hub import Language
from llmproxy.batteries.translation.responses.failures import write_failure
from llmproxy.batteries.translation.responses.read_answer import read_answer
from llmproxy.batteries.translation.responses.read_question import read_question
from llmproxy.batteries.translation.responses.stream_reader import ResponsesEventReader
from llmproxy.batteries.translation.responses.stream_writer import (
    ResponsesEventWriter,
    write_answer,
)
from llmproxy.batteries.translation.responses.write_question import write_question

RESPONSES_LANGUAGE = Language(
    path="responses",
    read_question=read_question,
    write_question=write_question,
    read_answer=read_answer,
    write_answer=write_answer,
    event_reader=ResponsesEventReader,
    event_writer=ResponsesEventWriter,
    read_failure=read_failure,
    write_failure=write_failure,
)
