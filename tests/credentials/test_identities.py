"""An identity that an endpoint cannot have is refused with the config, with its line and remedy."""

import pytest

from llmproxy.batteries.config_file import ConfigFile
from llmproxy.batteries.credentials import CloudCredentials
from llmproxy.errors import ConfigError

BEDROCK = "https://bedrock-runtime.us-east-1.amazonaws.com"
VERTEX = "https://aiplatform.googleapis.com/v1/projects/p/locations/global"
PLATFORM = "https://aws-external-anthropic.us-west-2.api.aws/v1"
AZURE = "https://e.openai.azure.com/openai/v1/"


def problems_of(tmp_path, params, *, missing=()):
    file = tmp_path / "llmproxy.yaml"
    lines = [f"          {key}: {value}" for key, value in params.items()]
    head = [
        "model_groups:",
        "  - model_group: g",
        "    models:",
        "      - model: m",
        "        params:",
    ]
    file.write_text("\n".join([*head, *lines]))
    battery = CloudCredentials(is_installed=lambda module: module not in missing)
    try:
        ConfigFile(file, {}, check=battery.check).load()
    except ConfigError as refused:
        return [str(problem) for problem in refused.problems]
    return []


@pytest.mark.parametrize(
    "params",
    [
        {"base_url": BEDROCK, "credentials": "aws"},
        {"base_url": BEDROCK, "credentials": "aws:prod"},
        {"base_url": f"{BEDROCK}/openai/v1", "api_key": "k"},
        {"base_url": VERTEX, "credentials": "google"},
        {"base_url": f"{VERTEX}/endpoints/openapi", "credentials": "google:/etc/key.json"},
        {"base_url": AZURE, "azure_ad_token_provider": "cli"},
        {"base_url": PLATFORM, "credentials": "aws"},
        {"base_url": "https://claude.googleapis.com/v1/x/invoke/v1", "credentials": "google"},
    ],
)
def test_each_cloud_takes_its_own_identities(tmp_path, params):
    assert problems_of(tmp_path, params) == []


@pytest.mark.parametrize(
    ("params", "found", "remedy"),
    [
        (
            {"base_url": "https://api.groq.com/openai/v1", "azure_ad_token_provider": "cli"},
            "azure_ad_token_provider with provider 'groq', which takes no such tokens",
            "Write provider: azure",
        ),
        (
            {"base_url": BEDROCK, "azure_ad_token_provider": "cli"},
            "azure_ad_token_provider with provider 'bedrock'",
            "use api_key",
        ),
        (
            {"base_url": "https://api.groq.com/openai/v1", "credentials": "aws"},
            "credentials: aws with provider 'groq'",
            "Write provider: bedrock",
        ),
        (
            {"base_url": BEDROCK, "credentials": "google"},
            "credentials: google with provider 'bedrock'",
            "Write provider: vertex",
        ),
        (
            {"base_url": "https://api.anthropic.com/v1", "credentials": "google"},
            "credentials: google with provider 'anthropic'",
            "Write provider: vertex",
        ),
        (
            {"base_url": BEDROCK, "credentials": "amazon"},
            "credentials 'amazon' are not known",
            "Write aws, aws:PROFILE",
        ),
        (
            {"base_url": "https://bedrock-runtime.useast1.amazonaws.com", "api_key": "k"},
            "the unknown region 'useast1'",
            "us-east-1",
        ),
        (
            {"base_url": "https://us-east5-aiplatform.googleapis.com/v1", "credentials": "google"},
            "without project and location",
            "/v1/projects/PROJECT/locations/LOCATION",
        ),
        (
            {
                "base_url": "https://us-east5-aiplatform.googleapis.com/v1/projects/p/locations/"
                "us-central1",
                "credentials": "google",
            },
            "the host of us-east5 with the location us-central1",
            "the same in both places",
        ),
    ],
)
def test_a_mistake_is_told_with_the_remedy(tmp_path, params, found, remedy):
    (problem,) = problems_of(tmp_path, params)
    assert found in problem
    assert remedy in problem
    assert ":0:" not in problem


@pytest.mark.parametrize(
    ("params", "module", "extra"),
    [
        ({"base_url": BEDROCK, "credentials": "aws"}, "botocore", "llmproxy-gateway[bedrock]"),
        ({"base_url": VERTEX, "credentials": "google"}, "google.auth", "llmproxy-gateway[vertex]"),
        (
            {"base_url": AZURE, "azure_ad_token_provider": "cli"},
            "azure.identity",
            "llmproxy-gateway[entra]",
        ),
    ],
)
def test_a_missing_package_is_told_with_the_command_that_installs_it(
    tmp_path, params, module, extra
):
    (problem,) = problems_of(tmp_path, params, missing=(module,))
    assert f"pip install '{extra}'" in problem


def test_what_is_no_endpoint_at_all_is_told_once(tmp_path):
    (problem,) = problems_of(tmp_path, {"base_url": "https://e.openai.azure.com"})
    assert "an Azure address without the API's path" in problem


def test_a_key_needs_no_package(tmp_path):
    params = {"base_url": BEDROCK, "api_key": "k"}
    assert problems_of(tmp_path, params, missing=("botocore",)) == []
