"""Endpoints that failed and get no calls are looked at, over real connections."""

import asyncio
from dataclasses import replace
from functools import partial
from time import monotonic

import pytest
import yaml

from llmproxy.batteries.config_file import parse_config
from llmproxy.batteries.health_checks import Pace, open_health_checks
from llmproxy.errors import ConfigError
from tests.admin.watching import endpoints_of, get_json, scrape
from tests.support.client import CHAT, ask
from tests.support.groups import endpoint, two_tiers
from tests.support.proxy import config_for, serve_proxy
from tests.support.run import bounded
from tests.support.vendor import chat, error_body, http, scripted
from tests.support.waiting import until

FAST = Pace(tick_s=0.01, least_s=0.03, most_s=0.06, timeout_s=0.5)
MODELS = {"object": "list", "data": [{"id": "gpt-4.1", "object": "model"}]}
SERVER_ERROR = http(error_body("server_error"), status=500)
WRONG_KEY = http(error_body("invalid_api_key", message="Incorrect API key provided"), status=401)


class Vendor:
    """A script that can be changed: the answer to calls, and the answer to health checks."""

    def __init__(self, call, check):
        self.call = call
        self.check = check

    def __call__(self, received, _number):
        return [self.check if received.line.startswith("GET") else self.call]


def well():
    return Vendor(http(chat()), http(MODELS))


def dead():
    return Vendor(SERVER_ERROR, SERVER_ERROR)


def serve(config, pace=FAST):
    return serve_proxy(config, health_checks=partial(open_health_checks, pace=pace))


def lines(vendor, method):
    return [received.line for received in vendor.received if received.line.startswith(method)]


def tiers(cheap, dear, **settings):
    config = two_tiers(cheap, dear)
    config["general_settings"] |= {"allowed_fails": 1, "cooldown_time": 0.2, **settings}
    return config


def state_of(proxy):
    """Return the state of the endpoint in the first tier."""
    return proxy.runtime.pool.groups["gpt-4.1"].states[0]


async def views_of(proxy, name):
    """Return what each view says of an endpoint: health, state, metric."""
    health = await get_json(proxy, "/health")
    found = next(found for found in health["endpoints"] if found["endpoint"] == name)
    state = (await endpoints_of(proxy))[name]["state"]
    metric = (await scrape(proxy))["llmproxy_endpoint_available", "gpt-4.1", name]
    return found["available"], state, metric, health["status"]


async def all_views_become(proxy, name, wanted):
    for _ in range(200):
        found = await views_of(proxy, name)
        if found == wanted:
            return
        await asyncio.sleep(0.02)
    assert found == wanted


@bounded()
async def test_an_idle_tier_that_recovers_is_known_to_be_well_without_a_call():
    cheap_script, dear_script = dead(), dead()
    async with scripted(cheap_script) as cheap, scripted(dear_script) as dear:
        async with serve(tiers(cheap, dear)) as proxy:
            await ask(proxy.port, body=CHAT)
            calls = len(lines(dear, "POST"))
            cheap_script.call = http(chat())
            cheap_script.check = http(MODELS)
            await until(lambda: lines(dear, "GET"))
            assert (await views_of(proxy, "dear"))[0] is False
            dear_script.check = http(MODELS)
            await all_views_become(proxy, "dear", (True, "ok", 1.0, "ok"))
            assert len(lines(dear, "POST")) == calls, "no call was needed"
            assert set(lines(dear, "GET")) == {"GET /v1/models HTTP/1.1"}
            (check, *_) = [got for got in dear.received if got.line.startswith("GET")]
            assert check.header("authorization") == "Bearer sk-upstream"
            number = len(dear.received)
            await asyncio.sleep(2 * FAST.most_s)
            assert len(dear.received) <= number + 1, "a healthy endpoint is not looked at"


@bounded()
async def test_a_dead_endpoint_does_not_become_available_by_waiting():
    for mode in ("off", "free"):
        async with scripted(dead()) as cheap, scripted(well()) as dear:
            async with serve(tiers(cheap, dear, cooldown_time=0.05, health_check=mode)) as proxy:
                await ask(proxy.port, body=CHAT)
                if mode == "free":
                    await until(lambda: len(lines(cheap, "GET")) >= 2)
                else:
                    await until(lambda: state_of(proxy).available(monotonic()))
                    assert not lines(cheap, "GET")
                available, shown, metric, status = await views_of(proxy, "cheap")
                assert (available, metric, status) == (False, 0.0, "degraded")
                assert shown in ("open", "half-open")


