"""The names that clients may use for a group, and the name that its endpoint gets."""

import json

from tests.support.client import ask
from tests.support.proxy import serve_proxy
from tests.support.run import bounded
from tests.support.vendor import always, chat, http, scripted

ANSWERING = always(http(chat("hi")))


def asking(model):
    return json.dumps({"model": model, "messages": [{"role": "user", "content": "hi"}]}).encode()


def entry(vendor, **settings):
    return {"params": {"base_url": vendor.base_url, "api_key": "sk-upstream"}, **settings}


def config_of(*groups, **settings):
    return {"model_groups": list(groups), "general_settings": {"drain_delay_s": 0, **settings}}


async def listed(proxy, **options):
    reply = await ask(proxy.port, method="GET", path="/v1/models", **options)
    return [model["id"] for model in reply.json["data"]]


def sent(vendor):
    """The models that a vendor was asked for."""
    return [json.loads(request.body)["model"] for request in vendor.received]


@bounded()
async def test_an_alias_is_served_by_its_group_under_the_groups_name():
    async with scripted(ANSWERING) as first, scripted(ANSWERING) as second:
        config = config_of(
            {
                "model_group": "gpt-4.1",
                "aliases": ["smart"],
                "hidden_aliases": ["gpt-4"],
                "models": [entry(first)],
            },
            {"model_group": "small", "aliases": ["fast"], "models": [entry(second, model="m")]},
            {"model_group": "plain", "models": [entry(second)]},
        )
        async with serve_proxy(config) as proxy:
            for model in ("gpt-4.1", "smart", "gpt-4", "fast", "plain"):
                reply = await ask(proxy.port, body=asking(model))
                assert reply.status == 200, model
            unknown = await ask(proxy.port, body=asking("gpt-5"))
            names = await listed(proxy)
            one = await ask(proxy.port, method="GET", path="/v1/models/gpt-4")
            none = await ask(proxy.port, method="GET", path="/v1/models/gpt-5")

    assert sent(first) == ["gpt-4.1", "gpt-4.1", "gpt-4.1"]
    assert sent(second) == ["m", "plain"]
    assert names == ["gpt-4.1", "small", "plain", "smart", "fast"]
    assert (one.status, one.json["id"]) == (200, "gpt-4")
    assert none.status == unknown.status == 404
    assert (
        "This proxy serves: gpt-4.1, small, plain, smart, fast." in unknown.json["error"]["message"]
    )
    groups = [call.record.group for call in proxy.events.calls if call.record.attempts]
    assert groups == ["gpt-4.1", "gpt-4.1", "gpt-4.1", "small", "plain"]


@bounded()
async def test_a_caller_reaches_by_aliases_only_its_own_groups():
    key = "sk-team-a-0123456789"
    async with scripted(ANSWERING) as vendor:
        config = config_of(
            {"model_group": "a", "aliases": ["x"], "models": [entry(vendor)]},
            {"model_group": "b", "aliases": ["y"], "models": [entry(vendor)]},
            {"model_group": "*", "models": [entry(vendor)]},
            callers=[{"name": "team-a", "key": key, "groups": ["a", "*"]}],
        )
        own = {"headers": [("authorization", f"Bearer {key}")]}
        async with serve_proxy(config) as proxy:
            statuses = {
                model: (await ask(proxy.port, body=asking(model), **own)).status
                for model in ("x", "y", "b", "z")
            }
            names = await listed(proxy, **own)
            hidden = await ask(proxy.port, method="GET", path="/v1/models/y", **own)

    assert statuses == {"x": 200, "y": 404, "b": 404, "z": 200}
    assert names == ["a", "x"]
    assert hidden.status == 404
    assert sent(vendor) == ["a", "z"]


