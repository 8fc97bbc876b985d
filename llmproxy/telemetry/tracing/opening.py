"""Whether calls are traced. Imports OpenTelemetry only if they are."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING

from llmproxy.config import Config
from llmproxy.errors import ConfigError, Problem

if TYPE_CHECKING:
    from llmproxy.telemetry.tracing.tracer import Tracer

PACKAGES = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http.trace_exporter")


def require_sdk(*, file: str = "config") -> None:
    """Raises ConfigError if the extra is not there; `file` is what to blame."""
    try:
        for name in PACKAGES:
            import_module(name)
    except ImportError as error:
        found = "general_settings.tracing: OpenTelemetry's SDK cannot be imported."
        remedy = "Install it (pip install 'llmproxy[tracing]'), or remove the section."
        raise ConfigError([Problem(file, 0, found, remedy)]) from error


@contextmanager
def traced(config: Config) -> Iterator[Tracer | None]:
    """A listener that traces calls, if the config wants one; at the end it sends what is left.

    Starts a thread, so every process opens its own. Raises ConfigError if the extra is not there.
    """
    settings = config.general_settings.tracing
    if settings is None:
        yield None
        return
    require_sdk()
    # Only who traces pays for the import.
    from llmproxy.telemetry.tracing.tracer import Tracer, exporter_of  # noqa: PLC0415

    tracer = Tracer(config, settings, exporter_of(settings), draw_bits=random.getrandbits)
    try:
        yield tracer
    finally:
        tracer.close()
