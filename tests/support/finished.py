"""Events of finished calls."""

from llmproxy.events import CallFinished
from llmproxy.operations import Usage
from llmproxy.record import AnswerSummary, CacheResult, CallRecord, RequestSummary


def finished_call(**changes):
    """Return a finished call: retried once, answered after 1.5 s. `changes` go to its parts."""
    parts = {
        RequestSummary: {"line": "POST /v1/chat/completions", "id": "req_1"},
        AnswerSummary: {"status": 200, "usage": Usage(10, 20, 5)},
        CallRecord: {"group": "gpt-4.1", "endpoint": "east", "attempts": 2},
        CallFinished: {
            "ended_at": 1_795_415_102.25,
            "total_s": 1.5,
            "first_byte_s": 0.0123456,
            "overhead_s": 0.000045,
        },
    }
    for name, value in changes.items():
        (part,) = [part for part in parts if name in part.__struct_fields__]
        parts[part][name] = value
    if changes.get("cache") is not None:
        parts[CallRecord]["cache"] = CacheResult(changes["cache"])
    request = RequestSummary(**parts[RequestSummary])
    answer = AnswerSummary(**parts[AnswerSummary])
    record = CallRecord(request=request, answer=answer, **parts[CallRecord])
    return CallFinished(record=record, **parts[CallFinished])


def answered_call(status=200, **changes):
    """Return a call that its first attempt answered, without usage."""
    straight = {"group": "g", "endpoint": "e", "attempts": 1, "usage": None}
    times = {"ended_at": 1.0, "first_byte_s": 0.2, "total_s": 0.3, "overhead_s": 0.0001}
    return finished_call(status=status, **straight | times | changes)
