"""A vendor's refusal raises the same exception through the proxy: class, status, code, body, id.

One endpoint and no retries, so that nothing can be mended. Every case has a group of its own,
because a refusal may leave its endpoint cooling.
"""

import pytest

from llmproxy.tools.simulator import VendorSettings
from tests.clients.calls import HELLO
from tests.clients.comparing import Place
from tests.clients.houses import SEED, everything_to
from tests.support.background import in_background
from tests.support.full_vendor import serve_full
from tests.support.proxy import serve_proxy

MODEL = "gpt-4.1"

# The refusals of the facts' table, and the exception that the client makes of each.
REFUSALS = {
    "status:400": "BadRequestError",
    "status:context_length_exceeded": "BadRequestError",
    "status:content_filter": "BadRequestError",
    "status:401": "AuthenticationError",
    "status:invalid_api_key": "AuthenticationError",
    "status:403": "PermissionDeniedError",
    "status:unsupported_country_region_territory": "PermissionDeniedError",
    "status:404": "NotFoundError",
    "status:model_not_found": "NotFoundError",
    "status:DeploymentNotFound": "NotFoundError",
    "status:408": "APIStatusError",
    "status:409": "ConflictError",
    "status:413": "APIStatusError",
    "status:422": "UnprocessableEntityError",
    "status:429": "RateLimitError",
    "status:rate_limit_exceeded": "RateLimitError",
    "status:slow_down": "RateLimitError",
    "status:insufficient_quota": "RateLimitError",
    "status:credit_balance_exhausted": "RateLimitError",
    "status:organization_spend_limit_exceeded": "RateLimitError",
    "status:project_spend_limit_exceeded": "RateLimitError",
    "status:organization_usage_limit_exceeded": "RateLimitError",
    "status:500": "InternalServerError",
    "status:502": "InternalServerError",
    "status:503": "InternalServerError",
    "status:server_is_overloaded": "InternalServerError",
    "status:504": "InternalServerError",
    "status:529": "InternalServerError",
}
ASKS = {
    "chat": lambda c, **more: c.chat.completions.create(messages=HELLO, **more),
    "stream": lambda c, **more: c.chat.completions.create(messages=HELLO, stream=True, **more),
    "responses": lambda c, **more: c.responses.create(input="Hello", **more),
}
STREAMS = {
    "stream": ASKS["stream"],
    "responses": lambda c, **more: c.responses.create(input="Hello", stream=True, **more),
}
# Told in a 200, before anything was said.
EARLY = ["early-error", "error-after-role", "failed-first", "overloaded-event"]


def _group(style, ask, fault):
    return f"{type(style).__name__} {ask} {fault}"


def _config(vendor):
    config = everything_to(vendor.base_url)
    (wildcard,) = config["model_groups"]
    params = wildcard["models"][0]["params"]
    for style in ("Sync", "Async"):
        for ask in ASKS:
            for fault in (*REFUSALS, *EARLY):
                config["model_groups"].append(
                    {
                        "model_group": f"{style} {ask} {fault}",
                        "models": [{"model": MODEL, "params": params}],
                    }
                )
    return config


@pytest.fixture(scope="module")
def house():
    """A vendor, and a proxy with a group for every case."""
    with in_background(
        lambda: serve_full(VendorSettings(seed=SEED)), lambda vendor: serve_proxy(_config(vendor))
    ) as (vendor, proxy):
        yield Place(vendor.root), Place(proxy.root)


def _ends(style, house, ask, *, group, fault):
    headers = {"x-simulator-fault": fault}
    return [
        style.end(
            lambda at=place, model=model: ask(
                style.openai(at.base_url), model=model, extra_headers=headers
            )
        )
        for place, model in zip(house, (MODEL, group), strict=True)
    ]


@pytest.mark.parametrize("ask", ASKS)
@pytest.mark.parametrize("fault", REFUSALS)
def test_a_refusal_raises_the_same_exception_through_the_proxy(fault, ask, style, house):
    group = _group(style, ask, fault)
    direct, proxied = _ends(style, house, ASKS[ask], group=group, fault=fault)
    assert direct["error"]["class"] == REFUSALS[fault]
    assert proxied == direct


@pytest.mark.parametrize("ask", STREAMS)
@pytest.mark.parametrize("fault", EARLY)
def test_a_failure_told_in_a_200_looks_the_same_through_the_proxy(fault, ask, style, house):
    group = _group(style, ask, fault)
    direct, proxied = _ends(style, house, STREAMS[ask], group=group, fault=fault)
    assert proxied == direct


# What the vendor finds wrong by itself, not by a fault.
WRONG = {
    "no messages": lambda c: c.chat.completions.create(model=MODEL, messages=[]),
    "n of 0": lambda c: c.chat.completions.create(model=MODEL, messages=HELLO, n=0),
    "a tool choice without tools": lambda c: c.chat.completions.create(
        model=MODEL, messages=HELLO, tool_choice="required"
    ),
    "an unknown previous response": lambda c: c.responses.create(
        model=MODEL, input="x", previous_response_id="resp_none"
    ),
    "too many dimensions": lambda c: c.embeddings.create(
        model=MODEL, input="x", dimensions=100_000
    ),
    "an unknown format of speech": lambda c: c.audio.speech.create(
        model=MODEL, input="x", voice="alloy", response_format="shellac"
    ),
    "an unknown format of a transcript": lambda c: c.audio.transcriptions.create(
        model=MODEL, file=("a.wav", b"x"), response_format="runes"
    ),
    "an unknown path": lambda c: c.post("/chat/nowhere", cast_to=object, body={"model": MODEL}),
    "no model": lambda c: c.post("/embeddings", cast_to=object, body={"input": "x"}),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_mistake_of_the_client_is_told_in_the_vendors_words(name, style, house):
    direct, proxied = [
        style.end(lambda at=place: WRONG[name](style.openai(at.base_url))) for place in house
    ]
    assert "error" in direct
    assert proxied == direct


def test_a_body_that_is_no_json_is_told_in_our_own_words(style, house):
    """Its model cannot be read, so no vendor is asked."""
    direct, proxied = [
        style.end(
            lambda at=place: style.openai(at.base_url).post(
                "/embeddings", cast_to=object, content=b'{"model": "gpt'
            )
        )["error"]
        for place in house
    ]
    said = "We could not parse the JSON body of your request"
    for error in (direct, proxied):
        assert error["class"] == "BadRequestError"
        assert said in error["message"]
        assert set(error["body"]) == {"message", "type", "param", "code"}
