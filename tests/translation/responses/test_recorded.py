"""Requests as Codex and the Agents SDK send them, with what becomes of them.

Each file has the request, with texts of ours in place of long ones; `not_carried`, what is named
of it; and the requests for an endpoint that speaks messages or chat. `RECORD=1` writes the latter
three anew; read what changed.
"""

import json
import os
from pathlib import Path

import pytest

from llmproxy.batteries.translation.chat.language import CHAT_LANGUAGE
from llmproxy.batteries.translation.hub import Destination
from llmproxy.batteries.translation.messages.language import MESSAGES_LANGUAGE
from llmproxy.batteries.translation.responses.language import RESPONSES_LANGUAGE

FOLDER = Path(__file__).parent.parent / "recorded" / "responses"
OTHERS = {
    "as_messages": (
        MESSAGES_LANGUAGE,
        Destination(provider="anthropic", model="claude-opus-4-8", max_output_tokens=4096),
    ),
    "as_chat": (
        CHAT_LANGUAGE,
        Destination(provider="vllm", model="qwen3", max_output_tokens=4096),
    ),
}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_a_recorded_request_is_translated_as_it_was(path):
    recorded = json.loads(path.read_text())
    question = RESPONSES_LANGUAGE.read_question(json.dumps(recorded["request"]).encode())
    found = {"not_carried": list(question.unknown)}
    for name, (language, destination) in OTHERS.items():
        written = language.write_question(question, destination)
        lost, hints = list(written.lost), [*question.hints, *written.hints]
        found[name] = {"lost": lost, "hints": hints, "request": json.loads(written.body)}
    if os.environ.get("RECORD"):
        path.write_text(json.dumps({**recorded, **found}, indent=1, ensure_ascii=False) + "\n")
    else:
        assert {name: recorded.get(name) for name in found} == found
