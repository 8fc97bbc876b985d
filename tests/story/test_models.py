"""`GET /v1/models` answers in the shape that the asker's own API has, and so do its errors."""

import pytest

from tests.support.client import ask
from tests.support.proxy import config_for, serve_proxy
from tests.support.run import bounded
from tests.support.vendor import always, http, scripted

GOOD = always(http(b"{}"))
ANTHROPICS = [("anthropic-version", "2023-06-01")]
CODEX = "client_version=0.99.0"
KEY = "sk-caller-a-secret"


async def got(path, headers=(), method="GET", **settings):
    """Return the answer of a proxy with two groups, and one that asks an endpoint for nothing."""
    async with scripted(GOOD) as vendor:
        config = config_for(vendor.base_url, **settings)
        config["model_groups"].append({**config["model_groups"][0], "model_group": "claude/opus"})
        async with serve_proxy(config) as proxy:
            reply = await ask(proxy.port, path, method=method, headers=list(headers))
    assert not vendor.received
    return reply


@bounded()
async def test_clients_of_openai_get_openais_list():
    reply = await got("/v1/models")
    assert reply.json["object"] == "list"
    assert [model["id"] for model in reply.json["data"]] == ["gpt-4.1", "claude/opus"]
    assert reply.json["data"][0].keys() == {"id", "object", "created", "owned_by"}


@bounded()
async def test_clients_of_anthropic_get_anthropics_list():
    listed = (await got("/v1/models?limit=1000", ANTHROPICS)).json
    assert listed.keys() == {"data", "has_more", "first_id", "last_id"}
    assert listed["has_more"] is False
    assert (listed["first_id"], listed["last_id"]) == ("gpt-4.1", "claude/opus")
    for model in listed["data"]:
        assert model["type"] == "model"
        assert model["display_name"] == model["id"]
        assert model["created_at"].endswith("Z")


@bounded()
async def test_one_model_has_the_shape_of_the_list():
    path = "/v1/models/claude%2Fopus"
    assert (await got(path, ANTHROPICS)).json["type"] == "model"
    assert (await got(path)).json["object"] == "model"


@bounded()
async def test_codex_gets_a_list_that_it_can_read_and_keeps_its_own_models():
    assert (await got(f"/v1/models?{CODEX}")).json == {"models": []}


@pytest.mark.parametrize(
    ("method", "path", "settings", "status", "kind"),
    [
        ("GET", "/v1/models/none", {}, 404, "not_found_error"),
        (
            "GET",
            "/v1/nothing/here",
            {"callers": [{"name": "a", "key": KEY}]},
            401,
            "authentication_error",
        ),
        ("PUT", "/v1/models", {}, 405, "invalid_request_error"),
        ("GET", "/v1/messages", {}, 405, "invalid_request_error"),
        ("GET", "/nowhere", {}, 404, "not_found_error"),
    ],
)
@bounded()
async def test_errors_of_every_path_have_anthropics_shape_for_its_clients(
    method, path, settings, status, kind
):
    reply = await got(path, ANTHROPICS, method=method, **settings)
    assert reply.status == status
    assert reply.json["type"] == "error"
    assert reply.error["type"] == kind


@bounded()
async def test_a_wrong_method_on_messages_needs_no_header_to_get_anthropics_shape():
    reply = await got("/v1/messages/count_tokens")
    assert (reply.status, reply.error["type"]) == (405, "invalid_request_error")
