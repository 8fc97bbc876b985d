"""Callers by tokens, in whole proxies: what is accepted, what it stands for, what is refused."""

import json
from time import time

import pytest

from tests.oidc.calling import call, until_read, with_tokens
from tests.support.oidc_provider import (
    base64,
    by_secret,
    oidc_provider,
    private_key,
    shared_secret,
    signed,
)
from tests.support.proxy import serve_proxy
from tests.support.run import bounded
from tests.support.vendor import GOOD, scripted


@pytest.mark.parametrize(
    "key", ["RS256-a", "RS512-a", "PS256-a", "ES256-a", "ES384-a", "ES512-a", "EdDSA-a"]
)
@bounded()
async def test_a_token_of_the_issuer_stands_for_its_caller(key):
    with oidc_provider(keys=[key]) as provider:
        async with scripted(GOOD) as vendor:
            async with serve_proxy(with_tokens(vendor, provider)) as proxy:
                token = provider.token(key)
                assert (await until_read(proxy, token)).status == 200
                assert (await call(proxy, token)).status == 200
                assert {event.record.request.caller for event in proxy.events.calls} >= {"jwt:ann"}
                for received in vendor.received:
                    assert token not in str(received.headers), "a caller's token was passed on"


@bounded()
async def test_claims_say_the_caller_the_team_the_models_and_the_tags():
    claims = {
        "caller": ["email", "sub"],
        "team": "realm_access.groups",
        "models": "llm_models",
        "tags": "https://example.com/cost_center",
    }
    with oidc_provider() as provider:
        async with scripted(GOOD) as vendor:
            config = with_tokens(
                vendor,
                provider,
                claims=claims,
                teams={"g-2": "search"},
                require={"scope": ["llm.use", "llm.admin"]},
                tags=["tokens"],
                prefix="",
            )
            async with serve_proxy(config) as proxy:
                ann = {
                    "email": "ann@example.com",
                    "email_verified": True,
                    "realm_access": {"groups": ["g-1", "g-2"]},
                    "llm_models": ["gpt-4.1*"],
                    "https://example.com/cost_center": "cc-7",
                    "scope": "openid llm.use",
                }
                assert (await until_read(proxy, provider.token(**ann))).status == 200
                summary = proxy.events.calls[-1].record.request
                assert (summary.caller, summary.team) == ("ann@example.com", "search")
                assert summary.tags == ("tokens", "cc-7")
                other = provider.token(**{**ann, "llm_models": ["o3"]})
                assert (await call(proxy, other)).status == 404
                for lacks, says in (
                    ({"scope": "openid"}, "The token's scope must be or contain 'llm.use'"),
                    ({"llm_models": None}, "does not say the models"),
                    ({"realm_access": {"groups": ["g-9"]}}, "one of the values in `teams`"),
                ):
                    reply = await call(proxy, provider.token(**{**ann, **lacks}))
                    assert (reply.status, says in reply.error["message"]) == (401, True)
                unverified = provider.token(**{**ann, "email_verified": False})
                assert (await call(proxy, unverified)).status == 200
                assert proxy.events.calls[-1].record.request.caller == "ann"


@bounded()
async def test_limits_of_the_section_hold_for_each_caller():
    with oidc_provider() as provider:
        async with scripted(GOOD) as vendor:
            config = with_tokens(vendor, provider, limits={"rpm": 1})
            async with serve_proxy(config) as proxy:
                assert (await until_read(proxy, provider.token())).status == 200
                assert (await call(proxy, provider.token(jti="another"))).status == 429
                assert (await call(proxy, provider.token(sub="bob"))).status == 200


def none_alg(provider):
    return (
        base64({"alg": "none", "kid": "RS256-a"}) + b"." + base64(provider.claims())
    ).decode() + "."


def with_public_key(provider):
    """The classic: HMAC with the public key, which everybody has."""
    pem = private_key("RS256-a").as_pem(private=False)
    return by_secret({"alg": "HS256", "kid": "RS256-a"}, provider.claims(), pem)


def said_to_be_rsa(provider):
    pem = private_key("RS256-a").as_pem(private=False)
    return by_secret({"alg": "RS256", "kid": "RS256-a"}, provider.claims(), pem)


def by_own_key(provider, **header):
    own = private_key("RS256-evil")
    head = {"alg": "RS256", "kid": "RS256-a", **header}
    return signed(head, provider.claims(), own)


def with_embedded_key(provider):
    return by_own_key(provider, jwk=private_key("RS256-evil").as_dict(private=False))


def with_own_address(provider):
    there = f"http://127.0.0.1:{provider.port}/evil"
    return by_own_key(provider, jku=there, x5u=there)


def with_changed_body(provider):
    head, _, signature = provider.token().split(".")
    return f"{head}.{base64(provider.claims(sub='admin')).decode()}.{signature}"


def with_member_twice(provider):
    claims = json.dumps(provider.claims()).encode()
    twice = claims[:-1] + b', "sub": "admin"}'
    return signed({"alg": "RS256", "kid": "RS256-a"}, twice, private_key("RS256-a"))


def with_padding(provider):
    return provider.token() + "="


def with_line_break(provider):
    head, body, signature = provider.token().split(".")
    return f"{head}.{body}.{signature[:5]}!{signature[5:]}"


