"""AWS: the keys of an identity, and signatures of requests (SigV4), by botocore (the extra
`llmproxy[bedrock]`).

botocore finds the keys as the AWS tools do: environment, profile, SSO, web identity, container,
instance. Keys that end are renewed by it, in the thread in which they are asked for.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from time import time
from typing import Any, NamedTuple

from llmproxy.batteries.credentials.renewed import Lasting
from llmproxy.calls import Header, Outgoing
from llmproxy.errors import CredentialRejected

# botocore renews keys 15 minutes before their end and insists on it 10 minutes before. So keys that
# it gave out are valid that long, but it must be asked often enough to renew them.
ASK_AGAIN_S = 60.0
VALID_S = 600.0
# Hashing a larger body takes more than a millisecond.
MAX_INLINE_BYTES = 512 * 1024
_REGION = re.compile(r"(?:^|\.)bedrock-(?:runtime|runtime-fips|mantle)\.([a-z0-9-]+)\.")


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
    """Return the region in the name of a Bedrock host; None if it has none."""
    found = _REGION.search(host)
    return None if found is None else found[1]


def service_of(host: str) -> str:
    """Return the name for which requests to a host are signed."""
    return "bedrock-mantle" if "bedrock-mantle." in host else "bedrock"


async def signature(
    outgoing: Outgoing, keys: AwsKeys, *, origin: str, service: str, region: str
) -> tuple[Header, ...]:
    """Return the headers that sign a request. `origin`: scheme, host and port.

    Signed are method, target, body, the host, the time, and the token of temporary keys: all that
    AWS demands, and nothing that a proxy in between may change.
    """
    if not isinstance(outgoing.body, bytes):
        raise CredentialRejected("a form that is being uploaded cannot be signed", sent=False)
    url = origin + outgoing.target.decode("ascii")
    arguments = (outgoing.method.decode("ascii"), url, outgoing.body, keys, (service, region))
    if len(outgoing.body) > MAX_INLINE_BYTES:
        return await asyncio.to_thread(_signed, *arguments)
    return _signed(*arguments)


def _signed(
    method: str, url: str, body: bytes, keys: AwsKeys, scope: tuple[str, str]
) -> tuple[Header, ...]:
    from botocore.auth import SigV4Auth  # noqa: PLC0415 - an optional extra
    from botocore.awsrequest import AWSRequest  # noqa: PLC0415
    from botocore.credentials import ReadOnlyCredentials  # noqa: PLC0415

    request = AWSRequest(method=method, url=url, data=body)
    frozen = ReadOnlyCredentials(keys.access_key, keys.secret_key, keys.token)
    SigV4Auth(frozen, *scope).add_auth(request)
    return tuple(
        (name.lower().encode("ascii"), value.encode("ascii"))
        for name, value in request.headers.items()
    )
