"""The SDK's own retries: the proxy's hints make it come back in time, or not at all.

Counted is what the SDK sends; what the proxy makes of it upstream is the story's concern.
"""

import time
from contextlib import contextmanager

import openai
import pytest

from llmproxy.tools.simulator import Fault, VendorSettings, serve
from tests.clients.calls import HELLO
from tests.clients.houses import SEED
from tests.support.background import in_background
from tests.support.proxy import config_for, serve_proxy

SDK_RETRIES = 1


@contextmanager
def house_of(number, **settings):
    """A number of vendors and a proxy that has them all in one group."""
    vendors = [lambda *_: serve(VendorSettings(seed=SEED))] * number
    with in_background(
        *vendors,
        lambda *up: serve_proxy(config_for(*[v.base_url for v in up], group="*", **settings)),
    ) as (*up, proxy):
        yield up, proxy


def calls_of(proxy, expected):
    """The number of calls that are over; the last one is so shortly after its answer has come."""
    ends_at = time.monotonic() + 10
    while len(proxy.events.calls) < expected and time.monotonic() < ends_at:
        time.sleep(0.01)
    return len(proxy.events.calls)


def _asked(base_url, sync, retries=SDK_RETRIES):
    """Ask once; returns the exception, or None."""
    client = sync.openai(base_url, max_retries=retries)
    try:
        client.chat.completions.create(model="m", messages=HELLO)
    except openai.APIStatusError as error:
        return error
    return None


def _both(sync, fault):
    """(requests that the SDK sent, how it ended): directly, and through a proxy that never retries.

    `fault`: makes the fault that the one vendor has, anew for each.
    """
    with house_of(1, num_retries=0) as ((vendor,), proxy):
        vendor.faults[:] = [fault()]
        direct = _asked(vendor.base_url, sync)
        sent = vendor.counts.total()
        vendor.faults[:] = [fault()]
        proxied = _asked(proxy.base_url, sync)
        return (sent, direct), (calls_of(proxy, sent), proxied)


def test_the_sdk_comes_back_when_the_vendor_asked_it_to(sync):
    def fault():
        kind = "status:rate_limit_exceeded"
        return Fault(kind, times=1, retry_after_ms="60", retry_after="1")

    began_at = time.monotonic()
    assert _both(sync, fault) == ((2, None), (2, None))
    assert time.monotonic() - began_at >= 0.12


def test_the_sdk_does_not_come_back_when_the_vendor_asked_for_too_long(sync):
    direct, proxied = _both(sync, lambda: Fault("status:rate_limit_exceeded", retry_after="300"))
    for sent, error in (direct, proxied):
        assert sent == 1
        assert error.response.headers["retry-after"] == "300"


def test_the_sdk_does_not_insist_when_a_person_must_act(sync):
    """The proxy marks an empty account as not worth a retry; the SDK alone would retry."""
    direct, proxied = _both(sync, lambda: Fault("status:insufficient_quota"))
    assert direct[0] == 1 + SDK_RETRIES
    assert proxied[0] == 1
    assert proxied[1].response.headers["x-should-retry"] == "false"
    assert proxied[1].body == direct[1].body


@pytest.mark.parametrize("kind", ["status:rate_limit_exceeded", "status:500", "status:503"])
def test_a_passing_failure_of_one_endpoint_is_mended_by_the_sdk_as_it_is_directly(kind, sync):
    ends = _both(sync, lambda: Fault(kind, times=1, retry_after="none"))
    assert ends == ((2, None), (2, None))


@pytest.mark.parametrize("kind", ["status:401", "status:insufficient_quota"])
def test_the_sdk_does_not_insist_when_every_credential_is_refused(kind, sync):
    with house_of(2) as (vendors, proxy):
        for vendor in vendors:
            vendor.faults.append(Fault(kind))
        error = _asked(proxy.base_url, sync)
        assert calls_of(proxy, 1) == 1
        assert [vendor.counts.total() for vendor in vendors] == [1, 1]
    assert error.status_code == (401 if kind == "status:401" else 429)
    assert error.response.headers["x-should-retry"] == "false"


def test_the_sdk_comes_back_when_an_endpoint_is_expected_back(sync):
    with house_of(2, num_retries=1, cooldown_time=0.1) as (vendors, proxy):
        for vendor in vendors:
            vendor.faults.append(Fault("status:503", times=1))
        assert _asked(proxy.base_url, sync) is None
        assert calls_of(proxy, 2) == 2


@pytest.mark.parametrize(("asked_s", "told_s"), [(30, "30"), (300, "60")])
def test_a_429_of_all_endpoints_names_the_soonest_time_that_sdks_respect(asked_s, told_s, sync):
    with house_of(2) as (vendors, proxy):
        for vendor, more in zip(vendors, (0, 200), strict=True):
            fault = Fault("status:rate_limit_exceeded", retry_after=str(asked_s + more))
            vendor.faults.append(fault)
        error = _asked(proxy.base_url, sync, retries=0)
    assert isinstance(error, openai.RateLimitError)
    assert error.response.headers["retry-after"] == told_s
    assert 0 < int(error.response.headers["retry-after-ms"]) <= int(told_s) * 1000


def test_a_failure_that_the_proxy_mends_is_never_seen_by_the_sdk(sync):
    with house_of(2) as (vendors, proxy):
        vendors[0].faults.append(Fault("status:500"))
        assert [_asked(proxy.base_url, sync) for _ in range(4)] == [None] * 4
        assert calls_of(proxy, 4) == 4
        assert vendors[0].counts.total(500) > 0
