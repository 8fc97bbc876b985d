"""Finished calls, for the tests of those that read them."""

from llmproxy.calls import Usage
from llmproxy.events import CallFinished


def finished_call(**changes):
    """Return a finished call: retried once, answered after 1.5 s, with some fields changed."""
    fields = {
        "ended_at": 1_795_415_102.25,
        "received_at": 0.0,
        "id": "req_1",
        "request": "POST /v1/chat/completions",
        "group": "gpt-4.1",
        "endpoint": "east",
        "status": 200,
        "attempts": 2,
        "first_byte_s": 0.0123456,
        "total_s": 1.5,
        "overhead_s": 0.000045,
        "usage": Usage(10, 20, 5),
        "error": None,
    }
    if changes.get("id") == "":
        changes["id"] = None
    return CallFinished(**fields | changes)
