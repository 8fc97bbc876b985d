"""AWS: the keys of an identity, from botocore (the extra `bedrock`), and signatures.

botocore finds the keys as the AWS tools do: environment, profile, SSO, web identity, container,
instance. Keys that end are renewed by it, in the thread in which they are asked for.

A request is signed by Signature Version 4 (docs.aws.amazon.com/IAM/latest/UserGuide,
"Create a signed AWS API request"). botocore does the same in half a millisecond, which is more than
all else that the proxy does for a call.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
from collections.abc import Callable
from functools import lru_cache
from time import gmtime, strftime, time
from typing import Any, NamedTuple
from urllib.parse import quote

from llmproxy.batteries.credentials.renewed import Lasting
from llmproxy.calls import Header, Outgoing
from llmproxy.errors import CredentialRejected

# botocore renews keys 15 minutes before their end and insists on it 10 minutes before. So keys that
# it gave out are valid that long, but it must be asked often enough to renew them.
ASK_AGAIN_S = 60.0
VALID_S = 600.0
# Hashing a larger body takes more than a millisecond.
MAX_INLINE_BYTES = 512 * 1024
MANTLE, PLATFORM = "bedrock-mantle", "aws-external-anthropic"  # the latter is Anthropic's own API
ALGORITHM = "AWS4-HMAC-SHA256"
_REGION = re.compile(
    r"(?:^|\.)(?:bedrock-(?:runtime|runtime-fips|mantle)|aws-external-anthropic)\.([a-z0-9-]+)\."
)


class AwsKeys(NamedTuple):
    """The keys of an identity, and the region of its profile or environment."""

    access_key: str
    secret_key: str
    token: str | None
    region: str | None

    def __repr__(self) -> str:
        return "AwsKeys(...)"


def aws_keys(
    profile: str | None, wall: Callable[[], float] = time
) -> Callable[[], Lasting[AwsKeys]]:
    """Return what asks botocore for the keys of a profile; None = the default one."""
    session: Any = None

    def fetch() -> Lasting[AwsKeys]:
        nonlocal session
        if session is None:
            from botocore.session import Session  # noqa: PLC0415 - an optional extra, and slow

            session = Session(profile=profile)
        found = session.get_credentials()
        if found is None:
            where = "environment, profile, web identity, container or instance"
            raise CredentialRejected(f"no AWS keys: found none in {where}", sent=False)
        keys = found.get_frozen_credentials()
        region = session.get_config_variable("region")
        now = wall()
        return Lasting(
            AwsKeys(keys.access_key, keys.secret_key, keys.token, region),
            now + ASK_AGAIN_S,
            now + VALID_S,
        )

    return fetch


def region_of(host: str) -> str | None:
    """Return the region in the name of a host; None if it has none."""
    found = _REGION.search(host)
    return None if found is None else found[1]


def service_of(host: str) -> str:
    """Return the name for which requests to a host are signed."""
    return next((name for name in (MANTLE, PLATFORM) if f"{name}." in host), "bedrock")


async def signature(
    outgoing: Outgoing, keys: AwsKeys, *, host: bytes, service: str, region: str, now: float
) -> tuple[Header, ...]:
    """Return the headers that sign a request. `now`: Unix time.

    Signed are method, target, body, the host, the time, and the token of temporary keys: all that
    AWS demands, and nothing that a proxy in between may change.
    """
    body = outgoing.body
    if not isinstance(body, bytes):
        raise CredentialRejected("a form that is being uploaded cannot be signed", sent=False)
    if len(body) > MAX_INLINE_BYTES:
        digest = await asyncio.to_thread(_sha256, body)
    else:
        digest = _sha256(body)
    date = strftime("%Y%m%dT%H%M%SZ", gmtime(now))
    signed = [(b"host", host), (b"x-amz-date", date.encode("ascii"))]
    if keys.token is not None:
        signed.append((b"x-amz-security-token", keys.token.encode("ascii")))
    names = b";".join(name for name, _ in signed)
    path, query = canonical_target(outgoing.target)
    lines = b"".join(name + b":" + value + b"\n" for name, value in signed)
    parts = (outgoing.method, path, query, lines, names, digest)
    scope = f"{date[:8]}/{region}/{service}/aws4_request"
    text = f"{ALGORITHM}\n{date}\n{scope}\n".encode("ascii") + _sha256(b"\n".join(parts))
    key = _signing_key(keys.secret_key, date[:8], region, service)
    proof = hmac.digest(key, text, "sha256").hex()
    value = f"{ALGORITHM} Credential={keys.access_key}/{scope}, SignedHeaders={names.decode()}, "
    return (*signed[1:], (b"authorization", f"{value}Signature={proof}".encode("ascii")))


def canonical_target(target: bytes) -> tuple[bytes, bytes]:
    """Return path and query as they are signed: the path encoded once more, the query sorted."""
    path, _, query = target.partition(b"?")
    pairs = sorted(pair.partition(b"=")[::2] for pair in query.split(b"&")) if query else []
    signed_query = b"&".join(name + b"=" + value for name, value in pairs)
    return quote(path, safe="/~").encode("ascii"), signed_query


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).hexdigest().encode("ascii")


@lru_cache(maxsize=16)
def _signing_key(secret_key: str, day: str, region: str, service: str) -> bytes:
    """Return the key of one day, which never leaves this process."""
    key = f"AWS4{secret_key}".encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode("ascii"), "sha256")
    return key
