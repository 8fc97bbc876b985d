"""How spans are sent: retries, connections and their ends."""

import threading
import time
from email.utils import formatdate

import pytest

from tests.support.collector import collector
from tests.support.valkey import free_port
from tests.telemetry.exporting import CALL, sending, sent_with, tracing, until

# ---- the request


def test_a_request_is_otlp_over_http():
    seen = sent_with({})
    [(path, headers)] = seen.requests
    assert path == "/v1/traces"
    assert headers["content-type"] == "application/x-protobuf"
    assert headers["user-agent"].startswith("llmproxy/")
    assert headers["host"] == f"127.0.0.1:{seen.port}"
    assert "content-encoding" not in headers


def test_a_path_in_the_endpoint_is_kept():
    with collector() as seen:
        with tracing(f"{seen.endpoint}/otlp/v1/traces"):
            pass
    assert [path for path, _ in seen.requests] == ["/otlp/v1/traces"]


# ---- connections


def test_the_connection_is_kept():
    with collector() as seen, sending(seen.endpoint) as send:
        send()
        send()
    assert seen.sizes == [0, 0]
    assert seen.connections == 1


def test_a_connection_that_the_collector_has_closed_is_opened_again_at_once(caplog):
    with collector() as seen, sending(seen.endpoint) as send:
        seen.closes = True
        send()
        send()
    assert (seen.sizes, seen.connections, caplog.messages) == ([0, 0], 2, [])


def test_a_collector_that_says_that_it_closes_is_taken_at_its_word():
    with collector() as seen, sending(seen.endpoint) as send:
        seen.answers = [(200, {"connection": "close"})]
        send()
        send()
    assert (seen.sizes, seen.connections) == ([0, 0], 2)


# ---- failures


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_refusal_that_passes_is_tried_again(status, caplog):
    with collector() as seen, sending(seen.endpoint) as send:
        seen.answers = [(status, {"retry-after": "0"})] * 5
        send()
        assert send.sender.lost == 0
    assert len(seen.requests) == 6
    assert len(set(seen.bodies)) == 1
    assert seen.connections == 1
    refused, accepted = caplog.messages
    assert f"it answers {status}" in refused
    assert "again. The traces of 0 calls are lost." in accepted


def test_after_some_tries_the_spans_are_lost_and_the_next_ones_are_sent(caplog):
    with collector() as seen, sending(seen.endpoint) as send:
        seen.answers = [(503, {"retry-after": "0"})] * 6
        send()
        assert (seen.sizes, send.sender.lost) == ([], 7)
        send()
    assert seen.sizes == [0]
    assert "again. The traces of 7 calls are lost." in caplog.messages[-1]


@pytest.mark.parametrize("status", [301, 400, 401, 404, 413, 500])
def test_another_refusal_is_final_and_logged_once(status, caplog):
    with collector() as seen, sending(seen.endpoint) as send:
        seen.status = status
        send()
        send()
        assert send.sender.lost == 14
    assert len(seen.requests) == 2
    [message] = caplog.messages
    assert f"it answers {status}" in message


@pytest.mark.clock
@pytest.mark.parametrize("form", ["seconds", "date"])
def test_the_next_try_is_when_the_collector_says(form):
    with collector() as seen, sending(seen.endpoint) as send:
        asked = "2" if form == "seconds" else formatdate(time.time() + 2.5, usegmt=True)
        seen.answers = [(503, {"retry-after": asked})]
        began_at = time.monotonic()
        send()
        assert 1.4 < time.monotonic() - began_at < 4
    assert seen.sizes == [0]


@pytest.mark.clock
@pytest.mark.parametrize("headers", [{}, {"retry-after": "soon"}], ids=str)
def test_without_a_word_of_the_collector_the_pauses_grow(headers):
    with collector() as seen, sending(seen.endpoint) as send:
        seen.answers = [(503, headers)] * 2
        began_at = time.monotonic()
        send()
        assert 2.9 < time.monotonic() - began_at < 5, "1 s and 2 s"
    assert seen.sizes == [0]


def test_a_collector_that_is_back_gets_what_waited(caplog):
    port = free_port()
    with sending(f"http://127.0.0.1:{port}") as send:
        thread = threading.Thread(target=send)
        thread.start()
        until(lambda: "refused" in caplog.text)
        with collector(port=port) as seen:
            thread.join(20)
    assert (seen.sizes, send.sender.lost) == ([0], 0)


# ---- the end


@pytest.mark.clock
def test_the_end_waits_for_no_pause():
    with collector() as seen, sending(seen.endpoint) as send:
        seen.answers = [(503, {"retry-after": "3600"})]
        thread = threading.Thread(target=send)
        thread.start()
        until(lambda: seen.requests)
        send.stopping.set()
        thread.join(1)
        assert not thread.is_alive()
        assert (len(seen.requests), send.sender.lost) == (1, 7)


@pytest.mark.clock
def test_the_end_is_bounded_where_the_collector_is_silent():
    with collector() as seen:
        seen.silence = threading.Event()
        with tracing(seen.endpoint) as tracer:
            ends_at = time.monotonic()
            tracer.close()
            assert 1 < time.monotonic() - ends_at < 6


def test_what_waits_at_the_end_is_sent_once():
    with collector() as seen:
        with tracing(seen.endpoint) as tracer:
            for _ in range(299):
                tracer.call_finished(CALL)
    assert len(seen.spans) == 300
    assert seen.sizes == [300]
