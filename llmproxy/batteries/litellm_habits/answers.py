"""The headers that LiteLLM's clients read from an answer, made from the call's record."""

from __future__ import annotations

from time import monotonic

from llmproxy.batteries.client_in_front import ClientInFront
from llmproxy.calls import Headers
from llmproxy.protocols import Client
from llmproxy.record import CallRecord

COST = b"x-llmproxy-cost-usd"
PREFIX = b"x-litellm-"  # an endpoint may be a LiteLLM itself


class LitellmClient(ClientInFront):
    """A client that expects LiteLLM's headers: `start` adds them."""

    __slots__ = ("_record", "write")

    def __init__(self, client: Client, record: CallRecord) -> None:
        super().__init__(client)
        self._record = record
        self.write = client.write

    def start(self, status: int, headers: Headers, *, length: int | None) -> None:
        """Begin the answer, with LiteLLM's headers after ours. An endpoint's own are dropped."""
        added = litellm_headers(self._record, headers, monotonic())
        others = [header for header in headers if not header[0].startswith(PREFIX)]
        self._client.start(status, others + added, length=length)


def litellm_headers(record: CallRecord, headers: Headers, now: float) -> Headers:
    """Return LiteLLM's headers for an answer that has these headers. `now`: of `time.monotonic`."""
    if not record.request.id:
        return []  # not a call: a list of models, or a request that was refused unread
    passed_s = max(0.0, now - record.request.received_at)
    overhead_s = max(0.0, passed_s - record.waited_s)
    added: Headers = [(b"x-litellm-call-id", record.request.id.encode("utf-8"))]
    if record.group is not None:
        added.append((b"x-litellm-model-group", record.group.encode("utf-8")))
    if record.endpoint is not None:
        added.append((b"x-litellm-model-id", record.endpoint.encode("utf-8")))
    # Who may know a cost has been decided already.
    added += [(b"x-litellm-response-cost", value) for name, value in headers if name == COST]
    added += [
        (b"x-litellm-attempted-retries", b"%d" % max(0, record.attempts - 1)),
        (b"x-litellm-attempted-fallbacks", b"%d" % (record.fallback is not None)),
        (b"x-litellm-response-duration-ms", b"%.3f" % (passed_s * 1000)),
        (b"x-litellm-overhead-duration-ms", b"%.3f" % (overhead_s * 1000)),
    ]
    return added
