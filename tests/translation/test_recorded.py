"""Requests and whole answers as vendors document and clients send them, with what becomes of them.

Each file has its source, and what it is translated into for each other dialect, with what is named
of it as not carried. `RECORD=1` writes the latter anew; read what changed.
"""

import json
import os
from pathlib import Path

import pytest

from llmproxy.batteries.translation.hub import Destination, Question
from llmproxy.batteries.translation.languages import LANGUAGES

FOLDER = Path(__file__).parent / "recorded"
DESTINATIONS = {
    "chat": Destination(provider="openai", model="gpt-5.2", max_output_tokens=8192),
    "messages": Destination(provider="anthropic", model="claude-opus-4-8", max_output_tokens=8192),
    "responses": Destination(provider="openai", model="gpt-5.2", max_output_tokens=8192),
}
# Made anew for each answer of Responses.
CHANGING = ("id", "created_at", "completed_at")


def files(folder):
    paths = sorted((FOLDER / folder).glob("*.json"))
    assert paths
    return pytest.mark.parametrize("path", paths, ids=[path.stem for path in paths])


def compare(path, recorded, found):
    """Compare what was found with what the file says, or write it there."""
    if os.environ.get("RECORD"):
        path.write_text(json.dumps({**recorded, **found}, indent=1, ensure_ascii=False) + "\n")
    else:
        assert {name: recorded.get(name) for name in found} == found


def translated_request(path, dialect):
    recorded = json.loads(path.read_text())
    question = LANGUAGES[dialect].read_question(json.dumps(recorded["request"]).encode())
    found = {"not_carried": list(question.unknown)}
    for name in sorted(LANGUAGES.keys() - {dialect}):
        written = LANGUAGES[name].write_question(question, DESTINATIONS[name])
        lost, hints = list(written.lost), list(written.hints)
        found[f"as_{name}"] = {"lost": lost, "hints": hints, "request": json.loads(written.body)}
    compare(path, recorded, found)


@files("messages")
def test_a_messages_request_is_translated_as_recorded(path):
    translated_request(path, "messages")


@files("chat")
def test_a_chat_request_is_translated_as_recorded(path):
    translated_request(path, "chat")


@files("answers")
def test_an_answer_is_translated_as_recorded(path):
    recorded = json.loads(path.read_text())
    dialect = recorded["dialect"]
    answer = LANGUAGES[dialect].read_answer(json.dumps(recorded["answer"]).encode())
    found = {}
    for name in sorted(LANGUAGES.keys() - {dialect}):
        found[f"as_{name}"] = steady(json.loads(LANGUAGES[name].write_answer(answer, Question())))
    compare(path, recorded, found)


def steady(value):
    """An answer without what is made anew each time."""
    if isinstance(value, list):
        return [steady(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        name: "..." if name in CHANGING and name != "id" else steady(item)
        for name, item in value.items()
    }
