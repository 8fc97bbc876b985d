"""Chat as a Language: its readers and writers in one object."""

from __future__ import annotations

from functools import partial

from llmproxy.batteries.translation.chat.answers import read_answer, write_answer
from llmproxy.batteries.translation.chat.read_events import ChatEventReader
from llmproxy.batteries.translation.chat.read_question import read_question
from llmproxy.batteries.translation.chat.write_events import ChatEventWriter
from llmproxy.batteries.translation.chat.write_question import write_question
from llmproxy.batteries.translation.failures import read_failure, write_failure
from llmproxy.batteries.translation.hub import Language
from llmproxy.operations import CHAT

CHAT_LANGUAGE = Language(
    path="chat/completions",
    read_question=read_question,
    write_question=write_question,
    read_answer=read_answer,
    write_answer=write_answer,
    event_reader=ChatEventReader,
    event_writer=ChatEventWriter,
    read_failure=read_failure,
    write_failure=partial(write_failure, dialect=CHAT),
)
