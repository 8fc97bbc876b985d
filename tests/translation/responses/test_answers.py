"""Answers of the Responses API: what clients need of them, and what servers leave out."""

import json

import pytest

from llmproxy.batteries.translation.hub import (
    AnswerFailed,
    AnswerFinished,
    AnswerStarted,
    FinishReason,
    ModelAnswer,
    ModelFailure,
    PartEnded,
    PartGrew,
    PartStarted,
    PlainText,
    Question,
    Refusal,
    SignOfLife,
    Thinking,
    Tool,
    ToolCall,
)
from llmproxy.batteries.translation.hub.language import UnreadableAnswer
from llmproxy.batteries.translation.responses.language import RESPONSES_LANGUAGE
from llmproxy.operations.dialects import RESPONSES as DIALECT
from tests.translation.responses.values import told
from tests.translation.streams import answer_of

RESPONSES = RESPONSES_LANGUAGE


def written(*parts, finish=FinishReason.DONE, **question):
    answer = ModelAnswer(id="msg_1", model="m", parts=parts, finish=finish)
    return json.loads(RESPONSES.write_answer(answer, Question(**question)))


# ---- written for clients


def test_texts_that_follow_each_other_are_one_message():
    a, b = PlainText(text="a"), PlainText(text="b")
    call = ToolCall(id="c", name="f", arguments="{}")
    output = written(a, b, call, a)["output"]
    assert [item["type"] for item in output] == ["message", "function_call", "message"]
    assert [part["text"] for part in output[0]["content"]] == ["a", "b"]


def test_ids_have_the_beginnings_that_openai_asks_for():
    parts = (
        Thinking(text="t"),
        PlainText(text="a"),
        ToolCall(id="c", name="f", arguments="{}"),
        ToolCall(id="c", name="f", arguments="x", freeform=True),
    )
    response = written(*parts)
    assert response["id"] == "resp_msg_1"
    prefixes = [item["id"].split("_")[0] for item in response["output"]]
    assert prefixes == ["rs", "msg", "fc", "ctc"]
    assert len({item["id"] for item in response["output"]}) == 4


def test_a_signature_comes_back_with_the_text_that_it_seals():
    thinking = Thinking(text="Let me see.", signature="of Anthropic")
    item = written(thinking)["output"][0]
    assert item["summary"] == [{"type": "summary_text", "text": "Let me see."}]
    shortened = {**item, "summary": []}  # clients may cut the summary
    body = json.dumps({"model": "m", "input": [{"role": "user", "content": "Hi"}, shortened]})
    (part,) = RESPONSES.read_question(body.encode()).turns[1].parts
    assert (part.text, part.signature) == ("Let me see.", "of Anthropic")
    assert part.encrypted is None


@pytest.mark.parametrize("changed", ["gAAAAA", "llmproxy-1.???", "llmproxy-1.", "llmproxy-1.aaaa"])
def test_encrypted_content_of_others_stays_as_it_is(changed):
    item = {"type": "reasoning", "summary": [], "encrypted_content": changed}
    body = json.dumps({"model": "m", "input": [item]})
    (part,) = RESPONSES.read_question(body.encode()).turns[0].parts
    assert (part.encrypted, part.signature) == (changed, None)


def test_thinking_that_its_own_vendor_would_refuse_is_left_out():
    parts = (Thinking(text="t", signature="s"), PlainText(text="a"))
    output = written(*parts, foreign_thinking=False)["output"]
    assert [item["type"] for item in output] == ["message"]


def test_thinking_without_a_seal_is_only_a_summary():
    item = written(Thinking(text="t"))["output"][0]
    assert (item["summary"][0]["text"], item["encrypted_content"]) == ("t", None)


PATCH = Tool(name="apply_patch", freeform=True)
READ = Tool(name="files__read", namespaced=("files", "read"))


def test_a_function_in_place_of_a_freeform_tool_is_a_custom_call():
    call = ToolCall(id="c", name="apply_patch", arguments='{"input": "*** Begin\\n"}')
    response = written(call, finish=FinishReason.TOOL_CALLS, tools=(PATCH,))
    (item,) = response["output"]
    assert (item["type"], item["name"]) == ("custom_tool_call", "apply_patch")
    assert (item["call_id"], item["input"]) == ("c", "*** Begin\n")


def test_a_freeform_tools_input_comes_in_one_piece():
    writer = RESPONSES.event_writer(Question(tools=(PATCH,)))
    events = [
        AnswerStarted("msg_1", "m"),
        PartStarted(0, ToolCall(id="c", name="apply_patch", arguments="")),
        PartGrew(0, '{"inp'),
        PartGrew(0, 'ut": "a\\nb"}'),
        PartEnded(0),
        AnswerFinished(FinishReason.TOOL_CALLS),
    ]
    kinds = {event["type"]: event for event in told(writer.write(events))}
    assert kinds["response.custom_tool_call_input.delta"]["delta"] == "a\nb"
    assert kinds["response.custom_tool_call_input.done"]["input"] == "a\nb"
    assert kinds["response.output_item.added"]["item"]["input"] == ""


