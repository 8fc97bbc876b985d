"""The architecture on one page: what each part expects of the others.

    server ─Client─> app ─> gateway ─> pipeline ─UpstreamResponse─> upstream
                               │           │
                  Callers, AnswerCache  Listener (every part reports; nothing waits for it)
                               │
                             Peers ─SharedQuota─> capacity of an account

The core is made of the parts in the first line. What surrounds it implements a protocol of this
page, and the core works without it. Parts are passed in; none imports another one's class.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, MutableMapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any, Protocol, TypeVar

import msgspec

from llmproxy.calls import Accepted, Call, Request, TraceContext
from llmproxy.config import Config, GeneralSettings, ModelGroup, Price
from llmproxy.errors import UpstreamError
from llmproxy.events import Listener
from llmproxy.operations import Usage
from llmproxy.operations.answers import AnswerKind
from llmproxy.providers.base import Endpoint, Endpoints
from llmproxy.record import CallRecord, Cost, RequestSummary
from llmproxy.routing import Group, Pool
from llmproxy.routing.group import Affinity, Hedging  # noqa: F401 - for the page
from llmproxy.routing.token_estimates import TokenEstimates  # noqa: F401 - for the page
from llmproxy.rules.body import Labels
from llmproxy.rules.capacity import Capacity, SharedQuota
from llmproxy.streams import (
    BodyReader,
    Client,
    Downstream,
    Form,
    Header,
    Headers,
    Mask,
    Sink,
    Upload,  # noqa: F401 - for the page
)

ConnectionT = TypeVar("ConnectionT", bound=asyncio.BaseProtocol)

# ASGI 3, as in starlette.types.
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

Prices = Mapping[tuple[str, str], Price]  # by group and endpoint
# Says what a call that is over cost; Pricing makes it, from the prices of a config.
PriceCall = Callable[[CallRecord], Cost]
Pricing = Callable[[Prices], PriceCall]
# Returns the headers that tell a client what its answer cost, which has been sent whole.
CostHeaders = Callable[[CallRecord], Headers]
# Says what a whole body with a success status is, and returns the usage that it reports. The second
# argument: the member where the operation's answers are; None: no particular form is promised.
ReadAnswer = Callable[[bytes, str | None], tuple[AnswerKind, Usage | None]]
# Says the usage of a stream that is over: what it reports, or else an estimate. The bytes: the last
# ones of it; their number: of all that went through.
StreamUsage = Callable[[Accepted, CallRecord, bytes, int], Usage | None]
# Returns a context manager that yields where to write an answer that is no stream and was not held,
# and notes its usage at the end.
MeterAnswer = Callable[[Accepted, Downstream, CallRecord], AbstractContextManager[Sink]]
# Returns the endpoints of a config with the `edit`, or the `translator`, of those that need one.
ParameterEdits = Callable[[Config, Endpoints], Endpoints]
# Returns the endpoints of a config with today's list prices where it gives none, or why they are
# not known. Raises ConfigError for a list that cannot be read.
PriceList = Callable[[Config, Endpoints], Endpoints]
# Returns a context manager for the time that a call is in flight. Entering it may refuse the call.
Admit = Callable[[Call, Group, CallRecord], AbstractAsyncContextManager[None]]
# Notes whom a call is for, and its tags, from its headers and the members of its body.
ReadLabels = Callable[[RequestSummary, Mapping[bytes, bytes], Labels | None], None]
# Asks the endpoints of a group.
AskGroup = Callable[[Call, Group, CallRecord], "GroupAttempts"]
# Returns what asks further groups of a config, too, from what asks one.
Fallbacks = Callable[[AskGroup, Config, Pool], AskGroup]
# Returns what keeps a group's conversations where they are; None = no call prefers an endpoint.
AffinityMaker = Callable[[ModelGroup, GeneralSettings, Group], Affinity | None]
# Asks the endpoints for an answer, AnswerIn those of a group, and relays it.
Ask = Callable[[Downstream, CallRecord], Awaitable[None]]
AnswerIn = Callable[[Call, Group, Client, CallRecord], Awaitable[None]]
AnswerStateful = Callable[[Client, CallRecord, AnswerIn], Awaitable[None]]
# Returns what knows which account of a config keeps what. The pool: all groups.
OwnersOf = Callable[[Pool], "Owners"]


class OwnerSource(Protocol):
    """Opens what knows which account keeps what, with the environment of the process."""

    def opened_with(self, settings: GeneralSettings) -> object:
        """Return the settings that it is opened with. Equal ones share one."""

    def open(
        self, settings: GeneralSettings, environ: Mapping[str, str]
    ) -> AbstractAsyncContextManager[OwnersOf]:
        """Open it. A store that cannot be used is no reason not to start."""


class GroupAttempts(AbstractAsyncContextManager[Accepted], Protocol):
    """The attempts of one call in one group. Entering returns the first accepted answer."""

    @property
    def may_go_elsewhere(self) -> bool:
        """Whether another group may serve the call: no attempt can have taken effect."""


class Credentials(Protocol):
    """The identities at clouds (tokens, signatures), and the requests that clouds want."""

    def check(self, config: Config, *, file: str) -> None:
        """Raise ConfigError, naming the file, for an identity that an endpoint cannot have."""

    def authorized(self, endpoints: Endpoints) -> Endpoints:
        """Return endpoints with the `authorize` of those whose requests need it."""


class Heartbeat(Protocol):
    """What a client sees while it waits for its answer."""

    def during(
        self, call: Call, client: Client, record: CallRecord
    ) -> AbstractAsyncContextManager[Client]:
        """Return a context manager that yields the client to use from here on.

        A failure that passes through has its answer completed, which the client gets; it becomes
        an event if the client has seen something before.
        """


class Callers(Protocol):
    """The callers of one config: who they are, what they may use, their limits."""

    def identify(
        self, headers: Headers, summary: RequestSummary, proven_names: tuple[str, ...] = ()
    ) -> None:
        """Note the caller that sent a request, its team, key and tags, if it has to be known.

        Raises ClientError for a missing or unknown key, Overload if keys are not known yet.
        """

    def pool_of(self, caller: str | None) -> Pool:
        """Return the groups that a caller may use."""

    def limiting(self, admit: Admit) -> Admit:
        """Return what counts calls against their callers' limits, and then admits them by `admit`.

        It raises CallerThrottled if there is no room.
        """

    def limit_headers(self, call: Call) -> Headers | None:
        """Return what a caller has left of its limits, in its dialect; None without limits."""

    def capacities(self) -> Iterable[Capacity]:
        """Return the capacity of each caller with limits, to be shared with other instances."""


class BudgetSource(Protocol):
    """Bounds what calls cost."""

    def check(self, config: Config, *, file: str) -> None:
        """Raise ConfigError, naming the file, for a budget that nobody can keep to."""

    def serve(self, runtime: Any) -> None:
        """Admit the calls of a Runtime, which becomes the current one, by budgets."""


class Admission(Protocol):
    """Bounds the calls in flight, of all configs together. `in_flight`: their number."""

    in_flight: int

    def limit_to(self, settings: GeneralSettings) -> None:
        """Apply the bounds of a config from now on, to waiting calls, too."""

    def admit(
        self, call: Call, group: Group, record: CallRecord
    ) -> AbstractAsyncContextManager[None]:
        """Admit a call. Raises Overload if there is no room."""


class Masking(Protocol):
    """Keeps what endpoints are sent and others may not read out of what endpoints answer."""

    def mask_of(self, endpoint: Endpoint) -> Mask:
        """Return the mask for what an endpoint answers. Equal endpoints have equal masks."""

    def conceal(
        self,
        failure: UpstreamError,
        call: Call | None,
        endpoint: Endpoint,
        credential: tuple[Header, ...],
    ) -> None:
        """Mask the message of a failed attempt, and the answer that it holds.

        `call`: None of a health check. `credential`: the headers that were sent, which may be in no
        config.
        """


class CallerSource(Protocol):
    """Makes the callers of each config. What they have used survives a reload."""

    def serve(
        self, settings: GeneralSettings, pool: Pool, share: Callable[[Capacity], None]
    ) -> Callers:
        """Return the callers of a config, which becomes the current one. `pool`: all groups.
        `share`: shares a capacity with other instances, of callers that come later."""


class WebPages(Protocol):
    """Decides which requests of web pages are served, and lets pages read their answers."""

    def listens_at(self, addresses: Iterable[str]) -> None:
        """Note the addresses that the server listens at, before the first request."""

    def adopt(self, settings: GeneralSettings) -> None:
        """Apply the settings of a config from now on."""

    def admit(self, request: Request, client: Client) -> tuple[Client, Headers | None]:
        """Return the client to answer through, and the headers of an answer (204) if the request
        only asks what a page may send.

        Raises ClientError for a request that no page may send.
        """


class ReadForm(Protocol):
    """Reads multipart forms."""

    async def __call__(
        self, reader: BodyReader, content_type: bytes, *, length: int | None, max_bytes: int | None
    ) -> Form:
        """Read a form until its model is known. The call that gets it closes it.

        `length`: in bytes, if announced. Raises ClientError for a form that is unusable or larger
        than `max_bytes`, OutOfResources if there is no room to keep it.
        """


class AnswerCache(Protocol):
    """Answers calls from earlier answers; sends identical calls that arrive together only once."""

    def serve(self, config: Config, prices: Prices) -> None:
        """Serve the groups and callers of a config from now on. `prices`: for what was saved."""

    def lookup(self, call: Call, group: Group, record: CallRecord) -> Any:
        """Return what to look up for a call, for `answer`; None if it is not cacheable.

        Raises ClientError for an unknown cache directive.
        """

    async def answer(self, lookup: Any, client: Client, record: CallRecord, ask: Ask) -> None:
        """Answer from the cache, else by `ask`. Raises what `ask` raises."""

    @property
    def in_background(self) -> Collection[asyncio.Task[None]]:
        """Calls that renew answers after their clients were served; they use the core, too."""


class AnswerCaches(Protocol):
    """The answer caches of a process: another one for each config that changes its settings."""

    def opened_with(self, settings: GeneralSettings) -> object:
        """Return the settings that a cache is opened with. Equal ones share one cache."""

    def open(self, settings: GeneralSettings) -> AbstractAsyncContextManager[AnswerCache]:
        """Open a cache. Raises ConfigError if its store cannot be used."""

    def install(self, settings: GeneralSettings) -> None:
        """Apply new bounds to the answers in memory, which survive a reload."""

    def forget(self, group: str | None, stored_before: float | None) -> object:
        """Remove answers from memory: of a group or all, stored before a Unix time or all."""


class Owners(Protocol):
    """Knows which account keeps which file, batch or response."""

    def answering(self, call: Call, pool: Pool) -> AnswerStateful | None:
        """Return what answers a call that names or creates such things; None for other calls."""


class Telemetry(Protocol):
    """Logs, metrics and traces: what is recorded of calls, and where it goes."""

    listener: Listener
    # Finds the place of a call in a trace from its headers; None = calls are not traced.
    trace_of: Callable[[Headers], TraceContext | None] | None

    def install(self, prices: Prices) -> None:
        """Count costs in these prices from now on."""


class TelemetryOpener(Protocol):
    """Opens the recorders of a config."""

    def open(self, config: Config) -> AbstractContextManager[Telemetry]:
        """Open it; at the end, write what is left."""


class SharedStatus(msgspec.Struct, frozen=True):
    """The state of the connection to the shared state, for the operator."""

    connected: bool  # False: each instance keeps to its part of every limit
    instances: int  # that share it, this one included, as last known
    why: str | None  # why it is not connected
    since_s: float  # how long this has been so


class Peers(Protocol):
    """The other instances: limits and endpoint states are shared with them."""

    @property
    def listener(self) -> Listener:
        """Publishes the changes of this instance's endpoints."""

    def serve(self, pool: Pool) -> None:
        """Apply to this pool what happens to its endpoints on other instances, from now on."""

    def quota_of(self, key: str, quota: SharedQuota | None, *, smooth: bool) -> SharedQuota:
        """Return the quota of the account that has this key on every instance.

        `quota`: the one used so far, which is returned if it still is the right one. `smooth`:
        the vendor counts in fixed windows, so spread requests over them.
        """

    def keep_only(self, keys: Collection[str]) -> None:
        """Drop the quotas of all other accounts."""

    def report_shortage(self, group: Group, now: float) -> None:
        """Report what the waiting calls of a group need, in case other instances can spare it."""

    def on_grant(self, callback: Callable[[], None]) -> None:
        """Call back when quota was granted, or the connection was lost or came back."""

    def on_purge(self, callback: Callable[[str | None, float | None], object]) -> None:
        """Call back when another instance purged its cache: group, stored before (Unix time)."""

    def publish_purge(self, group: str | None, stored_before: float) -> None:
        """Let the other instances purge their caches."""

    def status(self, now: float) -> SharedStatus:
        """Return the state of the connection. `now`: of `time.monotonic`."""


