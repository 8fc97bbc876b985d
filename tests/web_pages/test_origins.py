"""Which pages may call, and which requests no page may send."""

import pytest

from llmproxy.batteries.web_pages.origins import (
    OriginPolicy,
    preflight_headers,
    readable_by,
    reading_origin,
)
from llmproxy.calls import Request
from llmproxy.errors import ClientError

HERE = (b"host", b"127.0.0.1:4000")
EVIL = (b"origin", b"https://evil.example")
DEV = (b"origin", b"http://localhost:5173")
APP = (b"origin", b"https://app.example.com")
JSON = (b"content-type", b"application/json")
KEY = (b"authorization", b"Bearer sk")
OPEN = OriginPolicy(loopback=True)
LISTED = OriginPolicy(loopback=True, allowed=frozenset((b"https://app.example.com",)))
EVERY_PAGE = OriginPolicy(loopback=True, allowed=frozenset((b"*",)))
EXPOSED = OriginPolicy()
KEYED = OriginPolicy(keyed=True, loopback=True, allowed=frozenset((b"https://app.example.com",)))


def site(value):
    return (b"sec-fetch-site", value)


def request(headers, method="POST"):
    named = dict(headers)
    from_browser = b"origin" in named or b"sec-fetch-site" in named
    return Request(method, b"/v1/models", b"", headers, b"", "127.0.0.1", 0.0, from_browser)


def origin_of(headers, policy):
    return reading_origin(request(headers), policy)


def refusal_code(headers, policy):
    with pytest.raises(ClientError) as refused:
        origin_of(headers, policy)
    assert refused.value.status == 403
    return refused.value.code


@pytest.mark.parametrize("policy", [OPEN, LISTED, EXPOSED, KEYED])
@pytest.mark.parametrize(
    "headers",
    [
        [],  # HTTP/1.0
        [HERE, JSON, KEY],
        [HERE, site(b"none")],  # typed into the address bar
        [HERE, site(b"same-origin")],
        [HERE, (b"origin", b"http://127.0.0.1:4000"), site(b"same-origin")],
        [HERE, (b"origin", b"https://127.0.0.1:4000")],  # TLS ends in front of us
    ],
)
def test_sdks_and_our_own_pages_are_served_and_need_no_permission(headers, policy):
    assert origin_of(headers, policy) is None


@pytest.mark.parametrize("policy", [OPEN, LISTED, EXPOSED])
@pytest.mark.parametrize(
    "headers",
    [
        [HERE, EVIL, JSON, KEY],
        [HERE, EVIL, site(b"same-origin")],
        [HERE, (b"origin", b"null")],
        [HERE, (b"origin", b"")],
        [HERE, (b"origin", b"http://127.0.0.1:4001")],
        [HERE, (b"origin", b"https://app.example.com.evil.example")],
        [HERE, (b"origin", b"https://app.example.com:8443")],
        [HERE, (b"origin", b"http://app.example.com")],
        [HERE, APP, EVIL],
        [HERE, site(b"cross-site")],
        [HERE, site(b"Same-Site")],
        [HERE, site(b"cross-site"), site(b"none")],
        [HERE, (b"origin", b"http://127.0.0.1:4000"), site(b"cross-site")],
    ],
)
def test_requests_of_foreign_pages_are_refused(headers, policy):
    assert refusal_code(headers, policy) == "origin_not_allowed"


def test_the_message_says_which_page_and_what_to_do():
    with pytest.raises(ClientError) as refused:
        origin_of([HERE, EVIL], OPEN)
    assert refused.value.message == (
        "A web page of 'https://evil.example' sent this request, and pages may not use this proxy. "
        "List the page's origin in general_settings.allowed_origins, or give clients keys "
        "(callers)."
    )


@pytest.mark.parametrize("more", [[], [site(b"cross-site")], [JSON], [KEY]])
def test_a_listed_page_may_call(more):
    assert origin_of([HERE, APP, *more], LISTED) == b"https://app.example.com"
    assert origin_of([HERE, APP, *more], EVERY_PAGE) == b"https://app.example.com"
    assert origin_of([HERE, EVIL, *more], EVERY_PAGE) == b"https://evil.example"