@bounded()
async def test_what_the_star_stands_for_is_the_models_name_at_the_endpoint():
    async with scripted(ANSWERING) as openai, scripted(ANSWERING) as azure:
        config = config_of(
            {"model_group": "openai/*", "models": [entry(openai, model="*")]},
            {"model_group": "*-eu", "models": [entry(azure, model="eu-*-1")]},
            {"model_group": "router/*", "models": [entry(openai)]},
            {"model_group": "gpt-4.1", "models": [entry(openai, model="plain")]},
        )
        async with serve_proxy(config) as proxy:
            for model in ("openai/gpt-4.1", "openai/o3", "o3-eu", "router/o3", "gpt-4.1"):
                reply = await ask(proxy.port, body=asking(model))
                assert reply.status == 200, model
            no_star = await ask(proxy.port, body=asking("openai/"))
            names = await listed(proxy)
            known = await ask(proxy.port, method="GET", path="/v1/models/openai%2Fo3")
            unknown = await ask(proxy.port, method="GET", path="/v1/models/o3")

    assert sent(openai) == ["gpt-4.1", "o3", "router/o3", "plain"]
    assert sent(azure) == ["eu-o3-1"]
    assert no_star.status == 404
    assert names == ["gpt-4.1"]
    assert (known.status, known.json["id"], unknown.status) == (200, "openai/o3", 404)
    groups = [call.record.group for call in proxy.events.calls if call.record.attempts]
    assert groups == ["openai/*", "openai/*", "*-eu", "router/*", "gpt-4.1"]


@bounded()
async def test_a_fallback_gets_what_the_star_of_the_first_group_stands_for():
    failing = always(http(b"{}", status=500))
    async with scripted(failing) as down, scripted(ANSWERING) as other:
        config = config_of(
            {"model_group": "a/*", "models": [entry(down, model="*")], "fallbacks": ["b/*"]},
            {
                "model_group": "c",
                "aliases": ["d"],
                "models": [entry(down)],
                "fallbacks": ["b/*"],
            },
            {"model_group": "b/*", "models": [entry(other, model="b-*")]},
            num_retries=0,
        )
        async with serve_proxy(config) as proxy:
            for model in ("a/x", "c", "d"):
                reply = await ask(proxy.port, body=asking(model))
                assert reply.status == 200, model

    assert sent(other) == ["b-x", "b-c", "b-c"]


@bounded()
async def test_the_star_names_the_deployment_of_an_azure_resource():
    async with scripted(ANSWERING) as azure:
        resource = azure.base_url.removesuffix("/v1").rstrip("/")
        params = {"azure_endpoint": resource, "api_version": "2024-10-21", "api_key": "k"}
        config = config_of(
            {"model_group": "azure/*", "models": [{"model": "d-*", "params": params}]}
        )
        async with serve_proxy(config) as proxy:
            reply = await ask(proxy.port, body=asking("azure/gpt 4"))

    assert reply.status == 200
    assert "/openai/deployments/d-gpt%204/chat/completions?" in azure.received[0].line


@bounded()
async def test_wildcards_alone_are_an_empty_list():
    async with scripted(ANSWERING) as vendor:
        config = config_of({"model_group": "a/*", "models": [entry(vendor)]})
        async with serve_proxy(config) as proxy:
            names = await listed(proxy)

    assert names == []
    assert not vendor.received


@bounded()
async def test_two_callers_mean_different_groups_by_one_name():
    async with scripted(ANSWERING) as vendor:
        callers = [
            {"name": "a", "key": "sk-a-0123456789", "aliases": {"smart": "big"}},
            {
                "name": "b",
                "key": "sk-b-0123456789",
                "groups": ["small"],
                "aliases": {"smart": "small"},
            },
            {"name": "c", "key": "sk-c-0123456789"},
        ]
        config = config_of(
            {"model_group": "big", "models": [entry(vendor, model="b")]},
            {"model_group": "small", "models": [entry(vendor, model="s")]},
            callers=callers,
        )
        async with serve_proxy(config) as proxy:
            keys = [[("authorization", f"Bearer {caller['key']}")] for caller in callers]
            replies = [await ask(proxy.port, body=asking("smart"), headers=key) for key in keys]
            names = [await listed(proxy, headers=key) for key in keys]

    assert [reply.status for reply in replies] == [200, 200, 404]
    assert sent(vendor) == ["b", "s"]
    assert names == [["big", "small", "smart"], ["small", "smart"], ["big", "small"]]
