"""Examines endpoints: each on its own, several at a time, every step bounded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from secrets import token_hex
from time import monotonic, time

from msgspec.structs import replace

from llmproxy.batteries.health_checks import look_at
from llmproxy.batteries.translation import spoken_by
from llmproxy.config import Config
from llmproxy.config.models import ModelEntry
from llmproxy.errors import CredentialRejected, GatewayError
from llmproxy.providers.base import Endpoint, Endpoints
from llmproxy.tools.doctor.answers import (
    answer_findings,
    failure_of,
    is_refused_bound,
    of_failure,
)
from llmproxy.tools.doctor.exchanges import (
    Exchange,
    SmallCall,
    bound_of,
    exchange,
)
from llmproxy.tools.doctor.findings import DoctorFinding, found, one_line
from llmproxy.tools.doctor.kinds import Severity
from llmproxy.tools.doctor.reaching import proxy_to, reach
from llmproxy.tools.doctor.settings_checks import subject_of
from llmproxy.upstream import UpstreamClient

AT_ONCE = 32
REACH_S = 8.0  # the dialer gives up earlier, and says why
FREE_S = 10.0
GRACE_S = 2.0
OTHER_BOUND = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}


@dataclass
class Examined:
    """An endpoint, and what was found of it. `calls`: its answers, by `SmallCall.stream`."""

    subject: str
    entry: ModelEntry
    endpoint: Endpoint
    model: str | None
    dialect: str
    same_as: str | None = None
    bound: str = "max_tokens"
    connected_ms: float | None = None
    answers: dict[bool, Exchange] = field(default_factory=dict)
    findings: list[DoctorFinding] = field(default_factory=list)
    id: str = field(default_factory=partial(token_hex, 8))

    @property
    def is_faulty(self) -> bool:
        """Whether calls to it fail."""
        return any(finding.severity is Severity.FAULT for finding in self.findings)

    @property
    def is_answered(self) -> bool:
        """Whether each call to it succeeded."""
        succeeded = all(done.is_answered for done in self.answers.values())
        return bool(self.answers) and succeeded and not self.is_faulty

    def call(self, *, stream: bool, model: str | None = None) -> SmallCall:
        """Return the call that it is tried with."""
        kind = "stream" if stream else "whole"
        return SmallCall(self.dialect, model or self.model or "", stream, f"{self.id}-{kind}")

    @property
    def streams(self) -> bool:
        """Whether its dialect has streams."""
        return self.dialect != "embeddings"


@dataclass(frozen=True)
class Trial:
    """How endpoints are examined. `slow_s`: a first byte that takes longer is slow. `streams`: also
    by a streamed call. `advance`: called when an endpoint is done. `environ`: names proxies."""

    client: UpstreamClient
    timeout_s: float
    slow_s: float
    streams: bool
    advance: Callable[[], None]
    environ: Mapping[str, str]


def endpoints_to_examine(
    config: Config, endpoints: Endpoints, *, model: str | None = None
) -> list[Examined]:
    """Return the endpoints of a config. One that is equal to an earlier one is not asked again."""
    first: dict[tuple[str, str], str] = {}
    found_endpoints = []
    for group in config.model_groups:
        for entry, endpoint in zip(group.models, endpoints[group.model_group], strict=True):
            named = _model_of(endpoint, model)
            dialect = _dialect_of(entry, endpoint, named or "")
            subject = subject_of(endpoint)
            known = first.setdefault((f"{endpoint.account} {named}", dialect), subject)
            same_as = None if known == subject else known
            found_endpoints.append(Examined(subject, entry, endpoint, named, dialect, same_as))
    return found_endpoints


def cost_of(endpoints: list[Examined], *, calls: int) -> int:
    """Return how many calls are sent at most, if each endpoint that streams gets `calls`."""
    return sum(
        calls if examined.streams else (calls + 1) // 2
        for examined in endpoints
        if is_asked(examined)
    )


def is_asked(examined: Examined) -> bool:
    """Return whether calls are sent to it."""
    has_key = examined.endpoint.has_own_credential or _is_on_this_machine(examined.endpoint)
    return has_key and examined.model is not None and examined.same_as is None


async def examine(endpoints: list[Examined], trial: Trial) -> None:
    """Examine endpoints, several at a time. The findings are added to them."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(examined: Examined) -> None:
        async with slots:
            await _examine(examined, trial)
            trial.advance()

    async with asyncio.TaskGroup() as tasks:
        for examined in endpoints:
            if examined.same_as is None:
                tasks.create_task(one(examined))