@pytest.mark.parametrize(
    "origin", [b"http://localhost:5173", b"https://127.0.0.1", b"http://[::1]:8"]
)
@pytest.mark.parametrize(
    "asked_first", [JSON, KEY, (b"x-api-key", b"k"), (b"access-control-request-method", b"POST")]
)
def test_a_page_that_this_machine_serves_may_call_if_its_browser_asked_first(origin, asked_first):
    assert origin_of([HERE, (b"origin", origin), site(b"same-site"), asked_first], OPEN) == origin


@pytest.mark.parametrize(
    "unasked",
    [
        [],
        [(b"content-type", b"text/plain;charset=UTF-8")],
        [(b"content-type", b"Multipart/Form-Data; boundary=b")],
        [(b"content-type", b"application/x-www-form-urlencoded")],
    ],
)
def test_what_any_page_may_send_unasked_is_refused_also_from_this_machine(unasked):
    assert refusal_code([HERE, DEV, site(b"same-site"), *unasked], OPEN) == "origin_not_allowed"


def test_pages_of_a_clients_machine_mean_nothing_to_a_proxy_that_others_reach():
    assert refusal_code([HERE, DEV, JSON, KEY], EXPOSED) == "origin_not_allowed"


def test_with_callers_the_key_decides_and_only_listed_pages_may_read():
    assert origin_of([HERE, EVIL, site(b"cross-site")], KEYED) is None
    assert origin_of([(b"host", b"evil.example"), site(b"cross-site")], KEYED) is None
    assert origin_of([HERE, APP], KEYED) == b"https://app.example.com"


@pytest.mark.parametrize(
    "host",
    [
        b"127.0.0.1",
        b"127.0.0.1:4000",
        b"[::1]:4000",
        b"[::1]",
        b"192.168.1.5:4000",
        b"localhost:4000",
        b"LOCALHOST",
        b"localhost.",
        b"llm.localhost",
        b"llmproxy:4000",
        b"host.docker.internal:4000",
        b"llm.example.com",
        b"LLM.example.com.:4000",
    ],
)
def test_hosts_that_no_foreign_site_can_choose_are_served(host):
    listed = OriginPolicy(loopback=True, hosts=frozenset((b"llm.example.com",)))
    assert origin_of([(b"host", host)], listed) is None


@pytest.mark.parametrize(
    "host",
    [
        b"evil.example:4000",
        b"127.0.0.1.evil.example",
        b"localhost.evil.example",
        b"evil@127.0.0.1",
        b"127.0.0.1@evil.example",
        b"1.2.3",
        b"0x7f.1",
        b"[::1].evil.example",
        b"\xff.example",
    ],
)
def test_a_name_that_a_foreign_site_could_own_is_refused_at_loopback(host):
    own = (b"origin", b"http://" + host)  # a page that was rebound to us is of our origin
    assert refusal_code([(b"host", host)], OPEN) == "host_not_allowed"
    assert refusal_code([(b"host", host), own, site(b"same-origin")], OPEN) == "host_not_allowed"
    assert origin_of([(b"host", host)], EXPOSED) is None


def test_a_preflight_is_answered_with_what_it_asks_for():
    asked = [
        DEV,
        (b"access-control-request-method", b"POST"),
        (b"access-control-request-headers", b"authorization,x-stainless-lang"),
    ]
    assert preflight_headers(request(asked, "OPTIONS")) == [
        (b"access-control-allow-methods", b"GET, HEAD, POST, DELETE, OPTIONS"),
        (b"access-control-max-age", b"600"),
        (b"access-control-allow-headers", b"authorization,x-stainless-lang"),
    ]
    assert preflight_headers(request([DEV], "OPTIONS")) is None


def test_a_page_may_read_every_header_of_its_answer():
    assert readable_by(b"https://a.example", [(b"x-request-id", b"r"), (b"vary", b"accept")]) == [
        (b"x-request-id", b"r"),
        (b"vary", b"accept"),
        (b"access-control-allow-origin", b"https://a.example"),
        (b"access-control-expose-headers", b"x-request-id, vary"),
        (b"vary", b"origin"),
    ]