def test_a_call_names_its_namespace():
    call = ToolCall(id="c", name="files__read", arguments="{}")
    (item,) = written(call, tools=(READ,))["output"]
    assert (item["namespace"], item["name"]) == ("files", "read")
    other = ToolCall(id="c", name="other__read", arguments="{}")
    assert "namespace" not in written(other, tools=(READ,))["output"][0]


@pytest.mark.parametrize(
    ("arguments", "expected"), [('{"query": "x"}', {"query": "x"}), ("", {}), ("[", {})]
)
def test_a_search_for_tools_is_one_of_the_client(arguments, expected):
    call = ToolCall(id="c", name="tool_search", arguments=arguments)
    (item,) = written(call, tools=(Tool(name="tool_search", finds_tools=True),))["output"]
    assert (item["type"], item["execution"]) == ("tool_search_call", "client")
    assert (item["call_id"], item["arguments"]) == ("c", expected)


def test_a_call_without_arguments_has_an_empty_object():
    call = ToolCall(id="c", name="f", arguments="")
    assert written(call)["output"][0]["arguments"] == "{}"


@pytest.mark.parametrize(
    ("finish", "status", "reason"),
    [
        (FinishReason.DONE, "completed", None),
        (FinishReason.TOOL_CALLS, "completed", None),
        (FinishReason.PAUSED, "completed", None),
        (FinishReason.OUTPUT_LIMIT, "incomplete", "max_output_tokens"),
        (FinishReason.CONTEXT_FULL, "incomplete", "max_output_tokens"),
        (FinishReason.REFUSED, "incomplete", "content_filter"),
    ],
)
def test_the_status_says_how_the_answer_ended(finish, status, reason):
    response = written(PlainText(text="a"), finish=finish)
    assert response["status"] == status
    assert (response["incomplete_details"] or {}).get("reason") == reason


def test_a_refusal_in_words_is_complete():
    response = written(Refusal(text="No."), finish=FinishReason.REFUSED)
    assert response["status"] == "completed"
    assert response["output"][0]["content"] == [{"type": "refusal", "refusal": "No."}]


# ---- a stream that breaks


FAILURE = ModelFailure(status=529, message="Overloaded", kind="overloaded_error")


def test_a_failure_in_the_middle_is_a_failed_response_with_what_was_done():
    writer = RESPONSES.event_writer(Question())
    events = [
        AnswerStarted("msg_1", "m"),
        PartStarted(0, ToolCall(id="c", name="f", arguments="{}")),
        PartEnded(0),
        PartStarted(1, PlainText(text="half")),
        AnswerFailed(FAILURE),
    ]
    last = told(writer.write(events))[-1]
    assert last["type"] == "response.failed"
    assert last["response"]["status"] == "failed"
    assert last["response"]["error"] == {"code": "server_is_overloaded", "message": "Overloaded"}
    assert last["error"]["message"] == "Overloaded"
    assert [item["type"] for item in last["response"]["output"]] == ["function_call"]


def test_a_failure_at_the_beginning_is_an_error_event():
    (event,) = told(RESPONSES.event_writer(Question()).write([AnswerFailed(FAILURE)]))
    assert (event["type"], event["code"]) == ("error", "server_is_overloaded")
    assert event["error"]["message"] == "Overloaded"


def test_the_proxys_own_break_repeats_the_response_that_began():
    begun = RESPONSES.event_writer(Question()).write([AnswerStarted("msg_1", "m")])
    assert b'"id":"resp_msg_1"' in DIALECT.interruption("gone", beginning=begun)


def test_a_sign_of_life_is_a_comment():
    assert RESPONSES.event_writer(Question()).write([SignOfLife()]) == b": ka\n\n"


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (ModelFailure(status=429, message="x", kind="rate_limit_error"), "rate_limit_exceeded"),
        (
            ModelFailure(status=400, message="prompt is too long: 5 > 4", kind="x"),
            "context_length_exceeded",
        ),
        (ModelFailure(status=500, message="x", kind="api_error"), "server_error"),
        (ModelFailure(status=400, message="x", code="mine"), "mine"),
        (ModelFailure(status=400, message="x"), None),
    ],
)
def test_clients_find_the_code_that_they_know(failure, code):
    error = json.loads(RESPONSES.write_failure(failure))["error"]
    assert error["code"] == code
    assert RESPONSES.read_failure(failure.status, RESPONSES.write_failure(failure)).code == code


def test_an_error_that_is_no_json_is_a_message():
    assert RESPONSES.read_failure(502, b"<html>").message == "<html>"


