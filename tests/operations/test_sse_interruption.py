"""A broken stream ends with an error event that makes the real OpenAI client raise."""

import asyncio
import json

import httpx2
import openai
import pytest

from llmproxy.operations import CHAT, MESSAGES, OPAQUE, RESPONSES, EventKind
from llmproxy.operations.sse import split_events

CHUNK = (
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m",'
    b'"choices":[{"index":0,"delta":{"role":"assistant","content":"Hel"},"finish_reason":null}]}\n\n'
)
CREATED = (
    b'event: response.created\ndata: {"type":"response.created","sequence_number":0,"response":'
    b'{"id":"resp_1","object":"response","created_at":1,"status":"in_progress","model":"m",'
    b'"big":12345678901234567890123,"error":null,"output":[],"tools":[]}}\n\n'
)
DELTA = (
    b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta",'
    b'"sequence_number":1,"item_id":"i","output_index":0,"content_index":0,"delta":"Hel"}\n\n'
)


def vendor(stream):
    """A transport that answers every request with these bytes as an event stream."""
    headers = {"content-type": "text/event-stream"}
    return httpx2.MockTransport(lambda _: httpx2.Response(200, headers=headers, content=stream))


def client(stream):
    http_client = httpx2.Client(transport=vendor(stream))
    return openai.OpenAI(
        api_key="k", base_url="http://test/v1", max_retries=0, http_client=http_client
    )


def async_client(stream):
    http_client = httpx2.AsyncClient(transport=vendor(stream))
    return openai.AsyncOpenAI(
        api_key="k", base_url="http://test/v1", max_retries=0, http_client=http_client
    )


def payload(event):
    (line,) = (line for line in event.splitlines() if line.startswith(b"data: "))
    return json.loads(line[6:])


BROKEN = {
    CHAT: CHAT.interruption("It broke."),
    RESPONSES: RESPONSES.interruption("It broke.", beginning=CREATED),
    MESSAGES: MESSAGES.interruption("It broke."),
}


def test_a_chat_client_gets_what_came_and_then_an_error():
    heard = []
    with pytest.raises(openai.APIError, match=r"It broke\.") as raised:
        for chunk in client(CHUNK + BROKEN[CHAT]).chat.completions.create(
            model="m", messages=[], stream=True
        ):
            heard.append(chunk.choices[0].delta.content)
    assert heard == ["Hel"]
    assert raised.value.code == "upstream_stream_interrupted"
    assert raised.value.type == "server_error"


def test_an_async_chat_client_gets_it_too():
    async def listen():
        stream = await async_client(CHUNK + BROKEN[CHAT]).chat.completions.create(
            model="m", messages=[], stream=True
        )
        return [chunk async for chunk in stream]

    with pytest.raises(openai.APIError, match=r"It broke\."):
        asyncio.run(listen())


@pytest.mark.parametrize("created", [CREATED, b"", b"data: unreadable\n\n"])
def test_a_responses_client_gets_an_error_whether_or_not_the_response_is_known(created):
    broken = RESPONSES.interruption("It broke.", beginning=created)
    heard = []
    with pytest.raises(openai.APIError, match=r"It broke\.") as raised:
        for event in client(CREATED + DELTA + broken).responses.create(
            model="m", input="x", stream=True
        ):
            heard.append(event.type)
    assert heard == ["response.created", "response.output_text.delta"]
    assert raised.value.code == "upstream_stream_interrupted"


def test_the_responses_helper_of_the_client_raises_too():
    stream = client(CREATED + BROKEN[RESPONSES])
    with (
        pytest.raises(openai.APIError, match=r"It broke\."),
        stream.responses.stream(model="m", input="x") as events,
    ):
        list(events)


def test_a_failed_response_is_the_created_one_with_its_error():
    broken = RESPONSES.interruption("It broke.", beginning=CREATED)
    assert broken.startswith(b"event: response.failed\n")
    assert b'"big":12345678901234567890123' in broken
    last_event = payload(broken)
    assert last_event["type"] == "response.failed"
    assert last_event["response"] == {
        **payload(CREATED)["response"],
        "status": "failed",
        "error": {"code": "upstream_stream_interrupted", "message": "It broke."},
    }


def test_without_a_created_response_an_error_event_is_told():
    broken = RESPONSES.interruption("It broke.", code="c")
    assert broken.startswith(b"event: error\n")
    last_event = payload(broken)
    assert (last_event["type"], last_event["code"], last_event["message"]) == (
        "error",
        "c",
        "It broke.",
    )


def test_a_created_event_over_several_lines_still_makes_one_event():
    spread = CREATED.replace(b'"response":', b'\ndata: "response":').replace(
        b"[],", b"[\r\ndata: ],"
    )
    broken = RESPONSES.interruption("a\nb", beginning=spread)
    assert len(split_events(broken)[0]) == 1
    assert payload(broken)["response"]["id"] == "resp_1"


def test_chat_and_messages_are_told_exactly_as_the_facts_say():
    assert payload(BROKEN[CHAT]) == {
        "error": {
            "message": "It broke.",
            "type": "server_error",
            "param": None,
            "code": "upstream_stream_interrupted",
        }
    }
    assert BROKEN[MESSAGES].startswith(b"event: error\n")
    assert payload(BROKEN[MESSAGES]) == {
        "type": "error",
        "error": {"type": "api_error", "message": "It broke."},
    }
    overloaded = MESSAGES.interruption("m", code="server_is_overloaded")
    assert payload(overloaded)["error"]["type"] == "overloaded_error"


@pytest.mark.parametrize("dialect", BROKEN)
def test_what_is_told_is_one_complete_event_that_is_an_error_and_an_end(dialect):
    broken = BROKEN[dialect]
    assert split_events(broken) == ([broken], b"")
    assert dialect.classify(broken) is EventKind.ERROR
    assert dialect.is_complete(broken)


def test_other_streams_cannot_be_told():
    assert OPAQUE.interruption("It broke.") == b""
