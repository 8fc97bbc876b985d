"""The headers that LiteLLM's clients read from answers."""

import re

from tests.litellm_habits.proxies import answer, call, get, habitual
from tests.support.callers import KEY_A
from tests.support.proxy import serve_proxy
from tests.support.run import bounded
from tests.support.vendor import always, chat, http, scripted


def litellm_headers(reply):
    return {name: value for name, value in reply.headers if name.startswith("x-litellm-")}


@bounded()
async def test_an_answer_has_the_headers_of_the_call():
    async with habitual(cost_header=True) as (_, proxy):
        reply = await call(proxy, headers=[("x-request-id", "mine-1")])
        found = litellm_headers(reply)
        assert reply.status == 200
        assert found.pop("x-litellm-call-id") == "mine-1"
        for name in ("response", "overhead"):
            assert re.fullmatch(r"\d+\.\d{3}", found.pop(f"x-litellm-{name}-duration-ms"))
        assert found == {
            "x-litellm-model-group": "gpt",
            "x-litellm-model-id": "east",
            "x-litellm-response-cost": "0.0000044",
            "x-litellm-attempted-retries": "0",
            "x-litellm-attempted-fallbacks": "0",
        }


@bounded()
async def test_a_cost_is_told_to_those_only_who_may_know_it():
    async with habitual() as (_, proxy):
        assert "x-litellm-response-cost" not in litellm_headers(await call(proxy))


@bounded()
async def test_a_stream_has_the_headers_and_passes_as_it_is():
    async with habitual(cost_header=True) as (_, proxy):
        reply = await call(proxy, stream=True)
        found = litellm_headers(reply)
        assert reply.body.endswith(b"data: [DONE]\n\n")
        assert found["x-litellm-model-id"] == "east"
        assert "x-litellm-response-cost" not in found


@bounded()
async def test_retries_and_errors_are_told():
    def one_failure(_received, number):
        return [http(b"{}", status=500) if number == 1 else http(chat("good"))]

    async with habitual(answer=one_failure, num_retries=2, allowed_fails=9) as (_, proxy):
        found = litellm_headers(await call(proxy))
        assert found["x-litellm-attempted-retries"] == "1"
        reply = await call(proxy, model="nope")
        assert reply.status == 404
        assert litellm_headers(reply)["x-litellm-call-id"]


@bounded()
async def test_without_the_switch_and_without_a_call_there_are_no_such_headers():
    async with habitual(litellm_habits=None) as (_, proxy):
        assert not litellm_headers(await call(proxy))
    async with habitual() as (_, proxy):
        models = await get(proxy, "/v1/models", KEY_A)
        assert [model["id"] for model in models.json["data"]] == ["gpt"]
        assert not litellm_headers(models)


@bounded()
async def test_an_answer_of_the_cache_has_the_headers_and_costs_nothing():
    async with habitual(cost_header=True, cache=True) as (vendor, proxy):
        await call(proxy, temperature=0)
        reply = await call(proxy, temperature=0)
        found = litellm_headers(reply)
        assert (len(vendor.received), reply.header("x-llmproxy-cache")) == (1, "hit")
        assert (found["x-litellm-model-group"], found["x-litellm-attempted-retries"]) == (
            "gpt",
            "0",
        )
        assert "x-litellm-response-cost" not in found
        assert found["x-litellm-call-id"] != ""


@bounded()
async def test_the_switch_takes_effect_at_a_reload(tmp_path):
    text = "{general_settings: {litellm_habits: %s, drain_delay_s: 0, database_url: off}, "
    text += "model_groups: [{model_group: gpt, models: [{params: {base_url: %s, api_key: k}}]}]}"
    path = tmp_path / "llmproxy.yaml"
    async with scripted(answer) as vendor:
        off, on = (text % (switch, vendor.base_url) for switch in ("false", "true"))
        async with serve_proxy(off, path=path) as proxy:
            assert not litellm_headers(await call(proxy))
            assert (await get(proxy, "/model/info")).status == 404
            path.write_text(on)
            await proxy.reloader.reload()
            assert litellm_headers(await call(proxy))
            for place in ("/model/info", "/v1/model/info"):
                assert (await get(proxy, place)).json["data"][0]["model_name"] == "gpt"
            path.write_text(off)
            await proxy.reloader.reload()
            assert not litellm_headers(await call(proxy))


@bounded()
async def test_the_headers_of_a_litellm_that_is_an_endpoint_are_not_taken_for_ours():
    theirs = [("x-litellm-call-id", "theirs"), ("x-litellm-model-api-base", "http://in.side")]
    for switch, expected in ((True, False), (None, True)):
        with_theirs = always(http(chat("good"), headers=theirs))
        async with habitual(answer=with_theirs, litellm_habits=switch) as (_, proxy):
            reply = await call(proxy)
            assert len(reply.all("x-litellm-call-id")) == 1
            assert (("x-litellm-call-id", "theirs") in reply.headers) is expected
            assert (reply.header("x-litellm-model-api-base") is not None) is expected