@bounded()
async def test_a_refused_key_keeps_it_aside_and_an_accepted_one_ends_that():
    script = Vendor(WRONG_KEY, WRONG_KEY)
    async with scripted(script) as cheap, scripted(well()) as dear:
        async with serve(tiers(cheap, dear)) as proxy:
            assert (await ask(proxy.port, body=CHAT)).status == 200
            await until(lambda: len(lines(cheap, "GET")) >= 2)
            found = (await endpoints_of(proxy))["cheap"]
            assert (found["state"], found["reason"]) == ("misconfigured", "credential_rejected")
            script.check = http(MODELS)
            await all_views_become(proxy, "cheap", (True, "ok", 1.0, "ok"))
            changes = [change.state.value for change in proxy.events.changes]
            assert changes == ["misconfigured", "cleared"]
            # It refuses calls all the same: checks are not believed any longer.
            await ask(proxy.port, body=CHAT)
            number = len(cheap.received)
            await until(lambda: len(cheap.received) >= number + 2)
            assert state_of(proxy).is_set_aside(monotonic())


@bounded()
async def test_a_check_is_no_call_and_no_attempt_and_has_a_metric_of_its_own():
    async with scripted(dead()) as cheap, scripted(well()) as dear:
        async with serve(tiers(cheap, dear)) as proxy:
            await ask(proxy.port, body=CHAT)
            before = len(proxy.events.attempts)
            await until(lambda: proxy.events.health_checks)
            samples = await scrape(proxy)
            failed = ("llmproxy_health_checks_total", "gpt-4.1", "cheap", "failed")
            assert samples[failed] >= 1
            assert samples["llmproxy_health_checks_total", "gpt-4.1", "dear", "ok"] == 0
            assert samples["llmproxy_attempts_total", "gpt-4.1", "cheap", "failed"] == 1
            assert (len(proxy.events.attempts), len(proxy.events.calls)) == (before, 1)


@bounded()
async def test_a_client_s_key_is_never_used_and_a_401_without_a_key_shows_that_it_answers():
    script = Vendor(SERVER_ERROR, WRONG_KEY)
    async with scripted(script) as cheap, scripted(well()) as dear:
        config = tiers(cheap, dear)
        del config["model_groups"][0]["models"][0]["params"]["api_key"]
        async with serve(config) as proxy:
            await ask(proxy.port, body=CHAT, headers=[("authorization", "Bearer sk-client")])
            await until(lambda: proxy.events.health_checks)
            (call, check, *_) = cheap.received
            assert call.header("authorization") == "Bearer sk-client"
            assert check.line.startswith("GET")
            assert check.header("authorization") is None
            assert (await endpoints_of(proxy))["cheap"]["state"] == "ok"


@pytest.mark.parametrize(
    ("status", "state"), [(200, "ok"), (404, "ok"), (401, "ok"), (503, "open")]
)
@bounded()
async def test_the_operator_s_own_path_is_asked_instead(status, state):
    script = Vendor(SERVER_ERROR, http(b"", status=status))
    async with scripted(script) as cheap, scripted(well()) as dear:
        config = tiers(cheap, dear, cooldown_time=0.1)
        config["model_groups"][0]["models"][0]["health_check"] = "/health?deep=1"
        async with serve(config) as proxy:
            await ask(proxy.port, body=CHAT)
            await until(lambda: proxy.events.health_checks)
            assert set(lines(cheap, "GET")) == {"GET /health?deep=1 HTTP/1.1"}
            assert (await endpoints_of(proxy))["cheap"]["state"] in (state, "half-open")
            assert proxy.events.health_checks[0].result == ("ok" if status < 500 else "failed")


@bounded()
async def test_one_check_at_a_time_speaks_for_all_groups_with_the_same_address_and_key():
    async with scripted(dead()) as one, scripted(well()) as other:
        config = config_for(endpoint(one, "one"), endpoint(other, "other", tier=1))
        config["general_settings"] |= {"allowed_fails": 1, "cooldown_time": 0.02}
        config["model_groups"].append({**config["model_groups"][0], "model_group": "second"})
        async with serve(config) as proxy:
            for model in ("gpt-4.1", "second"):
                await ask(proxy.port, body={"model": model, "messages": []})
            await until(lambda: len(proxy.events.health_checks) >= 2)
            groups = [check.group for check in proxy.events.health_checks[:2]]
            assert set(groups) == {"gpt-4.1", "second"}
            assert len(lines(one, "GET")) == 1


