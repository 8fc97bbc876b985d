"""Headers pass untouched, except those that belong to one hop, one account or this proxy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.rules import headers as rules
from llmproxy.rules.headers import downstream_headers, upstream_headers

HOP_BY_HOP = [
    b"connection",
    b"keep-alive",
    b"proxy-authenticate",
    b"proxy-authorization",
    b"proxy-connection",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
]
CREDENTIALS = [
    b"authorization",
    b"api-key",
    b"x-api-key",
    b"x-goog-api-key",
    b"ocp-apim-subscription-key",
    b"openai-organization",
    b"openai-project",
]


@pytest.mark.parametrize(
    "name",
    [
        *HOP_BY_HOP,
        b"host",
        b"content-length",
        b"content-encoding",
        b"expect",
        b"cookie",
        b"forwarded",
        b"via",
        b"x-forwarded-for",
        b"x-forwarded-proto",
        b"x-forwarded-anything",
        b"x-real-ip",
        b"x-ms-spillover-deployment",
        b"x-llmproxy-cache",
        b"x-llmproxy-anything",
    ],
)
@pytest.mark.parametrize("keep_credential", [True, False])
def test_headers_of_this_hop_or_client_are_not_sent_upstream(name, keep_credential):
    headers = [(b"accept", b"*/*"), (name, b"x")]
    assert upstream_headers(headers, keep_credential=keep_credential) == [(b"accept", b"*/*")]


@pytest.mark.parametrize("name", CREDENTIALS)
def test_a_clients_credential_is_sent_upstream_only_if_the_endpoint_has_none(name):
    assert upstream_headers([(name, b"x")], keep_credential=False) == []
    assert upstream_headers([(name, b"x")], keep_credential=True) == [(name, b"x")]


@pytest.mark.parametrize(
    "name",
    [
        *HOP_BY_HOP,
        b"set-cookie",
        b"openai-organization",
        b"openai-project",
        b"anthropic-organization-id",
        b"content-length",
        b"x-llmproxy-endpoint",
        b"x-llmproxy-anything",
    ],
)
def test_headers_of_the_upstream_hop_or_our_account_are_not_sent_to_the_client(name):
    headers = [(b"content-type", b"text/plain"), (name, b"x")]
    assert downstream_headers(headers) == [(b"content-type", b"text/plain")]


@pytest.mark.parametrize(
    "name",
    [
        b"retry-after",
        b"retry-after-ms",
        b"x-should-retry",
        b"x-ratelimit-remaining-tokens",
        b"content-encoding",
        b"x-request-id",
        b"apim-request-id",
        b"x-ms-region",
        b"request-id",
        b"anthropic-ratelimit-tokens-reset",
        b"openai-processing-ms",
        b"x-anything-else",
    ],
)
def test_headers_that_clients_need_are_sent_to_them(name):
    assert downstream_headers([(name, b"x")]) == [(name, b"x")]


def test_headers_that_connection_lists_are_dropped_in_both_directions():
    headers = [
        (b"x-one-hop", b"1"),
        (b"connection", b"keep-alive, X-One-Hop"),
        (b"accept", b"a"),
        (b"connection", b"x-other"),
        (b"x-other", b"2"),
    ]
    assert upstream_headers(headers, keep_credential=False) == [(b"accept", b"a")]
    assert downstream_headers(headers) == [(b"accept", b"a")]


names = st.one_of(
    st.sampled_from([*HOP_BY_HOP, *CREDENTIALS, b"accept", b"x-stainless-os", b"content-type"]),
    st.sampled_from([b"x-llmproxy-x", b"x-forwarded-x", b"set-cookie", b"x-request-id"]),
    st.from_regex(rb"[a-z][a-z0-9-]{0,20}", fullmatch=True),
)
headers = st.lists(st.tuples(names, st.binary(max_size=12)))


@given(headers, st.booleans())
def test_order_and_duplicates_are_kept_and_nothing_is_invented(given_headers, keep_credential):
    for kept in (
        upstream_headers(given_headers, keep_credential=keep_credential),
        downstream_headers(given_headers),
    ):
        rest = iter(given_headers)
        assert all(any(header == other for other in rest) for header in kept)
        passing = {name for name, _ in kept}
        assert [header for header in given_headers if header[0] in passing] == kept


@given(headers)
def test_filtering_twice_changes_nothing(given_headers):
    once = upstream_headers(given_headers, keep_credential=False)
    assert upstream_headers(once, keep_credential=False) == once
    once = downstream_headers(given_headers)
    assert downstream_headers(once) == once


def test_what_names_decide_is_remembered_for_those_names_alone():
    """The same list of names again, with other values, in another order, with one more or less."""
    one = [(b"accept", b"1"), (b"host", b"a"), (b"x-own", b"2")]
    for headers in (one, one[::-1], one[:2], [*one, (b"x-own", b"3")], one, [(b"x-own", b"9")]):
        kept = upstream_headers(headers, keep_credential=False)
        assert kept == [header for header in headers if header[0] != b"host"]


def test_a_connection_header_is_read_each_time_though_its_names_are_known():
    for listed, kept in ((b"x-one", [b"x-two"]), (b"X-Two", [b"x-one"]), (b"close", 2)):
        headers = [(b"connection", listed), (b"x-one", b"1"), (b"x-two", b"2")]
        names = [name for name, _ in upstream_headers(headers, keep_credential=True)]
        assert names == kept or len(names) == kept


def test_names_that_are_made_up_do_not_fill_the_memory():
    for number in range(5 * rules.MAX_DECIDED):
        name = b"x-%d" % number
        assert downstream_headers([(name, b"")]) == [(name, b"")]
    assert len(rules._TO_CLIENT._decided) <= rules.MAX_DECIDED
    long = (b"x-" + b"y" * rules.MAX_DECIDED_BYTES, b"")
    assert downstream_headers([long]) == [long]
    assert (long[0],) not in rules._TO_CLIENT._decided
