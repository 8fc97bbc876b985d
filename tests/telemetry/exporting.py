"""Tracers and senders to a collector, as a config makes them."""

import random
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass

from llmproxy.batteries.config_file import parse_config
from llmproxy.batteries.telemetry.tracing.collector import Collector
from llmproxy.batteries.telemetry.tracing.environment import target_of
from llmproxy.batteries.telemetry.tracing.otlp import RequestWriter
from llmproxy.batteries.telemetry.tracing.sender import SpanSender
from llmproxy.batteries.telemetry.tracing.tracer import open_tracer
from llmproxy.calls import TraceContext
from tests.support.collector import collector
from tests.support.finished import finished_call

CALL = finished_call(trace=TraceContext("1" * 32, 10, None, 1), operation="chat/completions")


def parsed(endpoint, settings):
    lines = [f"    {name}: {value}" for name, value in settings.items()]
    head = "model_groups: [{model_group: m, models: [{params: {api_key: k}}]}]\n"
    section = ["general_settings:", "  tracing:", f"    endpoint: {endpoint}", *lines]
    return parse_config(head + "\n".join(section), {}, file="f.yaml")


@contextmanager
def tracing(endpoint, environ=(), **settings):
    """Yield a tracer that has one call to send; at the end it is closed."""
    config = parsed(endpoint, settings)
    section = config.general_settings.tracing
    tracer = open_tracer(config, section, dict(environ), draw_bits=random.Random(1).getrandbits)
    tracer.call_finished(CALL)
    try:
        yield tracer
    finally:
        tracer.close()


@dataclass
class Sending:
    """Sends a request of no spans, as if it had those of 7 calls."""

    sender: SpanSender
    stopping: threading.Event

    def __call__(self):
        body = RequestWriter({"service.name": "us"}, ("us", "1")).request([])
        self.sender.send(body, calls=7, stopping=self.stopping)


@contextmanager
def sending(endpoint):
    target = target_of(parsed(endpoint, {}).general_settings.tracing, {})
    sender = SpanSender(Collector(target), str(target))
    yield Sending(sender, threading.Event())
    sender.close()


def sent_with(environ, **settings):
    """Return a collector that got a call's span."""
    with collector() as seen:
        with tracing(seen.endpoint, environ, **settings):
            pass
    assert len(seen.spans) == 1
    return seen


def until(condition, within_s=20):
    ends_at = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < ends_at, "the condition did not hold in time"
        time.sleep(0.02)
