"""A route becomes the path and query that an endpoint's dialect needs."""

import pytest

from llmproxy.config import Config
from llmproxy.providers import Endpoint, endpoints_of
from llmproxy.rules.paths import route_of

CLASSIC = {"azure_endpoint": "https://east.openai.azure.com", "api_version": "2024-10-21"}
V1 = {"base_url": "https://east.openai.azure.com/openai/v1/"}


def endpoint(model: str | None = None, **params: object) -> Endpoint:
    entry = {"model": model, "params": params}
    groups = [{"model_group": "g", "models": [entry]}]
    return endpoints_of(Config.model_validate({"model_groups": groups}))["g"][0]


def target(where: Endpoint, path: str, query: str = "") -> str:
    route = route_of(path.encode(), "POST")
    assert route is not None
    return where.provider.target(where, route, query.encode()).decode()


@pytest.mark.parametrize(
    "path", ["/v1/chat/completions", "/chat/completions", "/openai/deployments/x/chat/completions"]
)
def test_every_inbound_style_becomes_the_endpoints_own(path):
    assert target(endpoint(), path) == "/v1/chat/completions"
    assert target(endpoint(**V1), path) == "/openai/v1/chat/completions"
    assert (
        target(endpoint("gpt", **CLASSIC), path)
        == "/openai/deployments/gpt/chat/completions?api-version=2024-10-21"
    )


@pytest.mark.parametrize(
    "operation",
    [
        "chat/completions",
        "completions",
        "embeddings",
        "audio/speech",
        "audio/transcriptions",
        "images/generations",
        "images/edits",
    ],
)
def test_azures_classic_style_names_the_deployment(operation):
    found = target(endpoint("a b", **CLASSIC), "/v1/" + operation)
    assert found == f"/openai/deployments/a%20b/{operation}?api-version=2024-10-21"


@pytest.mark.parametrize("operation", ["responses", "files", "models", "chat/completions/c_1"])
def test_other_paths_of_the_classic_style_belong_to_the_resource(operation):
    found = target(endpoint("gpt", **CLASSIC), "/v1/" + operation)
    assert found == f"/openai/{operation}?api-version=2024-10-21"


def test_a_base_url_without_a_path_works():
    assert target(endpoint(base_url="https://x.example"), "/v1/responses") == "/responses"


def test_ids_are_sent_as_they_came():
    assert target(endpoint(), "/v1/files/a%20b%C3%A4") == "/v1/files/a%20b%C3%A4"


def test_the_clients_query_passes_as_it_came():
    query = "limit=20&after=a%20b&include[]=x&include[]=y&flag"
    assert target(endpoint(), "/v1/files", query) == f"/v1/files?{query}"


@pytest.mark.parametrize(
    ("query", "passes"),
    [
        ("api-version=2023-05-15", ""),
        ("api-version=2023-05-15&limit=2", "?limit=2"),
        ("limit=2&api%2Dversion=2023-05-15", "?limit=2"),
        ("api-version=1&api-version=2", ""),
    ],
)
def test_a_clients_api_version_never_goes_up(query, passes):
    assert target(endpoint(), "/v1/files", query) == "/v1/files" + passes


@pytest.mark.parametrize("query", ["api-version=2023-05-15", "", "api-version"])
def test_azure_gets_the_endpoints_own_version_once(query):
    found = target(endpoint("gpt", **CLASSIC), "/v1/files", query)
    assert found == "/openai/files?api-version=2024-10-21"


def test_an_endpoints_own_parameters_replace_the_clients():
    where = endpoint(default_query={"key": "ours", "b": "1"})
    assert target(where, "/v1/files", "key=theirs&c=2&k%65y=3") == "/v1/files?c=2&key=ours&b=1"


def test_a_model_in_the_query_becomes_the_upstreams_name():
    query = "model=alias&intent=x"
    assert target(endpoint("gpt/4"), "/v1/realtime", query) == "/v1/realtime?model=gpt/4&intent=x"
    assert target(endpoint(), "/v1/realtime", query) == f"/v1/realtime?{query}"