class Tunnel(Protocol):
    """A way to one origin through a proxy."""

    async def dial(self, protocol: Callable[[], ConnectionT], tls: ssl.SSLContext) -> ConnectionT:
        """Return a protocol that is connected to the origin by TLS. Raises OSError."""


class Resolver(Protocol):
    """Looks up host names."""

    async def addresses(self, host: str, port: int) -> list[str]:
        """Return addresses to try in turn. Raises OSError if the name cannot be resolved."""

    def close(self) -> None:
        """Release what it has open."""


class TlsSessions(Protocol):
    """Resumes the TLS sessions of earlier connections."""

    def resuming(self, settings: ssl.SSLContext) -> ssl.SSLContext:
        """Return a context with these settings that resumes sessions of its own connections."""

    def forget(self) -> None:
        """Forget the sessions of unfinished handshakes: one may have failed because of it."""


class Tunnels(Protocol):
    """The tunnels to the origins that are not reached directly."""

    def to(self, scheme: str, host: str, port: int) -> Tunnel | None:
        """Return the tunnel to an origin; None = it is reached directly."""


class PeerConnector(Protocol):
    """Connects to the peers through the server that a config names."""

    def opened_with(self, settings: GeneralSettings) -> object:
        """Return the settings that it is opened with. Equal ones share one; None = not shared."""

    def open(self, settings: GeneralSettings) -> AbstractAsyncContextManager[Peers]:
        """Connect."""