async def _examine(examined: Examined, trial: Trial) -> None:
    endpoint, subject = examined.endpoint, examined.subject
    began = monotonic()
    proxy = proxy_to(endpoint, trial.environ)
    findings, is_reached = await reach(trial.client, endpoint, subject, proxy, timeout_s=REACH_S)
    examined.findings += findings
    if not is_reached:
        return
    examined.connected_ms = (monotonic() - began) * 1000
    if not is_asked(examined):
        code = "no_model" if examined.model is None else "no_credential"
        examined.findings.append(found(code, subject))
        return
    if (refusal := await _free_check(examined, trial)) is not None:
        examined.findings.append(refusal)
        return
    await _ask(examined, trial, stream=False)
    if trial.streams and examined.streams and examined.is_answered:
        await _ask(examined, trial, stream=True)


async def _free_check(examined: Examined, trial: Trial) -> DoctorFinding | None:
    """Ask what the vendor charges nothing for; return the finding if it rejects the key."""
    endpoint = examined.endpoint
    try:
        async with asyncio.timeout(FREE_S):
            answered, _ = await look_at(
                trial.client, endpoint, "free", until=monotonic() + FREE_S - GRACE_S
            )
    except CredentialRejected as failure:  # there is no token to send
        return found("no_token", examined.subject, why=failure.message)
    except (GatewayError, TimeoutError):
        return None  # the call will tell
    if isinstance(answered, CredentialRejected) and answered.status == 401:
        return of_failure(answered, examined.subject, model=examined.model or "")
    return None


async def _ask(examined: Examined, trial: Trial, *, stream: bool) -> None:
    call = examined.call(stream=stream)
    if not stream:
        examined.bound = bound_of(examined.endpoint, call)
    done = await sent(examined.endpoint, call, trial, bound=examined.bound)
    if not stream and is_refused_bound(done):
        examined.bound = OTHER_BOUND[examined.bound]
        done = await sent(examined.endpoint, call, trial, bound=examined.bound)
    examined.answers[stream] = done
    known = {finding.code for finding in examined.findings}
    told = answer_findings(
        done,
        call,
        examined.endpoint,
        examined.subject,
        wall_now=time(),
        timeout_s=trial.timeout_s,
        slow_s=trial.slow_s,
    )
    examined.findings += [finding for finding in told if finding.code not in known]


async def sent(endpoint: Endpoint, call: SmallCall, trial: Trial, *, bound: str) -> Exchange:
    """Send a call, and wait no longer than the trial allows, whatever hangs."""
    try:
        async with asyncio.timeout(trial.timeout_s + GRACE_S):
            return await exchange(
                trial.client, endpoint, call, timeout_s=trial.timeout_s, bound=bound
            )
    except TimeoutError:
        return Exchange(failure=GatewayError(f"no answer in {trial.timeout_s:g} s"))


def masked_findings(examined: Examined) -> Iterator[DoctorFinding]:
    """Yield the findings of an endpoint without what its secrets look like."""
    mask = examined.endpoint.mask
    for finding in examined.findings:
        cause = mask(finding.cause.encode()).decode("utf-8", "replace")
        yield replace(finding, cause=one_line(cause))


def failure_in(done: Exchange, endpoint: Endpoint) -> str | None:
    """Return why an exchange failed, in words; None if it did not."""
    if done.failure is not None:
        return done.failure.message
    failure = failure_of(done, endpoint, time())
    return None if failure is None else failure.message


def _model_of(endpoint: Endpoint, model: str | None) -> str | None:
    if endpoint.model is not None:
        return endpoint.model
    if "*" in endpoint.group:
        return None if model is None else endpoint.named(model, endpoint.group).model or model
    return endpoint.group


def _dialect_of(entry: ModelEntry, endpoint: Endpoint, model: str) -> str:
    if "embed" in model:
        return "embeddings"
    spoken = spoken_by(entry, endpoint)
    at_clouds = endpoint.provider.name in ("bedrock", "vertex") and "claude" in model
    if entry.speaks is None and at_clouds:
        return "messages"
    return next(name for name in ("chat", "messages", "responses") if name in spoken)


def _is_on_this_machine(endpoint: Endpoint) -> bool:
    """Return whether it is a server of this machine, which needs no key."""
    return endpoint.host in ("127.0.0.1", "localhost", "::1")
