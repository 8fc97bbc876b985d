"""Spans of calls and attempts for OpenTelemetry (the extra `tracing`).

Spans are made and sent by a thread after their call has ended, so no call waits for them. They hold
names, numbers and reasons, no prompt and no answer. `tracer` imports OpenTelemetry and is imported
only if calls are traced.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING

from llmproxy.batteries.settings import full
from llmproxy.config import Config
from llmproxy.errors import ConfigError, Problem

if TYPE_CHECKING:
    from llmproxy.batteries.telemetry.tracing.tracer import Tracer

PACKAGES = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http.trace_exporter")


def require_sdk(*, file: str = "config") -> None:
    """Raise ConfigError if the extra is not installed. `file`: the config's name."""
    try:
        for name in PACKAGES:
            import_module(name)
    except ImportError as error:
        found = "general_settings.tracing: OpenTelemetry's SDK is not installed."
        remedy = "Install it (pip install 'llmproxy-gateway[tracing]'), or remove the section."
        raise ConfigError([Problem(file, 0, found, remedy)]) from error


@contextmanager
def traced(config: Config) -> Iterator[Tracer | None]:
    """Yield the tracer that the config asks for, or None; at the end, send what is left.

    Starts a thread, so each process must open its own. Raises ConfigError if the extra is not
    installed.
    """
    settings = full(config.general_settings).tracing
    if settings is None:
        yield None
        return
    require_sdk()
    # The import takes 85 ms, so it happens only where calls are traced.
    from llmproxy.batteries.telemetry.tracing.tracer import Tracer, exporter_of  # noqa: PLC0415

    tracer = Tracer(config, settings, exporter_of(settings), draw_bits=random.getrandbits)
    try:
        yield tracer
    finally:
        tracer.close()
