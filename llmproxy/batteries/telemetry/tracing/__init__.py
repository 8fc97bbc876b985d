"""Spans of calls and attempts for OpenTelemetry.

Spans are made and sent by a thread after their call has ended, so no call waits for them. They hold
names, numbers and reasons, no prompt and no answer.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from llmproxy.batteries.settings import full
from llmproxy.config import Config

if TYPE_CHECKING:
    from llmproxy.batteries.telemetry.tracing.tracer import Tracer


@contextmanager
def traced(config: Config, environ: Mapping[str, str]) -> Iterator[Tracer | None]:
    """Yield the tracer that the config asks for, or None; at the end, send what is left.

    Starts a thread, so each process must open its own.
    """
    settings = full(config.general_settings).tracing
    if settings is None:
        yield None
        return
    # An HTTP client is imported, so only where calls are traced.
    from llmproxy.batteries.telemetry.tracing.tracer import open_tracer  # noqa: PLC0415

    with closing(open_tracer(config, settings, environ, draw_bits=random.getrandbits)) as tracer:
        yield tracer