@bounded()
async def test_an_endpoint_that_could_not_be_reached_is_back_before_its_time_is_over():
    async with scripted(well()) as gone:
        pass
    async with scripted(well()) as dear:
        async with serve(tiers(gone, dear, cooldown_time=60)) as proxy:
            await ask(proxy.port, body=CHAT)
            assert (await endpoints_of(proxy))["cheap"]["state"] == "open"
            async with scripted(well(), port=gone.port) as back:
                await all_views_become(proxy, "cheap", (True, "ok", 1.0, "ok"))
                assert not lines(back, "POST")


@bounded()
async def test_a_vendor_that_hangs_costs_a_check_its_time_and_no_more():
    script = Vendor(SERVER_ERROR, "hang")
    pace = replace(FAST, timeout_s=0.05)
    async with scripted(script) as cheap, scripted(well()) as dear:
        async with serve(tiers(cheap, dear, cooldown_time=0.02), pace) as proxy:
            await ask(proxy.port, body=CHAT)
            await until(lambda: proxy.events.health_checks)
            assert proxy.events.health_checks[0].result == "failed"


@bounded()
async def test_anthropic_is_asked_as_its_own_api_wants_it():
    async with scripted(dead()) as cheap, scripted(well()) as dear:
        config = tiers(cheap, dear)
        config["model_groups"][0]["models"][0]["provider"] = "anthropic"
        async with serve(config) as proxy:
            await ask(proxy.port, body=CHAT)
            await until(lambda: lines(cheap, "GET"))
            check = cheap.received[-1]
            assert check.line == "GET /v1/models?limit=1000 HTTP/1.1"
            assert check.header("x-api-key") == "sk-upstream"
            assert check.header("anthropic-version") == "2023-06-01"
            assert check.header("authorization") is None


@bounded()
async def test_openrouter_is_asked_for_the_key_because_its_list_is_open_to_all():
    async with scripted(dead()) as cheap, scripted(well()) as dear:
        config = tiers(cheap, dear)
        config["model_groups"][0]["models"][0]["provider"] = "openrouter"
        async with serve(config) as proxy:
            await ask(proxy.port, body=CHAT)
            await until(lambda: lines(cheap, "GET"))
            assert cheap.received[-1].line == "GET /v1/key HTTP/1.1"


@bounded()
async def test_the_only_endpoint_of_a_group_is_shown_as_it_is_though_calls_still_try_it():
    script = dead()
    async with scripted(script) as vendor:
        config = config_for(endpoint(vendor, "only"), allowed_fails=1, num_retries=0)
        config["general_settings"]["cooldown_time"] = 0.1
        async with serve(config) as proxy:
            await ask(proxy.port, body=CHAT)
            assert (await views_of(proxy, "only"))[0] is False
            (found,) = (await get_json(proxy, "/health"))["endpoints"]
            assert found["why_not"].startswith("server_error; calls still try it")
            script.check = http(MODELS)
            await all_views_become(proxy, "only", (True, "ok", 1.0, "ok"))


@bounded()
async def test_a_check_that_began_under_an_earlier_config_changes_nothing(tmp_path):
    script = Vendor(SERVER_ERROR, "hang")
    path = tmp_path / "llmproxy.yaml"
    async with scripted(script) as cheap, scripted(well()) as dear:
        config = tiers(cheap, dear, cooldown_time=0.02)
        checks = partial(open_health_checks, pace=FAST)
        async with serve_proxy(config, health_checks=checks, path=path) as proxy:
            await ask(proxy.port, body=CHAT)
            await until(lambda: lines(cheap, "GET"))
            config["general_settings"] |= {"health_check": "off", "num_retries": 1}
            config["general_settings"]["timeouts"] = {"connect_s": 1}
            path.write_text(yaml.safe_dump(config))
            await proxy.reloader.reload()
            await asyncio.sleep(FAST.timeout_s + 0.1)
            assert not proxy.events.health_checks


@pytest.mark.parametrize("not_a_mode", ["free of charge", "health", "on"])
def test_another_value_than_off_free_or_a_path_is_refused(not_a_mode):
    config = config_for({"health_check": not_a_mode, "params": {"base_url": "http://a.test/v1"}})
    with pytest.raises(ConfigError, match="expected off, free or a path"):
        parse_config(yaml.safe_dump(config), {}, file="test.yaml")
