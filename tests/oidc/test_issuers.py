"""An issuer's keys: read in the background, kept while it is away, and read again if need be."""

import asyncio
import json
import threading

import pytest

from llmproxy.batteries.oidc.identities import TokenIdentities
from llmproxy.batteries.oidc.issuers import Issuers
from llmproxy.batteries.oidc.reading import Unreadable, in_thread
from llmproxy.batteries.settings import FullSettings
from llmproxy.errors import ClientError, Overload
from tests.oidc.calling import call, until_read, with_tokens
from tests.support.oidc_provider import base64, oidc_provider, private_key
from tests.support.proxy import config_for, serve_proxy
from tests.support.run import bounded
from tests.support.vendor import GOOD, scripted


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def identities_of(provider, clock, **jwt):
    issuers = Issuers(clock=clock)
    identities = TokenIdentities(issuers)
    identities.serve(FullSettings(jwt=provider.jwt(**jwt)))
    return identities, issuers


def refusal(identities, token, kind=ClientError):
    with pytest.raises(kind) as caught:
        identities.identity_of(token.encode())
    return str(caught.value)


@bounded()
async def test_a_new_key_is_read_once_and_a_revoked_one_is_refused():
    clock = Clock()
    with oidc_provider() as provider:
        identities, issuers = identities_of(provider, clock)
        await issuers.read_due()
        old = provider.token()
        ann = identities.identity_of(old.encode())
        assert ann.name == "jwt:ann"
        provider.keys[:] = ["ES256-b"]
        clock.now += 31
        new = provider.token("ES256-b")
        assert "are being read" in refusal(identities, new, Overload)
        await issuers.read_due()
        assert identities.identity_of(new.encode()) is ann, "another object for the same caller"
        assert "not among the keys" in refusal(identities, old)
        assert provider.count("/keys") == 2


@bounded()
async def test_unknown_keys_lead_to_one_read_in_30_seconds():
    clock = Clock()
    with oidc_provider() as provider:
        identities, issuers = identities_of(provider, clock)
        await issuers.read_due()
        for number in range(50):
            refusal(identities, provider.token(header={"kid": f"k{number}"}))
            await issuers.read_due()
        assert provider.count("/keys") == 1
        clock.now += 31
        for number in range(50):
            kind = Overload if number == 0 else ClientError
            refusal(identities, provider.token(header={"kid": f"k{number}"}), kind)
            await issuers.read_due()
        assert provider.count("/keys") == 2


@bounded()
async def test_the_last_known_keys_hold_while_the_issuer_is_away(caplog):
    clock = Clock()
    with oidc_provider() as provider:
        identities, issuers = identities_of(provider, clock)
        await issuers.read_due()
        provider.status = 503
        for _ in range(20):
            clock.now += 301
            await issuers.read_due()
            assert identities.identity_of(provider.token().encode()).name == "jwt:ann"
        for document in (b"nonsense", b'{"keys": []}', b'{"keys": 7}', b"[" * 100_000):
            provider.status, provider.document = 200, document
            clock.now += 301
            await issuers.read_due()
            assert identities.identity_of(provider.token().encode()).name == "jwt:ann"
    clock.now += 301
    await issuers.read_due()
    assert identities.identity_of(provider.token().encode()).name == "jwt:ann"
    told = [message for message in caplog.messages if "the last ones hold" in message]
    assert "/realm/keys answered 503" in told[0]
    assert len(told) < 10, "a line for each failed read"


@bounded()
async def test_keys_that_are_not_for_signatures_are_left_out():
    public = private_key("RS256-a").as_dict(private=False)
    unusable = [
        {**public, "use": "enc"},
        {**public, "n": base64(b"\xff" * 128).decode()},
        {"kty": "oct", "k": "c2VjcmV0", "kid": "RS256-a"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": 7},
        "RSA",
    ]
    with oidc_provider(document=json.dumps({"keys": unusable}).encode()) as provider:
        identities, issuers = identities_of(provider, Clock())
        await issuers.read_due()
        said = refusal(identities, provider.token(), Overload)
        assert "no public key of RSA (2048 bits or more)" in said


@bounded()
async def test_a_wrong_clock_is_told(caplog):
    with oidc_provider(date_ahead_s=600) as provider:
        _, issuers = identities_of(provider, Clock())
        await issuers.read_due()
        (line,) = (message for message in caplog.messages if "clock" in message)
        assert "s ahead of this machine's" in line
        assert "NTP" in line


@bounded()
async def test_the_issuer_of_the_config_must_be_the_issuer_itself():
    with oidc_provider() as provider:
        issuer = provider.issuer.replace("127.0.0.1", "localhost")
        identities, issuers = identities_of(provider, Clock(), issuer=issuer)
        await issuers.read_due()
        said = refusal(identities, provider.token(iss=issuer), Overload)
        assert f"is of the issuer '{provider.issuer}'" in said


@bounded()
async def test_with_an_address_of_keys_an_issuer_needs_no_discovery():
    with oidc_provider() as provider:
        issuer = "https://issuer.invalid"
        identities, issuers = identities_of(
            provider, Clock(), issuer=issuer, jwks_url=f"{provider.issuer}/keys"
        )
        await issuers.read_due()
        assert identities.identity_of(provider.token(iss=issuer).encode()).name == "jwt:ann"


@bounded()
async def test_no_call_waits_for_an_issuer_that_is_silent():
    silence = threading.Event()
    with oidc_provider(silence=silence) as provider:
        async with scripted(GOOD) as vendor:
            config = with_tokens(
                vendor, provider, settings={"callers": [{"name": "bob", "key": "sk-bob-1234"}]}
            )
            async with serve_proxy(config) as proxy:
                async with asyncio.timeout(4):
                    early = await call(proxy, provider.token())
                    assert (early.status, early.error["code"]) == (503, "keys_not_loaded")
                    assert early.header("retry-after") == "1"
                    assert (await call(proxy, "sk-bob-1234")).status == 200
                silence.set()
                assert (await until_read(proxy, provider.token())).status == 200


@bounded()
async def test_an_answer_that_comes_in_drops_is_given_up():
    """Each drop comes in time, so no timeout of the socket ends it."""
    ends = threading.Event()
    with pytest.raises(Unreadable, match=r"no whole answer within 0\.05 s"):
        await in_thread(ends.wait, within_s=0.05)
    ends.set()


@bounded()
async def test_with_tokens_nobody_is_served_without_one():
    with oidc_provider() as provider:
        async with scripted(GOOD) as vendor:
            async with serve_proxy(config_for(vendor.base_url, jwt=provider.jwt())) as proxy:
                reply = await call(proxy, "sk-something")
                assert (reply.status, reply.error["code"]) == (401, "invalid_api_key")
