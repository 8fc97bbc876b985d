"""Modelled endpoints: what one would answer, and when.

Limits are enforced as the endpoint's vendor does, with the windows of `llmproxy simulator`, and
reported in the vendor's headers. Answers are not streamed: headers arrive with the end of a body.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, log
from random import Random

import msgspec

from llmproxy.calls import Headers
from llmproxy.errors import (
    Answer,
    ConnectFailed,
    TimedOut,
    UpstreamError,
    UpstreamFailed,
)
from llmproxy.providers.base import Endpoint
from llmproxy.tools.simulate.model import EndpointModel, Latency, Outage
from llmproxy.tools.simulate.traffic import Arrival
from llmproxy.tools.simulator.limits import (
    GENEROUS_RPM,
    GENEROUS_TPM,
    AzureWindow,
    OpenAIWindow,
    Standing,
    Window,
)
from llmproxy.tools.simulator.prompt_cache import PromptCache

REFUSAL_S = 0.05  # how long a refused request or connection takes
P95 = 1.6449  # the 95th percentile, in standard deviations above the median
SLOT_S = 0.25  # admitted requests are counted in slots of this length
THROTTLED = b'{"error":{"message":"Rate limit reached.","code":"rate_limit_exceeded"}}'
DOWN = b'{"error":{"message":"The modelled endpoint is down.","code":null}}'


class Outcome(msgspec.Struct):
    """The end of an attempt: at `ends_at`, with an answer if `failure` is None."""

    ends_at: float
    failure: UpstreamError | None = None
    account: Account | None = None
    standing: Standing | None = None
    cached_tokens: int = 0

    def headers(self) -> Headers:
        """Return the answer's rate limit headers."""
        if self.account is None or self.account.window is None or self.standing is None:
            return []
        return self.account.window.headers(self.standing)


class Account:
    """A vendor's counters for one account and model.

    `requests`, `tokens`: what it admitted, by slots of a quarter of a second.
    """

    __slots__ = ("prompt_cache", "requests", "rpm", "tokens", "tpm", "window")

    def __init__(
        self,
        rpm: int | None,
        tpm: int | None,
        *,
        fixed_windows: bool,
        begins_at: float,
        prompt_cache: PromptCache | None = None,
    ) -> None:
        self.prompt_cache = prompt_cache
        self.rpm = rpm
        self.tpm = tpm
        self.requests: list[int] = []
        self.tokens: list[int] = []
        self.window: Window | None = None
        if rpm or tpm:
            kind = AzureWindow if fixed_windows else OpenAIWindow
            self.window = kind(rpm or GENEROUS_RPM, tpm or GENEROUS_TPM, begins_at)

    def read(self, arrival: Arrival, now: float) -> int:
        """Read a prompt; returns how many of its tokens are cached."""
        if self.prompt_cache is None or not arrival.conversation:
            return 0
        lengths = self.prompt_cache.lengths(arrival.input_tokens)
        return self.prompt_cache.read([(arrival.conversation, n) for n in lengths], now)

    def admit(self, tokens: int, now: float) -> Standing | None:
        """Charge a request, or refuse it (`wait_s` is set). Returns None if there are no limits."""
        standing = None
        if self.window is not None:
            standing = self.window.admit(tokens, now)
            if standing.wait_s is not None:
                return standing
        slot = int(now / SLOT_S)
        missing = slot + 1 - len(self.requests)
        if missing > 0:
            self.requests += [0] * missing
            self.tokens += [0] * missing
        self.requests[slot] += 1
        self.tokens[slot] += tokens
        return standing


class SimulatedEndpoint:
    """One modelled endpoint."""

    __slots__ = (
        "_deviation",
        "_mean",
        "_outages",
        "_random",
        "_stalls",
        "_timeout_s",
        "account",
        "endpoint",
    )

    def __init__(
        self,
        endpoint: Endpoint,
        account: Account,
        model: EndpointModel,
        *,
        latency: Latency,
        timeout_s: float,
        random: Random,
    ) -> None:
        self.endpoint = endpoint
        self.account = account
        self._outages: Sequence[Outage] = model.outages
        self._stalls = model.stalls
        latency = model.latency_s or latency
        self._mean = log(latency.median)
        self._deviation = log(latency.p95 / latency.median) / P95
        self._timeout_s = timeout_s
        self._random = random

    def answer(self, arrival: Arrival, now: float) -> Outcome:
        """Return how a request ends if it is sent now."""
        for outage in self._outages:
            if outage.from_s <= now < outage.to_s:
                return Outcome(now + REFUSAL_S, self._down(outage))
        standing = self.account.admit(arrival.bound_tokens, now)
        if standing is not None and standing.wait_s is not None:
            return Outcome(now + REFUSAL_S, self._throttled(standing), self.account, standing)
        took_s = exp(self._random.gauss(self._mean, self._deviation))
        if self._stalls is not None and self._random.random() < self._stalls.share:
            took_s += self._stalls.seconds
        failure: UpstreamError | None = None
        if took_s > self._timeout_s:
            took_s = self._timeout_s
            failure = TimedOut("no first byte in time", phase="first byte")
        ends_at = now + took_s
        for outage in self._outages:
            if now < outage.from_s < ends_at:
                ends_at = outage.from_s
                failure = UpstreamFailed("the connection was lost")
        if failure is not None:
            failure.endpoint = self.endpoint.name
        cached = self.account.read(arrival, now)
        return Outcome(ends_at, failure, self.account, standing, cached)

    def _down(self, outage: Outage) -> UpstreamError:
        if outage.status is None:
            return ConnectFailed("no connection", endpoint=self.endpoint.name)
        return self._refusal(Answer(outage.status, [], DOWN))

    def _throttled(self, standing: Standing) -> UpstreamError:
        headers = [] if self.account.window is None else self.account.window.headers(standing)
        return self._refusal(Answer(429, headers, THROTTLED))

    def _refusal(self, answer: Answer) -> UpstreamError:
        name = self.endpoint.name
        failure = self.endpoint.provider.failure(answer, endpoint=name, wall_now=0.0)
        return failure or UpstreamFailed(f"status {answer.status}", endpoint=name, answer=answer)
