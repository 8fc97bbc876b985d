"""A config without a file: what the keys in the environment mean."""

import pytest

from llmproxy.batteries.config_file import config_from_environment
from llmproxy.errors import ConfigError

AZURE = {"AZURE_OPENAI_API_KEY": "az", "AZURE_OPENAI_ENDPOINT": "https://r.openai.azure.com"}


def endpoints(**environ):
    """(name, tier, base URL, key) of each endpoint."""
    (group,) = config_from_environment(environ).model_groups
    assert group.model_group == "*"
    assert [entry.model for entry in group.models] == [None] * len(group.models)
    return [
        (e.name, e.tier, e.params.base_url, e.params.api_key.get_secret_value())
        for e in group.models
    ]


def refusal(**environ):
    with pytest.raises(ConfigError) as raised:
        config_from_environment(environ)
    return str(raised.value)


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"PATH": "/bin"},
        {"OPENAI_BASE_URL": "http://127.0.0.1:4000/v1"},
        {"OPENAI_API_KEY": ""},
        {"OPENAI_API_KEY": " "},
        {"AZURE_OPENAI_API_KEY": "", "AZURE_OPENAI_ENDPOINT": ""},
    ],
)
def test_without_keys_there_is_no_config(environ):
    assert config_from_environment(environ) is None


def test_an_openai_key_is_one_endpoint_for_every_model():
    assert endpoints(OPENAI_API_KEY="k") == [
        ("api.openai.com", 0, "https://api.openai.com/v1/", "k")
    ]


def test_openais_other_variables_are_read_as_its_client_reads_them():
    config = config_from_environment(
        {
            "OPENAI_API_KEY": "k\n",
            "OPENAI_BASE_URL": "https://h.example/v1",
            "OPENAI_ORG_ID": "org",
            "OPENAI_PROJECT_ID": "proj",
        }
    )

    params = config.model_groups[0].models[0].params
    assert params.api_key.get_secret_value() == "k"
    assert params.base_url == "https://h.example/v1"
    assert (params.organization, params.project) == ("org", "proj")


@pytest.mark.parametrize("tail", ["", "/", "/openai", "/openai/", "/openai/v1", "/openai/v1/"])
def test_azures_pair_is_an_endpoint_in_the_v1_style(tail):
    environ = {**AZURE, "AZURE_OPENAI_ENDPOINT": "https://r.openai.azure.com" + tail}

    assert endpoints(**environ) == [
        ("r.openai.azure.com", 0, "https://r.openai.azure.com/openai/v1/", "az")
    ]


def test_azure_comes_first_and_openai_takes_what_it_cannot_serve():
    assert [(name, tier) for name, tier, _, _ in endpoints(OPENAI_API_KEY="k", **AZURE)] == [
        ("r.openai.azure.com", 0),
        ("api.openai.com", 1),
    ]


@pytest.mark.parametrize(
    ("version", "sent"), [("preview", {"api-version": "preview"}), ("2024-10-21", {}), ("", {})]
)
def test_only_versions_that_azures_v1_style_knows_are_sent(version, sent):
    config = config_from_environment({**AZURE, "OPENAI_API_VERSION": version})

    query = config.model_groups[0].models[0].params.default_query
    assert {name: value.get_secret_value() for name, value in query.items()} == sent


def test_half_of_azures_pair_is_a_mistake_even_beside_an_openai_key():
    assert "AZURE_OPENAI_ENDPOINT is not. Set it to https://" in refusal(
        AZURE_OPENAI_API_KEY="k", OPENAI_API_KEY="k"
    )
    assert "AZURE_OPENAI_API_KEY is not. Set it, or unset" in refusal(
        AZURE_OPENAI_ENDPOINT="https://r.openai.azure.com"
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_the_proxy_does_not_call_itself(host):
    said = refusal(OPENAI_API_KEY="k", OPENAI_BASE_URL=f"http://{host}:4000/v1")

    assert "it would call itself. Unset it where the proxy is started" in said


def test_another_port_of_this_machine_is_an_endpoint_like_any_other():
    assert endpoints(OPENAI_API_KEY="k", OPENAI_BASE_URL="http://127.0.0.1:8000/v1") == [
        ("127.0.0.1:8000", 0, "http://127.0.0.1:8000/v1", "k")
    ]


def test_an_invalid_value_is_reported_by_its_variable_and_not_shown():
    said = refusal(
        OPENAI_API_KEY="sk-x y",
        OPENAI_BASE_URL="sk-z",
        AZURE_OPENAI_API_KEY="ä",
        AZURE_OPENAI_ENDPOINT="http://[:/",
    ).splitlines()

    assert [line.split(": ")[:2] for line in said] == [
        ["environment", "AZURE_OPENAI_API_KEY"],
        ["environment", "AZURE_OPENAI_ENDPOINT"],
        ["environment", "OPENAI_API_KEY"],
        ["environment", "OPENAI_BASE_URL"],
    ]
    assert "sk-" not in "".join(said)


@pytest.mark.parametrize("variable", ["AWS_REGION", "AWS_DEFAULT_REGION"])
def test_a_key_of_bedrock_is_used_in_its_region(variable):
    environ = {"AWS_BEARER_TOKEN_BEDROCK": "k", variable: "eu-west-1", "AWS_PROFILE": "prod"}
    address = "https://bedrock-runtime.eu-west-1.amazonaws.com"
    assert endpoints(**environ) == [("bedrock-runtime.eu-west-1.amazonaws.com", 0, address, "k")]


def test_a_key_of_bedrock_without_a_region_is_a_mistake():
    said = refusal(AWS_BEARER_TOKEN_BEDROCK="k")
    assert "AWS_REGION is not. Set it" in said


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "HF_TOKEN", "GITHUB_TOKEN"])
def test_keys_that_serve_other_programs_first_are_not_used(name):
    assert config_from_environment({name: "k", "AWS_REGION": "us-east-1"}) is None
