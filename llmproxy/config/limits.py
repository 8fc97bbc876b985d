"""How much may be sent, what it costs, and how long to wait for room."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from llmproxy.config.base import NUMBER, Count, Dollars, Seconds, SecondsOrZero, Section


class Limits(Section):
    """At most so much, in any 60 s."""

    rpm: Count | None = Field(default=None, description="Requests in any 60 seconds.")
    tpm: Count | None = Field(
        default=None, description="Tokens in any 60 seconds, input and output together."
    )
    concurrent: Count | None = Field(
        default=None,
        description="Requests at a time; of several instances that share their "
        "state each has an even part, at least one.",
    )


class Price(Section):
    """What tokens cost, in US dollars per million."""

    input: Dollars = Field(description="Input tokens, in US dollars per million.")
    output: Dollars = Field(description="Output tokens, in US dollars per million.")
    cached_input: Dollars | None = Field(
        default=None,
        description="Input tokens from the vendor's prompt cache; without it as `input`.",
    )


class Queue(Section):
    """Waiting for room when the endpoints are full."""

    max_waiting: Annotated[int, Field(ge=0), NUMBER] = Field(
        default=1_000, description="Calls of one group that may wait; more get a 429 at once."
    )
    max_wait_s: SecondsOrZero = Field(
        default=10.0,
        description="Seconds that a call may wait. One that would wait longer gets a 429 at once, "
        "with the time when there will be room.",
    )
    spill_wait_s: SecondsOrZero = Field(
        default=1.0,
        description="Seconds that a call waits for a cheaper tier before it goes to a dearer one; "
        "0: not at all.",
    )
    heartbeat_s: Seconds | None = Field(
        default=None,
        description="Send a comment every so many seconds to a streaming client that waits, so "
        "that nobody between takes the silence for a failure. Its status is then 200 before an "
        "endpoint has answered: a later failure is told in the stream. Without it: silence.",
    )
