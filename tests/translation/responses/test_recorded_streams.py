"""Streams as vendors send them, between the Responses API and the other dialects.

Each file has the events, mostly of documentation; `told`: what the hub reads of them; and what a
client gets in another dialect: the last event of the Responses API, which holds the whole answer,
or the whole answers of chat and messages. `RECORD=1` writes these anew; read what changed.
"""

import json
import os
from pathlib import Path

import msgspec
import pytest

from llmproxy.batteries.translation.chat.language import CHAT_LANGUAGE
from llmproxy.batteries.translation.hub import (
    AnswerFailed,
    Question,
    SignOfLife,
    Tool,
    UnreadableAnswer,
)
from llmproxy.batteries.translation.messages.language import MESSAGES_LANGUAGE
from llmproxy.batteries.translation.responses.language import RESPONSES_LANGUAGE
from llmproxy.operations.sse import event_of
from tests.translation.responses.values import told
from tests.translation.streams import answer_of, read_in_pieces

FOLDER = Path(__file__).parent.parent / "recorded" / "streams"
LANGUAGES = {
    "chat": CHAT_LANGUAGE,
    "messages": MESSAGES_LANGUAGE,
    "responses": RESPONSES_LANGUAGE,
}
ASKED = Question(stream=True, tools=(Tool(name="get_weather"), Tool(name="list_files")))


def events_read(recorded, size):
    named = recorded["dialect"] != "chat"
    stream = b"".join(
        event_of(event["type"] if named else None, event) for event in recorded["events"]
    )
    return read_in_pieces(LANGUAGES[recorded["dialect"]].event_reader(), stream, size)


def written_in(dialect, events):
    """What a client of another dialect gets of these events."""
    language = LANGUAGES[dialect]
    if isinstance(events[-1], AnswerFailed):
        return json.loads(language.write_failure(events[-1].failure))
    if dialect == "responses":
        return told(language.event_writer(ASKED).write(events))[-1]["response"]
    try:
        return json.loads(language.write_answer(answer_of(events), ASKED))
    except UnreadableAnswer as error:  # a custom call, which no client of messages asks for
        return str(error)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_a_recorded_stream_is_translated_as_it_was(path):
    recorded = json.loads(path.read_text())
    events = [event for event in events_read(recorded, 50) if not isinstance(event, SignOfLife)]
    failed = isinstance(events[-1], AnswerFailed)
    hub = events[-1].failure if failed else answer_of(events)
    found = {"told": msgspec.to_builtins(hub, enc_hook=lambda value: value.value)}
    others = ["responses"] if recorded["dialect"] != "responses" else ["chat", "messages"]
    found |= {f"as_{dialect}": written_in(dialect, events) for dialect in others}
    found = json.loads(json.dumps(found))
    if os.environ.get("RECORD"):
        path.write_text(json.dumps({**recorded, **found}, indent=1, ensure_ascii=False) + "\n")
    else:
        assert {name: recorded.get(name) for name in found} == found
