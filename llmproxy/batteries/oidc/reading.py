"""Reads what an issuer publishes: its addresses (OIDC discovery) and its public keys."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from threading import Thread
from time import monotonic, time
from typing import Any, TypeVar
from urllib.error import HTTPError, URLError

import msgspec

from llmproxy.batteries.oidc.key_set import NoKeySet, PublicKey, read_key_set

T = TypeVar("T")
WITHIN_S = 5.0  # each piece of an answer
# The whole: an answer that comes in drops must not keep the keys of all from being read.
ALL_WITHIN_S = 15.0
MAX_BYTES = 1024 * 1024
DISCOVERY = "/.well-known/openid-configuration"


class Unreadable(Exception):
    """An issuer does not answer as it should. The text says why."""


class Published(msgspec.Struct, frozen=True):
    """What an issuer publishes. `ahead_s`: how far its clock is ahead of ours, if it says so."""

    addresses: Mapping[str, Any]
    keys: tuple[PublicKey, ...]
    ahead_s: float | None


def read_published(issuer: str, jwks_url: str | None) -> Published:
    """Return what an issuer publishes. Blocks; raises Unreadable.

    With a `jwks_url`, an issuer needs no discovery.
    """
    addresses = {} if jwks_url else _discovered(issuer)
    url = jwks_url or address_in(addresses, "jwks_uri", issuer)
    asked = time()
    document, date = exchange(url)
    try:
        keys = read_key_set(document)
    except NoKeySet as error:
        raise Unreadable(f"{url}: {error}") from error
    ahead_s = None
    with suppress(ValueError, TypeError):
        ahead_s = parsedate_to_datetime(date or "").timestamp() - (asked + time()) / 2
    return Published(addresses, keys, ahead_s)


def exchange(url: str, body: bytes | None = None, **headers: str) -> tuple[bytes, str | None]:
    """Get a URL, or post to it; return the answer and its date. Blocks; raises Unreadable."""
    # A redirect is not followed: whoever answers elsewhere would decide whom to trust.
    from llmproxy.batteries.without_redirects import opened  # noqa: PLC0415 - slow

    sent = {"user-agent": "llmproxy", "accept": "application/json", **headers}
    try:
        with opened(url, body, sent, within_s=WITHIN_S) as answer:
            found, until = b"", monotonic() + ALL_WITHIN_S
            while len(found) <= MAX_BYTES and (piece := answer.read1(MAX_BYTES)):
                found += piece
                if monotonic() > until:
                    raise TimeoutError("the answer does not end")
            date = answer.headers.get("date")
    except HTTPError as error:
        with error:
            said = error.read(200).decode("utf-8", "replace") if body is not None else ""
        raise Unreadable(f"{url} answered {error.code} {ascii(said) if said else ''}") from None
    except (URLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise Unreadable(f"{url} cannot be read: {reason or type(error).__name__}") from error
    if len(found) > MAX_BYTES:
        raise Unreadable(f"{url} answered with more than {MAX_BYTES:,} bytes")
    return found, date


def address_in(addresses: Mapping[str, Any], name: str, issuer: str) -> str:
    """Return an address that discovery gave. Raises Unreadable if there is none to be trusted."""
    url = addresses.get(name)
    if not isinstance(url, str) or not url.startswith(("https://", "http://")):
        raise Unreadable(f"{issuer}{DISCOVERY} has no {name}")
    if issuer.startswith("https:") and not url.startswith("https:"):
        raise Unreadable(f"its {name} is {url}, which is not encrypted")
    return url


async def in_thread(work: Callable[[], T], *, within_s: float = ALL_WITHIN_S) -> T:
    """Return what blocking work returns. A daemon does it, which delays no end of the process.

    Raises Unreadable, and leaves the daemon to itself, if it takes too long.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def finish(result: T | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is None:
            done.set_result(result)  # type: ignore[arg-type]
        else:
            done.set_exception(error)

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except BaseException as raised:  # noqa: BLE001 - handed to whoever waits
            error = raised
        with suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(finish, result, error)

    Thread(target=run, name="llmproxy-oidc", daemon=True).start()
    try:
        async with asyncio.timeout(within_s):
            return await done
    except TimeoutError:
        raise Unreadable(f"there was no whole answer within {within_s:g} s") from None


def _discovered(issuer: str) -> Mapping[str, Any]:
    url = issuer.rstrip("/") + DISCOVERY
    try:
        found = json.loads(exchange(url)[0])
    except ValueError as error:
        raise Unreadable(f"{url} answered no JSON") from error
    if not isinstance(found, dict) or found.get("issuer") != issuer:
        named = found.get("issuer") if isinstance(found, dict) else None
        raise Unreadable(f"{url} is of the issuer {named!r}; write the issuer like this")
    return found