# ---- read from servers


def stream(*events):
    lines = [f"event: {e['type']}\ndata: {json.dumps(e)}\n\n" for e in events]
    return "".join(lines).encode()


CREATED = {"type": "response.created", "response": {"id": "resp_1", "model": "m"}}
COMPLETED = {"type": "response.completed", "response": {"id": "resp_1", "status": "completed"}}


def item_event(kind, place, **item):
    return {"type": f"response.output_item.{kind}", "output_index": place, "item": item}


def test_a_stream_without_deltas_is_read_from_its_items():
    content = [{"type": "output_text", "text": "a"}, {"type": "output_text", "text": "b"}]
    events = [
        CREATED,
        item_event("done", 0, type="reasoning", id="rs", encrypted_content="x"),
        item_event("added", 1, type="message", content=content),
        item_event("done", 1, type="message", content=content),
        item_event("done", 2, type="function_call", call_id="c", name="f", arguments="{}"),
        COMPLETED,
    ]
    answer = answer_of(RESPONSES.event_reader().read(stream(*events)))
    assert answer.finish is FinishReason.TOOL_CALLS
    assert answer.parts == (
        Thinking(encrypted="x", id="rs"),
        PlainText(text="a"),
        PlainText(text="b"),
        ToolCall(id="c", name="f", arguments="{}"),
    )


def test_a_stream_of_one_event_is_read_from_its_response():
    output = [{"type": "message", "content": [{"type": "output_text", "text": "a"}]}]
    only = {**COMPLETED, "response": {**COMPLETED["response"], "model": "m", "output": output}}
    answer = answer_of(RESPONSES.event_reader().read(stream(only)))
    assert (answer.id, answer.parts) == ("resp_1", (PlainText(text="a"),))


def test_items_that_are_mixed_come_one_after_the_other():
    def arguments(place, delta):
        kind = "response.function_call_arguments.delta"
        return {"type": kind, "output_index": place, "delta": delta}

    call = {"type": "function_call", "name": "f"}
    events = [
        CREATED,
        item_event("added", 0, **call, call_id="a", arguments=""),
        arguments(0, "{"),
        item_event("added", 1, **call, call_id="b", arguments=""),
        arguments(1, "["),
        arguments(0, "}"),
        arguments(1, "]"),
        item_event("done", 0, **call, call_id="a", arguments="{}"),
        item_event("done", 1, **call, call_id="b", arguments="[]"),
        COMPLETED,
    ]
    parts = answer_of(RESPONSES.event_reader().read(stream(*events))).parts
    assert [(part.id, part.arguments) for part in parts] == [("a", "{}"), ("b", "[]")]


def test_pieces_of_a_summary_are_parted_by_a_blank_line():
    def delta(piece, text):
        kind = "response.reasoning_summary_text.delta"
        return {"type": kind, "output_index": 0, "summary_index": piece, "delta": text}

    summary = [{"type": "summary_text", "text": text} for text in ("one", "two")]
    item = {"type": "reasoning", "id": "rs", "summary": summary}
    events = [
        CREATED,
        item_event("added", 0, type="reasoning", id="rs", summary=[]),
        delta(0, "one"),
        delta(1, "two"),
        item_event("done", 0, **item),
        COMPLETED,
    ]
    (thinking,) = answer_of(RESPONSES.event_reader().read(stream(*events))).parts
    assert thinking.text == "one\n\ntwo"


def test_a_failed_response_is_a_failure():
    error = {"code": "rate_limit_exceeded", "message": "slow down"}
    failed = {"type": "response.failed", "response": {"status": "failed", "error": error}}
    event = RESPONSES.event_reader().read(stream(CREATED, failed))[-1]
    assert (event.failure.status, event.failure.message) == (429, "slow down")


@pytest.mark.parametrize(
    "event",
    [
        {"type": "error", "code": "server_error", "message": "gone"},
        {"type": "error", "error": {"code": "server_error", "message": "gone"}},
    ],
)
def test_an_error_event_is_a_failure(event):
    (failed,) = RESPONSES.event_reader().read(stream(event))
    assert (failed.failure.code, failed.failure.message) == ("server_error", "gone")


def test_items_of_tools_that_nobody_asked_for_are_passed_over():
    events = [CREATED, item_event("done", 0, type="web_search_call", id="ws"), COMPLETED]
    assert answer_of(RESPONSES.event_reader().read(stream(*events))).parts == ()


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"status": "failed"}', b'{"output": 1}'])
def test_what_is_no_answer_is_unreadable(body):
    with pytest.raises(UnreadableAnswer):
        RESPONSES.read_answer(body)


def test_a_stream_that_is_no_json_has_failed():
    (failed,) = RESPONSES.event_reader().read(b"data: <html>\n\n")
    assert failed.failure.message == "<html>"
