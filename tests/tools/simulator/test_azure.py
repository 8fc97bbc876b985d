"""Azure as the real AzureOpenAI client, and the OpenAI client on its v1 paths, see it."""

import openai
import pytest

from llmproxy.tools.simulator import VendorSettings, serve
from tests.support.background import in_background
from tests.support.run import bounded
from tests.tools.simulator.wires import (
    HELLO,
    answered,
    azure_client,
    chat_request,
    openai_client,
    request,
)

CLASSIC = "/openai/deployments/d/chat/completions"
EMPTY_CHUNK = {"choices": [], "created": 0, "id": "", "model": "", "object": ""}


@bounded()
async def test_the_deployment_in_the_path_is_the_model():
    async with serve() as vendor, azure_client(vendor) as client:
        answer = await client.chat.completions.create(model="my-deployment", messages=HELLO)
    assert answer.model == "my-deployment"
    assert answer.prompt_filter_results[0]["content_filter_results"]["hate"]["severity"] == "safe"


def test_the_synchronous_client_works():
    with in_background(serve) as vendor:
        client = openai.AzureOpenAI(
            azure_endpoint=vendor.root, api_key="k", api_version="2024-10-21"
        )
        answer = client.embeddings.create(model="e", input="x")
        client.close()
    assert len(answer.data[0].embedding) == 1536


@bounded()
async def test_a_stream_begins_with_an_empty_chunk():
    async with serve() as vendor, azure_client(vendor) as client:
        stream = await client.chat.completions.create(model="d", messages=HELLO, stream=True)
        first, second, *_ = [chunk.model_dump(exclude_unset=True) async for chunk in stream]
    assert first.pop("prompt_filter_results")
    assert first == EMPTY_CHUNK
    assert second["choices"][0]["delta"]["role"] == "assistant"


@bounded()
async def test_the_v1_paths_need_no_api_version():
    async with serve(VendorSettings(dialect="azure")) as vendor:
        async with openai_client(vendor, base_url=vendor.azure_v1_url) as client:
            answer = await client.responses.create(model="gpt-4.1", input="Hello")
            assert (await client.models.list()).data
    assert answer.status == "completed"


@bounded()
async def test_other_classic_paths_have_no_deployment():
    async with serve() as vendor, azure_client(vendor) as client:
        answer = await client.responses.create(model="gpt-4.1", input="Hello")
    assert answer.model == "gpt-4.1"


@bounded()
async def test_classic_paths_need_an_api_version():
    async with serve() as vendor:
        status, _, body = await answered(vendor, chat_request(path=CLASSIC))
    assert (status, body) == (404, {"error": {"code": "404", "message": "Resource not found"}})


@bounded()
async def test_a_vendor_of_one_flavour_has_no_paths_of_the_other():
    async with serve(VendorSettings(dialect="openai")) as vendor:
        status, _, _ = await answered(vendor, chat_request(path=f"{CLASSIC}?api-version=x"))
        assert status == 404
    async with serve(VendorSettings(dialect="azure")) as vendor:
        status, _, body = await answered(vendor, chat_request())
        assert (status, body["error"]["message"]) == (
            404,
            "Invalid URL (POST /v1/chat/completions)",
        )


KEYS = VendorSettings(keys=frozenset({"good-key-0123456789"}))


@pytest.mark.parametrize(
    ("path", "header", "status"),
    [
        ("/v1/models", ("authorization", "Bearer good-key-0123456789"), 200),
        ("/v1/models", ("authorization", "bearer good-key-0123456789"), 200),
        ("/v1/models", ("authorization", "Bearer bad-key-0123456789"), 401),
        ("/v1/models", ("authorization", "Basic good-key-0123456789"), 401),
        ("/v1/models", ("api-key", "good-key-0123456789"), 401),
        ("/openai/v1/models", ("api-key", "good-key-0123456789"), 200),
        ("/openai/v1/models", ("authorization", "Bearer good-key-0123456789"), 200),
        ("/openai/v1/models", ("api-key", "bad"), 401),
        ("/openai/models?api-version=1", ("api-key", "good-key-0123456789"), 200),
    ],
)
@bounded()
async def test_each_flavour_accepts_its_own_kind_of_key(path, header, status):
    async with serve(KEYS) as vendor:
        sent = request(path, method="GET", headers=[header], key=None)
        assert (await answered(vendor, sent))[0] == status


@bounded()
async def test_the_error_for_a_wrong_key_is_the_vendors_and_hides_the_key():
    async with serve(KEYS) as vendor:
        sent = request("/v1/models", method="GET", key="sk-secret-0123456789")
        _, _, body = await answered(vendor, sent)
        assert body["error"]["code"] == "invalid_api_key"
        assert "sk-secret" not in body["error"]["message"]
        _, _, body = await answered(vendor, request("/v1/models", method="GET", key=None))
        assert body["error"]["message"].startswith("You didn't provide an API key.")
        sent = request("/openai/v1/models", method="GET", key="no")
        _, _, body = await answered(vendor, sent)
    assert body["error"]["code"] == "401"
    assert body["error"].keys() == {"code", "message"}


@bounded()
async def test_each_flavour_has_its_own_headers():
    async with serve(VendorSettings(region="West Europe")) as vendor:
        _, ours, _ = await answered(vendor, chat_request())
        headers = [("x-ms-client-request-id", "mine")]
        sent = request("/openai/v1/models", method="GET", headers=headers)
        _, azure, _ = await answered(vendor, sent)
    assert ours["x-request-id"].startswith("req_")
    assert ours["openai-organization"] == "org-simulated"
    assert ours["openai-version"] == "2020-10-01"
    assert ours["openai-processing-ms"].isdigit()
    assert azure["apim-request-id"] == azure["x-request-id"]
    assert azure["x-ms-region"] == "West Europe"
    assert azure["x-ms-client-request-id"] == "mine"
    assert "openai-organization" not in azure
    assert "set-cookie" in ours
    assert "set-cookie" in azure


@bounded()
async def test_the_error_for_an_unknown_model_is_the_vendors():
    async with serve(VendorSettings(models=("gpt-4o",))) as vendor:
        async with openai_client(vendor) as client:
            with pytest.raises(openai.NotFoundError) as caught:
                await client.chat.completions.create(model="gpt-4.1", messages=HELLO)
            assert caught.value.code == "model_not_found"
        async with azure_client(vendor) as client:
            with pytest.raises(openai.NotFoundError) as caught:
                await client.chat.completions.create(model="gpt-4.1", messages=HELLO)
            assert caught.value.code == "DeploymentNotFound"
