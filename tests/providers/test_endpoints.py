"""From configuration to endpoints: the dialect is recognised, the address and the key are right."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.config import Config
from llmproxy.errors import ConfigError
from llmproxy.providers import Endpoint, endpoints_of
from llmproxy.providers.registry import BY_NAME, PROVIDERS

SECRET = "sk-never-shown-0123456789"
CLASSIC = {"azure_endpoint": "https://east.openai.azure.com", "api_version": "2024-10-21"}


def config(*models: dict[str, object]) -> Config:
    return Config.model_validate({"model_groups": [{"model_group": "g", "models": list(models)}]})


def endpoint(**entry: object) -> Endpoint:
    return endpoints_of(config(entry))["g"][0]


def at(url: str, **entry: object) -> Endpoint:
    return endpoint(params={"base_url": url}, **entry)


def refusal(**entry: object) -> str:
    with pytest.raises(ConfigError) as refused:
        endpoint(**entry)
    (problem,) = refused.value.problems
    return str(problem)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://api.openai.com/v1/", "openai"),
        ("https://eu.api.openai.com/v1", "openai"),
        ("https://east.openai.azure.com/openai/v1/", "azure"),
        ("https://EAST.Services.AI.Azure.com/openai/v1/", "azure"),
        ("https://east.cognitiveservices.azure.com/openai/v1", "azure"),
        ("https://api.groq.com/openai/v1", "groq"),
        ("https://api.mistral.ai/v1", "mistral"),
        ("https://api.anthropic.com/v1/", "anthropic"),
        ("https://generativelanguage.googleapis.com/v1beta/openai/", "gemini"),
        ("https://openrouter.ai/api/v1", "openrouter"),
        ("https://bedrock-runtime.us-east-1.amazonaws.com/openai/v1", "bedrock"),
        ("https://bedrock-runtime-fips.us-east-1.amazonaws.com", "bedrock"),
        ("https://bedrock-mantle.us-east-1.api.aws/v1", "bedrock"),
        ("https://aws-external-anthropic.us-west-2.api.aws/v1", "anthropic"),
        ("https://claude.googleapis.com/v1/projects/p/locations/global/workspaces/w", "anthropic"),
        ("https://us-east5-aiplatform.googleapis.com/v1/projects/p/locations/us-east5", "vertex"),
        ("https://aiplatform.googleapis.com/v1/projects/p/locations/global", "vertex"),
        ("https://aiplatform.eu.rep.googleapis.com/v1/projects/p/locations/eu", "vertex"),
        ("https://ec2-1-2-3-4.compute-1.amazonaws.com/v1", "generic"),
        ("http://127.0.0.1:8000/v1", "generic"),
        ("https://notopenai.azure.com.example.org/v1", "generic"),
        ("https://evil-api.openai.com.example.org/v1", "generic"),
    ],
)
def test_the_host_says_which_provider_is_meant(url, name):
    assert at(url).provider.name == name


def test_without_any_address_it_is_openai():
    found = endpoint()
    assert (found.provider.name, found.host, found.port) == ("openai", "api.openai.com", 443)
    assert found.prefix == b"/v1"


@pytest.mark.parametrize("name", sorted(name for name, row in BY_NAME.items() if row.base_url))
def test_a_named_provider_brings_its_address(name):
    found = endpoint(provider=name)
    assert found.provider.name == name
    assert found.host
    assert not found.prefix.endswith(b"/")


@pytest.mark.parametrize("row", [row for row in PROVIDERS if row.base_url and row.hosts])
def test_a_row_is_recognised_by_its_own_address(row):
    assert at(row.base_url).provider is row


@pytest.mark.parametrize("name", ["generic", "azure", "azure-classic"])
def test_a_provider_without_a_usual_address_needs_one(name):
    assert "base_url" in refusal(provider=name, model="m")


def test_a_named_provider_overrules_the_host():
    assert at("http://127.0.0.1:8000/v1", provider="groq").provider.name == "groq"


def test_an_unknown_provider_is_refused_with_those_known():
    message = refusal(provider="opneai", name="east")
    assert "'opneai'" in message
    assert "'east'" in message
    assert "Known are: " in message
    assert "llamacpp" in message


def test_every_problem_is_told_at_once():
    with pytest.raises(ConfigError) as refused:
        endpoints_of(config({"provider": "a"}, {}, {"provider": "b"}))
    assert len(refused.value.problems) == 2


@pytest.mark.parametrize(
    ("url", "scheme", "host", "port", "host_header", "prefix"),
    [
        ("https://x.example/v1/", "https", "x.example", 443, b"x.example", b"/v1"),
        ("https://x.example:443", "https", "x.example", 443, b"x.example", b""),
        ("http://x.example:8080/a/b//", "http", "x.example", 8080, b"x.example:8080", b"/a/b"),
        ("http://X.Example/v1", "http", "x.example", 80, b"x.example", b"/v1"),
        ("http://[::1]:9/v1", "http", "::1", 9, b"[::1]:9", b"/v1"),
        ("https://[::1]/v1", "https", "::1", 443, b"[::1]", b"/v1"),
    ],
)
def test_an_address_is_taken_apart(url, scheme, host, port, host_header, prefix):
    found = at(url)
    assert (found.scheme, found.host, found.port) == (scheme, host, port)
    assert (found.host_header, found.prefix) == (host_header, prefix)


def test_what_config_says_of_an_endpoint_is_carried_over():
    found = endpoint(
        model="m",
        name="n",
        weight=7,
        tier=2,
        params={"timeout": 3.5, "default_query": {"a": "b c"}},
    )
    assert (found.group, found.model, found.name) == ("g", "m", "n")
    assert (found.weight, found.tier) == (7, 2)
    assert found.first_byte_timeout_s == 3.5
    assert found.query == b"a=b%20c"


# ---- Azure


def test_azure_endpoint_is_the_classic_style():
    found = endpoint(model="gpt 41/x", params={**CLASSIC, "api_key": SECRET})
    assert found.provider.name == "azure-classic"
    assert found.prefix == b"/openai"
    assert found.query == b"api-version=2024-10-21"
    assert found.deployment == b"gpt%2041%2Fx"
    assert found.credential == ((b"api-key", SECRET.encode()),)


def test_a_deployment_may_differ_from_the_model():
    found = endpoint(model="gpt-4.1", params={**CLASSIC, "azure_deployment": "mine"})
    assert (found.model, found.deployment) == ("gpt-4.1", b"mine")


@pytest.mark.parametrize("path", ["", "/", "/openai", "/openai/"])
def test_a_bare_azure_address_with_a_version_is_classic(path):
    url = "https://east.openai.azure.com" + path
    found = endpoint(model="m", params={"base_url": url, "api_version": "2024-10-21"})
    assert found.provider.name == "azure-classic"
    assert found.prefix == b"/openai"


def test_a_bare_azure_address_without_a_version_is_refused():
    assert "/openai/v1/" in refusal(model="m", params={"base_url": "https://e.openai.azure.com/"})


def test_a_base_url_with_the_deployment_in_it_is_refused():
    url = "https://e.openai.azure.com/openai/deployments/gpt"
    assert "azure_endpoint" in refusal(model="m", params={"base_url": url})


def test_a_classic_address_on_another_host_needs_version_and_deployment():
    url = {"base_url": "http://127.0.0.1:9"}
    assert "api_version" in refusal(model="m", provider="azure-classic", params=url)
    assert "deployment" in refusal(provider="azure-classic", params={**url, "api_version": "v"})
    found = endpoint(model="m", provider="azure-classic", params={**url, "api_version": "v"})
    assert found.prefix == b"/openai"


def test_azure_endpoint_cannot_belong_to_another_vendor():
    assert "groq" in refusal(model="m", provider="groq", params=CLASSIC)


def test_default_query_has_the_last_word_on_the_version():
    params = {
        "base_url": "https://e.openai.azure.com/openai/v1/",
        "default_query": {"api-version": "preview"},
        "api_version": "other",
    }
    assert endpoint(params=params).query == b"api-version=preview"


@pytest.mark.parametrize("key", ["azure_ad_token_provider", "credentials"])
def test_an_identity_stands_in_place_of_a_key(key):
    found = endpoint(model="m", params={**CLASSIC, key: "cli"})
    assert found.token_source == "cli"
    assert found.has_own_credential
    assert found.account != endpoint(model="m", params=CLASSIC).account


# ---- credentials and headers


def test_a_key_is_sent_as_bearer():
    found = endpoint(params={"api_key": SECRET})
    assert found.credential == ((b"authorization", b"Bearer " + SECRET.encode()),)
    assert found.has_own_credential


def test_without_a_key_the_client_brings_its_own():
    found = endpoint()
    assert found.credential == ()
    assert not found.has_own_credential


def test_organization_project_and_default_headers_go_with_every_request():
    found = endpoint(
        params={"organization": "org-1", "project": "p-1", "default_headers": {"X-Team": "blue"}}
    )
    assert set(found.extra_headers) == {
        (b"openai-organization", b"org-1"),
        (b"openai-project", b"p-1"),
        (b"x-team", b"blue"),
    }
    assert found.extra_header_names == {b"openai-organization", b"openai-project", b"x-team"}


def test_a_credential_among_default_headers_is_the_endpoints_credential():
    found = endpoint(params={"api_key": "sk-a", "default_headers": {"Authorization": "Basic b"}})
    assert found.credential == ((b"authorization", b"Basic b"),)
    assert found.extra_headers == ()


@pytest.mark.parametrize(
    "params",
    [
        {"api_key": SECRET},
        {**CLASSIC, "api_key": SECRET},
        {"default_headers": {"authorization": SECRET}},
        {"default_headers": {"x-key": SECRET}},
        {"default_query": {"key": SECRET}},
    ],
)
def test_no_representation_shows_a_secret(params):
    found = endpoint(model="m", params=params)
    assert SECRET not in f"{found} {found!r} {found.__rich_repr__()} {[found]}"


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "base_url": st.sampled_from(["http://x", "https://e.openai.azure.com", "http://x/v1/"]),
            "api_version": st.just("v"),
            "azure_ad_token_provider": st.just("cli"),
            "organization": st.sampled_from(["org", "\xf6rg"]),
        },
    ),
    st.sampled_from([None, *BY_NAME, "unknown"]),
    st.sampled_from([None, "m"]),
)
def test_a_valid_config_gives_endpoints_or_a_config_error(params, provider, model):
    try:
        valid = config({"params": params, "provider": provider, "model": model})
    except ValueError:
        return
    try:
        (found,) = endpoints_of(valid)["g"]
    except ConfigError as refused:
        assert all(problem.remedy for problem in refused.problems)
        return
    assert found.host
