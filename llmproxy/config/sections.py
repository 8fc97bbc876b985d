"""The sections of `general_settings` and of an endpoint that stand on their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from llmproxy.config.base import (
    NUMBER,
    Count,
    Dollars,
    Seconds,
    SecondsOrZero,
    Section,
)


class Limits(Section):
    """Upper bounds of what may be sent in any 60 seconds."""

    rpm: Count | None = Field(default=None, description="Requests in any 60 seconds.")
    tpm: Count | None = Field(
        default=None, description="Tokens in any 60 seconds, input and output together."
    )
    concurrent: Count | None = Field(
        default=None,
        description="Requests at a time. Instances that share their state each get an "
        "even part, at least one.",
    )


class TokenPrice(Section):
    """The price of tokens, in US dollars per million."""

    input: Dollars = Field(description="Input tokens, in US dollars per million.")
    output: Dollars = Field(description="Output tokens, in US dollars per million.")
    cached_input: Dollars | None = Field(
        default=None,
        description="Input tokens from the vendor's prompt cache. Default: as `input`.",
    )
    cache_write: Dollars | None = Field(
        default=None,
        description="Input tokens written to the vendor's prompt cache. Default: as `input`.",
    )
    audio_input: Dollars | None = Field(
        default=None, description="Input tokens of sound. Default: as `input`."
    )
    audio_output: Dollars | None = Field(
        default=None, description="Output tokens of sound. Default: as `output`."
    )
    image_input: Dollars | None = Field(
        default=None, description="Input tokens of images. Default: as `input`."
    )
    per_request: Dollars | None = Field(
        default=None, description="Each answered request, in US dollars, beside its tokens."
    )
    per_image: Dollars | None = Field(
        default=None, description="Each image, where the endpoint counts no tokens, in US dollars."
    )
    per_minute: Dollars | None = Field(
        default=None,
        description="Each minute of sound, where the endpoint counts seconds, in US dollars.",
    )
    per_search: Dollars | None = Field(
        default=None, description="Each web search of the vendor's, in US dollars."
    )


class Price(TokenPrice):
    """The price of an endpoint's model."""

    above: Mapping[int, TokenPrice] = Field(
        default_factory=dict,
        description="Prices of all tokens of a call whose prompt has more tokens than this: "
        "`{200000: {input: 6, output: 22.5}}`.",
    )
    tiers: Mapping[str, TokenPrice] = Field(
        default_factory=dict,
        description="Prices of the service tiers that answers name: "
        "`{priority: {input: 2.5, output: 20}}`.",
    )


class Queue(Section):
    """How calls wait when all endpoints are full."""

    max_waiting: Annotated[int, Field(ge=0), NUMBER] = Field(
        default=1_000, description="Calls of one group that may wait; more get a 429 at once."
    )
    max_wait_s: SecondsOrZero = Field(
        default=10.0,
        description="Seconds that a call may wait. A call that would wait longer gets a 429 at "
        "once, with the time at which there is capacity again.",
    )
    spill_wait_s: SecondsOrZero = Field(
        default=1.0,
        description="Seconds that a call waits for a lower tier before it goes to a higher one; "
        "0: not at all.",
    )
    heartbeat_s: Seconds | None = Field(
        default=15.0,
        description="Send a comment (on `/v1/messages` a `ping`) to a streaming client that has "
        "waited for so many seconds, and again after as many, so that clients and proxies in "
        "between do not take the silence for a failure. The status is then 200 before an endpoint "
        "has answered, and a later failure is reported in the stream. `null`: no comments of ours.",
    )
