"""Messages as a Language: its readers and writers in one object."""

from __future__ import annotations

from functools import partial

from llmproxy.batteries.translation.failures import read_failure, write_failure
from llmproxy.batteries.translation.hub import Language
from llmproxy.batteries.translation.messages.answers import read_answer, write_answer
from llmproxy.batteries.translation.messages.read_events import MessagesEventReader
from llmproxy.batteries.translation.messages.read_question import read_question
from llmproxy.batteries.translation.messages.write_events import MessagesEventWriter
from llmproxy.batteries.translation.messages.write_question import write_question
from llmproxy.operations import MESSAGES

MESSAGES_LANGUAGE = Language(
    path="messages",
    read_question=read_question,
    write_question=write_question,
    read_answer=read_answer,
    write_answer=write_answer,
    event_reader=MessagesEventReader,
    event_writer=MessagesEventWriter,
    read_failure=read_failure,
    write_failure=partial(write_failure, dialect=MESSAGES),
)
