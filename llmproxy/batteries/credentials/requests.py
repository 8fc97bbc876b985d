"""Adds to requests what Azure, Bedrock and Vertex AI need: a token or a signature, and their path.

Each class is the `authorize` of an endpoint: it gets the request that any endpoint with OpenAI's
API would get. Equal endpoints of two configs have equal ones, so that a reload keeps their state.
Sources: docs/project/upstreams.md, "Amazon Bedrock" and "Vertex AI".
"""

from __future__ import annotations

import re
from functools import lru_cache
from time import time
from urllib.parse import quote

import msgspec
from msgspec.structs import replace

from llmproxy.batteries.credentials.aws import AwsKeys, signature
from llmproxy.batteries.credentials.google import GoogleToken
from llmproxy.batteries.credentials.renewed import Renewed
from llmproxy.batteries.parameters import Edit
from llmproxy.calls import Header, Outgoing, header_lines
from llmproxy.errors import CredentialRejected, OperationRefused
from llmproxy.rules.body import peek

Authorized = tuple[Outgoing, tuple[Header, ...]]

MESSAGES = re.compile(rb"messages(?:/[^?]*)?(?:\?|$)")
VERSION = b"anthropic-version"
DEFAULT_VERSION = b"anthropic-version: 2023-06-01\r\n"
# A client of AWS may have signed its request to us.
_SIGNED_BY_CLIENT = re.compile(rb"^x-amz-[^\r\n]*\r\n", re.MULTILINE | re.IGNORECASE)
_VERSION_LINE = re.compile(rb"^anthropic-version: *([A-Za-z0-9._-]{1,40})\r$", re.M | re.I)
# What Vertex AI calls the version that Anthropic calls 2023-06-01. Later ones have one name.
FIRST_VERSION, FIRST_AT_VERTEX = b"2023-06-01", b"vertex-2023-10-16"


class EntraRequests(msgspec.Struct, frozen=True):
    """The same request with a token of Entra."""

    token: Renewed[bytes]

    async def __call__(self, outgoing: Outgoing) -> Authorized:
        """Return the request with a token. Raises CredentialRejected without one."""
        return _with(outgoing, ((b"authorization", b"Bearer " + await self.token.get()),))


class AwsRequests(msgspec.Struct, frozen=True):
    """The same request, signed. `region`: None = that of the keys."""

    host: bytes
    service: str
    region: str | None
    keys: Renewed[AwsKeys]

    async def __call__(self, outgoing: Outgoing) -> Authorized:
        """Return the request, signed. Raises CredentialRejected without keys or a region."""
        keys = await self.keys.get()
        region = self.region or keys.region
        if region is None:
            why = "the address names no region, nor does the profile or AWS_DEFAULT_REGION"
            raise CredentialRejected(f"no AWS signature: {why}", sent=False)
        outgoing = replace(outgoing, head=_SIGNED_BY_CLIENT.sub(b"", outgoing.head))
        credential = await signature(
            outgoing, keys, host=self.host, service=self.service, region=region, now=time()
        )
        return _with(outgoing, credential)


class GoogleRequests(msgspec.Struct, frozen=True):
    """The same request with an access token of Google."""

    token: Renewed[GoogleToken]

    async def __call__(self, outgoing: Outgoing) -> Authorized:
        """Return the request with a token. Raises CredentialRejected without one."""
        token = await self.token.get()
        credential: tuple[Header, ...] = ((b"authorization", b"Bearer " + token.token),)
        if token.quota_project is not None:
            credential += ((b"x-goog-user-project", token.quota_project),)
        return _with(outgoing, credential)


class BedrockRequests(msgspec.Struct, frozen=True):
    """Bedrock: OpenAI's API and Anthropic's have paths of their own.

    `prefix`: the path of the base URL. `openai`: that of OpenAI's API if the base URL has none.
    `signed`: None = the endpoint's API key is sent.
    """

    prefix: bytes
    openai: bytes
    signed: AwsRequests | None

    async def __call__(self, outgoing: Outgoing) -> Authorized:
        """Return the request, signed. Raises CredentialRejected without keys or a region."""
        outgoing = self._addressed(outgoing)
        return (outgoing, ()) if self.signed is None else await self.signed(outgoing)

    def _addressed(self, outgoing: Outgoing) -> Outgoing:
        operation = outgoing.target[len(self.prefix) + 1 :]
        if MESSAGES.match(operation):
            head = outgoing.head
            if b"\r\n" + VERSION + b":" not in b"\r\n" + head.lower():
                head += DEFAULT_VERSION
            return replace(outgoing, target=b"/anthropic/v1/" + operation, head=head)
        if not self.prefix:
            return replace(outgoing, target=self.openai + b"/" + operation)
        return outgoing


class VertexRequests(msgspec.Struct, frozen=True):
    """Vertex AI: OpenAI's API below `endpoints/openapi`, Anthropic's by `rawPredict`.

    `prefix`: the path of the base URL. `root`: the same up to the location. `query`: the endpoint's
    own. `sent`: None = the endpoint's own key is sent.
    """

    prefix: bytes
    root: bytes
    query: bytes
    sent: GoogleRequests | None

    async def __call__(self, outgoing: Outgoing) -> Authorized:
        """Return the request with a token. Raises CredentialRejected without one."""
        outgoing = self._addressed(outgoing)
        return (outgoing, ()) if self.sent is None else await self.sent(outgoing)

    def _addressed(self, outgoing: Outgoing) -> Outgoing:
        operation = outgoing.target[len(self.prefix) + 1 :]
        if MESSAGES.match(operation) and isinstance(outgoing.body, bytes):
            return self._of_messages(outgoing, operation.partition(b"?")[0], outgoing.body)
        if self.prefix != self.root:
            return outgoing
        is_responses = operation.startswith(b"responses")
        api = b"/publishers/openai/v1/" if is_responses else b"/endpoints/openapi/"
        return replace(outgoing, target=self.root + api + operation)

    def _of_messages(self, outgoing: Outgoing, operation: bytes, body: bytes) -> Outgoing:
        given = _VERSION_LINE.search(outgoing.head)
        version = FIRST_VERSION if given is None else given[1]
        if operation == b"messages":
            seen = peek(body)
            model = quote(seen.model or "", safe="@:-._~").encode("ascii")
            verb = b"streamRawPredict" if seen.stream else b"rawPredict"
            body = _versioned(version, without=("model",))(body)[0]
        elif operation == b"messages/count_tokens":
            model, verb = b"count-tokens", b"rawPredict"
            body = _versioned(version)(body)[0]
        else:
            raise OperationRefused("Vertex AI has no batches of messages", sent=False)
        target = b"%b/publishers/anthropic/models/%b:%b" % (self.root, model, verb)
        if self.query:
            target += b"?" + self.query
        return replace(outgoing, target=target, body=body)


@lru_cache(maxsize=16)
def _versioned(version: bytes, without: tuple[str, ...] = ()) -> Edit:
    """Return the edit that adds `anthropic_version` to a body without one."""
    name = FIRST_AT_VERTEX if version == FIRST_VERSION else version
    return Edit(drop=frozenset(without), defaults=(("anthropic_version", b'"%b"' % name),))


def _with(outgoing: Outgoing, credential: tuple[Header, ...]) -> Authorized:
    return replace(outgoing, head=outgoing.head + header_lines([*credential])), credential
