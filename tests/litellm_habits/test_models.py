"""`/model/info` and `/model_group/info`, in LiteLLM's shapes."""

from types import SimpleNamespace

import pytest
from fastapi import HTTPException, Request

from llmproxy.batteries.litellm_habits.asking import client_of
from llmproxy.errors import Overload
from tests.litellm_habits.proxies import ADMIN_KEY, CALLERS, get, habitual
from tests.support.callers import KEY_A
from tests.support.client import ask
from tests.support.people import OPERATORS
from tests.support.run import bounded


@bounded()
async def test_an_endpoint_is_shown_as_a_deployment_without_key_and_address():
    async with habitual(groups=("gpt",)) as (vendor, proxy):
        for path in ("/model/info", "/v1/model/info"):
            reply = await get(proxy, path, ADMIN_KEY)
            (model,) = reply.json["data"]
            assert model["model_name"] == "gpt"
            assert model["litellm_params"]["model"].endswith("/gpt-4.1-mini")
            assert model["litellm_params"]["rpm"] == 600
            told = model["model_info"]
            assert (told["id"], told["db_model"], told["mode"]) == ("east", False, None)
            assert (told["input_cost_per_token"], told["output_cost_per_token"]) == (4e-7, 1.6e-6)
            assert b"secret" not in reply.body
            assert str(vendor.port).encode() not in reply.body


@bounded()
async def test_a_model_group_is_the_sum_of_its_endpoints():
    async with habitual(groups=("gpt",)) as (_, proxy):
        (group,) = (await get(proxy, "/model_group/info", ADMIN_KEY)).json["data"]
        assert (group["model_group"], group["rpm"], group["tpm"]) == ("gpt", 600, 90_000)
        assert (group["input_cost_per_token"], len(group["providers"])) == (4e-7, 1)


@bounded()
async def test_a_client_sees_the_models_that_it_may_use_and_an_operator_all():
    async with habitual(operators=OPERATORS) as (_, proxy):

        async def names(path, key):
            found = (await get(proxy, path, key)).json["data"]
            return [model.get("model_name") or model["model_group"] for model in found]

        for path in ("/model/info", "/model_group/info"):
            assert await names(path, KEY_A) == ["gpt"]
            assert await names(path, ADMIN_KEY) == ["gpt", "other"]
            assert await names(path, "sk-vic-viewer") == ["gpt", "other"]
            assert (await get(proxy, path, "sk-tea-team")).status == 403
        header = [("x-litellm-api-key", KEY_A)]
        assert (await ask(proxy.port, "/model/info", method="GET", headers=header)).status == 200


@bounded()
async def test_nobody_else_sees_models_and_the_error_has_litellms_shape():
    async with habitual() as (_, proxy):
        for key in (None, "sk-wrong"):
            reply = await get(proxy, "/model/info", key)
            assert reply.status == 401
            assert (reply.error["type"], reply.error["code"]) == ("auth_error", "401")
            assert set(reply.error) == {"message", "type", "param", "code"}


@bounded()
async def test_a_proxy_that_serves_everybody_shows_everybody_its_models():
    async with habitual(callers=None, database_url="off") as (_, proxy):
        for _ in range(9):  # no key is a wrong one here
            assert (await get(proxy, "/model/info", "sk-anything")).status == 200
        assert (await get(proxy, "/admin/state", ADMIN_KEY)).status == 200


@bounded()
async def test_one_endpoint_is_found_by_its_id_and_a_group_by_its_name():
    async with habitual(callers=[{**CALLERS[0], "groups": None}]) as (_, proxy):
        found = (await get(proxy, "/model/info?litellm_model_id=east", KEY_A)).json["data"]
        assert [model["model_info"]["id"] for model in found] == ["east", "east"]
        assert (await get(proxy, "/model/info?litellm_model_id=west", KEY_A)).status == 404
        found = (await get(proxy, "/model_group/info?model_group=other", KEY_A)).json["data"]
        assert [group["model_group"] for group in found] == ["other"]


def test_while_keys_are_being_read_nobody_is_taken_for_a_guesser():
    class Loading:
        def identify(self, headers, summary):
            raise Overload("The store of keys is being read.", retry_after_s=1)

    live = SimpleNamespace(runtime=SimpleNamespace(callers=Loading()))
    request = Request({"type": "http", "headers": []})
    with pytest.raises(HTTPException) as refused:
        client_of(live, request)
    assert (refused.value.status_code, refused.value.headers) == (503, {"retry-after": "1"})
