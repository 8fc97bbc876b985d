"""The error that a client gets for a broken answer says at least as much as without the proxy.

Directly, such a call ends in a bare connection error, or silently; through the proxy it ends in an
error with a reason.
"""

import pytest

from llmproxy.tools.simulator import VendorSettings, raw, serve
from tests.clients.calls import HELLO
from tests.clients.comparing import Place
from tests.clients.houses import SEED, everything_to
from tests.support.background import in_background
from tests.support.proxy import serve_proxy
from tests.support.vendor import delta

ASKS = {
    "chat": lambda c, **more: c.chat.completions.create(model="m", messages=HELLO, **more),
    "responses": lambda c, **more: c.responses.create(model="m", input="Hello", **more),
}


def _ends(style, places, ask, fault, *, timeout=10, **more):
    more["extra_headers"] = {"x-simulator-fault": fault}
    return [
        style.end(lambda at=places[key]: ask(style.openai(at.base_url, timeout=timeout), **more))
        for key in ("direct", "passing")
    ]


@pytest.mark.parametrize("ask", ASKS)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("fault", ["reset-before", "close-before", "malformed-status"])
def test_no_answer_at_all_is_an_error_with_a_reason(fault, stream, ask, style, places):
    direct, proxied = _ends(style, places, ASKS[ask], fault, stream=stream)
    assert direct["error"]["class"] == "APIConnectionError"
    error = proxied["error"]
    assert error["class"] == "InternalServerError"
    assert error["code"] == "no_endpoint_available"
    assert error["request_id"]
    assert set(error["body"]) == {"message", "type", "param", "code"}
    assert "127.0.0.1" in error["message"]  # the endpoint's name


@pytest.mark.parametrize("ask", ASKS)
@pytest.mark.parametrize("fault", ["reset-mid:9", "close-mid:9", "malformed-chunk:9", "bad-length"])
def test_half_an_answer_is_never_taken_for_a_whole_one(fault, ask, style, places):
    direct, proxied = _ends(style, places, ASKS[ask], fault)
    assert direct["error"]["class"] == "APIConnectionError"
    assert proxied["error"]["class"] == "InternalServerError"


@pytest.mark.parametrize("ask", ASKS)
@pytest.mark.parametrize("fault", ["reset-mid:4", "close-mid:4", "malformed-chunk:4"])
def test_a_stream_that_breaks_says_why_after_the_same_events(fault, ask, style, places):
    direct, proxied = _ends(style, places, ASKS[ask], fault, stream=True)
    assert direct["error"]["class"] == "APIConnectionError"
    assert len(direct["events"]) == 4
    assert proxied["events"] == direct["events"]
    assert proxied["error"]["class"] == "APIError"
    assert proxied["error"]["code"] == "upstream_stream_interrupted"


def test_a_chat_stream_without_done_is_complete_once_it_said_why_it_finished(style, places):
    direct, proxied = _ends(style, places, ASKS["chat"], "missing-done", stream=True)
    assert "error" not in direct
    assert proxied == direct


def test_a_responses_stream_without_its_last_event_is_broken(style, places):
    direct, proxied = _ends(style, places, ASKS["responses"], "missing-done", stream=True)
    assert "error" not in direct
    assert len(proxied["events"]) == len(direct["events"])
    assert proxied["error"]["code"] == "upstream_stream_interrupted"


PATIENCE_S = 1.5


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_silent_endpoint_is_told_just_before_the_client_loses_patience(stream, sync, places):
    more = {"timeout": PATIENCE_S, "stream": stream}
    direct, proxied = _ends(sync, places, ASKS["chat"], "stall-before", **more)
    assert direct["error"]["class"] == "APITimeoutError"
    error = proxied["error"]
    assert (error["class"], error["status_code"]) == ("InternalServerError", 504)
    assert "silent" in error["message"]


def test_a_stream_that_falls_silent_is_told_just_before_the_client_loses_patience(sync, places):
    more = {"timeout": PATIENCE_S, "stream": True}
    direct, proxied = _ends(sync, places, ASKS["chat"], "stall-mid:4", **more)
    assert direct["error"]["class"] == "APITimeoutError"
    assert proxied["events"] == direct["events"]
    assert proxied["error"]["code"] == "upstream_stream_interrupted"


@pytest.fixture
def house():
    """A vendor that may be changed, and a proxy in front of it."""
    with in_background(
        lambda: serve(VendorSettings(seed=SEED)),
        lambda vendor: serve_proxy(everything_to(vendor.base_url)),
    ) as (vendor, proxy):
        yield vendor, {"direct": Place(vendor.root), "passing": Place(proxy.root)}


def _ends_at(places, style, ask):
    return [style.end(lambda at=at: ask(style.openai(at.base_url))) for at in places.values()]


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"


def test_a_stream_that_just_ends_is_silent_directly_and_an_error_through_the_proxy(style, house):
    vendor, places = house
    vendor.faults.append(raw(HEAD, delta(role="assistant"), delta("Hel"), then="close"))
    direct, proxied = _ends_at(places, style, lambda c: ASKS["chat"](c, stream=True))
    assert "error" not in direct
    assert len(direct["events"]) == 2
    assert proxied["events"] == direct["events"]
    assert proxied["error"]["code"] == "upstream_stream_interrupted"


@pytest.mark.parametrize("status", [b"200 OK", b"400 Bad Request", b"500 Internal Server Error"])
def test_the_request_id_is_the_vendors_own(status, style, house):
    vendor, places = house
    headers = b"content-type: application/json\r\nx-request-id: req_of-the-vendor\r\n"
    answer = b"HTTP/1.1 " + status + b"\r\n" + headers + b"content-length: 2\r\n\r\n{}"
    vendor.faults.append(raw(answer))
    ends = _ends_at(places, style, ASKS["chat"])
    for end in ends:
        assert end.get("error", end)["request_id"] == "req_of-the-vendor"


def test_a_stream_may_last_longer_than_the_clients_read_timeout(sync):
    """A client that waits 0.4 s for each event gets one every 0.05 s, for 0.8 s."""
    with in_background(
        lambda: serve(VendorSettings(seed=SEED, tokens_per_s=20)),
        lambda vendor: serve_proxy(everything_to(vendor.base_url)),
    ) as (vendor, proxy):
        more = {"stream": True, "max_completion_tokens": 16}
        direct, proxied = [
            sync.end(lambda at=at: ASKS["chat"](sync.openai(at, timeout=0.4), **more))
            for at in (vendor.base_url, proxy.base_url)
        ]
    assert "error" not in direct
    assert proxied == direct