NOW = time()
ATTACKS = {
    "no signature": (none_alg, "signed by 'none' (alg)"),
    "HS256 with the public key": (with_public_key, "signed by 'HS256' (alg)"),
    "HMAC called RS256": (said_to_be_rsa, "signature is not by"),
    "another key under a known id": (by_own_key, "signature is not by"),
    "its own key in the header": (with_embedded_key, "signature is not by"),
    "its own address of keys": (with_own_address, "signature is not by"),
    "PS256 by a key that is for RS256 only": (
        lambda it: signed({"alg": "ES256", "kid": "RS256-a"}, it.claims(), private_key("ES256-x")),
        "not among the keys",
    ),
    "another issuer": (lambda it: it.token(iss="https://evil.example"), "issuer (iss) is"),
    "no issuer": (lambda it: it.token(iss=None), "issuer (iss) is missing"),
    "issuer with a slash": (lambda it: it.token(iss=it.issuer + "/"), "issuer (iss) is"),
    "another audience": (lambda it: it.token(aud="another"), "the audience 'llmproxy'"),
    "no audience": (lambda it: it.token(aud=None), "is for missing (aud)"),
    "audience of objects": (lambda it: it.token(aud=[{"llmproxy": 1}]), "the audience"),
    "audience that contains ours": (lambda it: it.token(aud="llmproxy2"), "the audience"),
    "over": (lambda it: it.token(exp=NOW - 3600), "Get a new one"),
    "never over": (lambda it: it.token(exp=None), "has no exp"),
    "ends as text": (lambda it: it.token(exp="4000000000"), "Unix seconds are expected"),
    "ends at infinity": (lambda it: it.token(exp=float("inf")), "Unix seconds are expected"),
    "ends at true": (lambda it: it.token(exp=True), "Unix seconds are expected"),
    "ends far away": (lambda it: it.token(exp=1e300), "Unix seconds are expected"),
    "not yet": (lambda it: it.token(nbf=NOW + 7200), "one of the two clocks is wrong"),
    "made tomorrow": (lambda it: it.token(iat=NOW + 86_400), "one of the two clocks is wrong"),
    "begins as a list": (lambda it: it.token(nbf=[]), "Unix seconds are expected"),
    "no caller": (lambda it: it.token(sub=None), "does not say the caller"),
    "a number as caller": (lambda it: it.token(sub=7), "does not say the caller"),
    "a list as caller": (lambda it: it.token(sub=["ann", "bob"]), "does not say the caller"),
    "an object as caller": (lambda it: it.token(sub={"a": 1}), "does not say the caller"),
    "a line break in the caller": (lambda it: it.token(sub="a\r\nb"), "does not say the caller"),
    "an endless caller": (lambda it: it.token(sub="a" * 5000), "does not say the caller"),
    "a path as key id": (lambda it: it.token(header={"kid": "../../dev/null"}), "not among the"),
    "SQL as key id": (lambda it: it.token(header={"kid": "' OR 1=1 --"}), "not among the keys"),
    "an address as key id": (lambda it: it.token(header={"kid": it.issuer}), "not among the keys"),
    "a list as key id": (lambda it: it.token(header={"kid": ["RS256-a"]}), "is no text"),
    "an endless key id": (lambda it: it.token(header={"kid": "k" * 1000}), "is no text"),
    "an extension": (
        lambda it: it.token(header={"crit": ["b64"], "b64": False}),
        "an extension (crit)",
    ),
    "a token of another purpose": (lambda it: it.token(header={"typ": "logout+jwt"}), "type (typ)"),
    "an object as type": (lambda it: it.token(header={"typ": {}}), "type (typ)"),
    "a huge one": (lambda it: it.token(groups=["g" * 100] * 200), "at most 16,384 are accepted"),
    "deeply nested": (
        lambda it: "ey" + "." + base64(b"[" * 9000).decode() + "." + "ab",
        "cannot be read",
    ),
    "a member twice": (with_member_twice, "has a member twice"),
    "a changed body": (with_changed_body, "signature is not by"),
    "padding": (with_padding, "signature cannot be read"),
    "letters that are none": (with_line_break, "signature cannot be read"),
    "a list as body": (
        lambda it: signed({"alg": "RS256", "kid": "RS256-a"}, [1], private_key("RS256-a")),
        "body cannot be read",
    ),
    "encrypted": (lambda it: "eyJ.a.b.c.d", "is encrypted"),
    "an id of a shared secret": (
        lambda it: signed({"alg": "HS256", "kid": "oct"}, it.claims(), shared_secret("s" * 32)),
        "signed by 'HS256'",
    ),
}


@pytest.fixture(scope="module")
def attacked():
    with oidc_provider() as provider:
        yield provider


@bounded()
async def test_no_forged_token_gets_in(attacked):
    async with scripted(GOOD) as vendor:
        async with serve_proxy(with_tokens(vendor, attacked)) as proxy:
            assert (await until_read(proxy, attacked.token())).status == 200
            asked = len(attacked.asked)
            found = {}
            for name, (forge, _) in ATTACKS.items():
                reply = await call(proxy, forge(attacked))
                found[name] = reply.status, reply.error["code"], reply.error["message"]
            wrong = {
                name: found[name]
                for name, (_, says) in ATTACKS.items()
                if found[name][:2] != (401, "invalid_token") or says not in found[name][2]
            }
            assert not wrong
            assert len(attacked.asked) == asked, "a token made the proxy ask for something"
            assert len(vendor.received) == 1
