# ruff: noqa: E501 - a table: one vendor a line
"""LiteLLM's model_list becomes groups and endpoints that route as it does."""

import pytest

from tests.tools.importing.imported import example, imported

AZURE = "model: azure/dep, api_key: os.environ/K"


def one_model(folder, params, **more):
    text = f"model_list:\n  - model_name: m\n    litellm_params: {{{params}}}\n"
    return imported(folder, text, **more)


@pytest.mark.parametrize(
    ("params", "model", "provider", "address", "credential"),
    [
        ("model: gpt-4o", "gpt-4o", None, None, ("api_key", "os.environ/OPENAI_API_KEY")),
        ("model: openai/gpt-4o, api_key: os.environ/A", "gpt-4o", None, None, ("api_key", "os.environ/A")),
        ("model: openai/x, api_base: 'http://h:1/v1', api_key: k1", "x", None, ("base_url", "http://h:1/v1"), ("api_key", "k1")),
        ("model: claude-sonnet-4-5", "claude-sonnet-4-5", "anthropic", None, ("api_key", "os.environ/ANTHROPIC_API_KEY")),
        ("model: anthropic/c, api_base: 'https://h', api_key: k", "c", "anthropic", ("base_url", "https://h/v1/"), ("api_key", "k")),
        ("model: anthropic/c, api_base: os.environ/BASE", "c", "anthropic", ("base_url", "${BASE}/v1/"), None),
        ("model: groq/llama-3", "llama-3", "groq", None, ("api_key", "os.environ/GROQ_API_KEY")),
        ("model: openrouter/openai/gpt-4o", "openai/gpt-4o", "openrouter", None, None),
        ("model: ollama/llama3", "llama3", "ollama", None, ("api_key", "none")),
        ("model: ollama/llama3, api_base: 'http://h:11434'", "llama3", "ollama", ("base_url", "http://h:11434/v1/"), None),
        ("model: hosted_vllm/q, api_base: 'http://h/v1'", "q", "vllm", ("base_url", "http://h/v1"), None),
        (AZURE + ", api_base: 'https://e.openai.azure.com/', api_version: '2024-10-21'", "dep", None, ("azure_endpoint", "https://e.openai.azure.com"), ("api_version", "2024-10-21")),
        ("model: anthropic/c, api_base: 'https://h/v1/messages', api_key: k", "c", "anthropic", ("base_url", "https://h/v1"), None),
        ("model: openai/x, api_base: 'http://h:1/v1/chat/completions', api_key: k", "x", None, ("base_url", "http://h:1/v1"), None),
        ("model: hosted_vllm/org/q, api_base: 'http://h/v1'", "org/q", "vllm", ("base_url", "http://h/v1"), ("api_key", "${HOSTED_VLLM_API_KEY:-none}")),
        (AZURE + ", api_base: 'https://e.openai.azure.com/openai/deployments/other/chat/completions?api-version=2024-02-01'", "dep", None, ("azure_deployment", "other"), ("api_version", "2024-02-01")),
        (AZURE + ", api_base: os.environ/B, api_version: preview", "dep", None, ("base_url", "${B}/openai/v1/"), None),
        (AZURE + ", api_base: 'https://e.openai.azure.com/openai/v1/'", "dep", None, ("base_url", "https://e.openai.azure.com/openai/v1/"), None),
        ("model: bedrock/converse/us.anthropic.c, aws_region_name: eu-west-1", "us.anthropic.c", "bedrock", ("base_url", "https://bedrock-runtime.eu-west-1.amazonaws.com"), ("credentials", "aws")),
        ("model: vertex_ai/gemini-2.5-pro, vertex_project: p, vertex_location: global", "google/gemini-2.5-pro", "vertex", ("base_url", "https://aiplatform.googleapis.com/v1/projects/p/locations/global"), ("credentials", "google")),
        ("model: vertex_ai/claude-x, vertex_project: p, vertex_location: us-east5, vertex_credentials: /k.json", "claude-x", "vertex", ("base_url", "https://us-east5-aiplatform.googleapis.com/v1/projects/p/locations/us-east5"), ("credentials", "google:/k.json")),
        ("model: somebody/m, api_base: 'https://h/v1', api_key: k", "m", None, ("base_url", "https://h/v1"), None),
    ],
)  # fmt: skip
def test_each_vendor_is_reached_at_its_address(
    tmp_path, params, model, provider, address, credential
):
    (endpoint,) = one_model(tmp_path, params).endpoints("m")

    assert endpoint["model"] == model
    if provider:
        assert endpoint["provider"] == provider
    for key, value in filter(None, (address, credential)):
        assert endpoint["params"][key] == value


def test_a_vendor_that_cannot_be_asked_is_left_out_with_what_to_do():
    result = example("thirty_keys.yaml")

    assert "lost" not in {group["model_group"] for group in result.config["model_groups"]}
    assert "api_base" in result.finding("model_list[6]").text


def test_entries_of_one_name_are_one_group_with_weights_in_proportion():
    shared = example("shared.yaml").endpoints("gpt-4")
    by_rpm = example("balanced.yaml").endpoints("chat")

    assert [(e["name"], e["weight"]) for e in shared] == [("team-a-model", 3), ("team-b-model", 1)]
    assert [(e["name"], e["weight"]) for e in by_rpm] == [("first", 3), ("second", 1), ("third", 1)]
    assert [e["limits"]["rpm"] for e in by_rpm] == [300, 100, 100]


def test_orders_become_tiers_and_who_has_none_comes_last(tmp_path):
    text = "model_list:\n" + "".join(
        f"  - model_name: m\n    litellm_params: {{model: gpt-{n}{order}}}\n"
        for n, order in enumerate((", order: 5", ", order: 3", ""))
    )

    tiers = [endpoint.get("tier", 0) for endpoint in imported(tmp_path, text).endpoints("m")]

    assert tiers == [1, 0, 2]


def test_prices_limits_headers_and_parameters_are_carried_over():
    first, _, third = example("thirty_keys.yaml").endpoints("smart")

    assert first["price"] == {"input": 2.0, "output": 8.0, "cached_input": 0.5}
    assert first["limits"] == {"rpm": 600, "tpm": 100000, "concurrent": 20}
    assert first["params"]["default_headers"] == {"x-team": "search"}
    assert first["params"]["timeout"] == 30
    assert third["defaults"] == {"temperature": 0.2, "max_tokens": 500}
    assert third["drop"] == ["logit_bias"]
    assert third["params"]["organization"] == "org-1"
    assert all(endpoint["drop_unsupported"] for endpoint in (first, third))


def test_a_named_credential_is_written_into_its_endpoints():
    _, second = example("shared.yaml").endpoints("gpt-4")

    assert second["params"]["base_url"] == "https://second.example/v1"
    assert second["params"]["api_key"] == "os.environ/SECOND_KEY"


def test_a_wildcard_keeps_what_its_star_stands_for(tmp_path):
    result = example("wildcards.yaml")
    everything = one_model(tmp_path, "model: '*'")

    assert result.endpoints("anthropic/*")[0]["model"] == "*"
    assert result.endpoints("*")[0]["model"] == "*"
    assert "model_list[0].litellm_params.model" not in everything.changed
    text = "model_list:\n  - model_name: '*'\n    litellm_params: {model: '*'}\n"
    assert "model_list[0].litellm_params.model" in imported(tmp_path, text).changed


def test_included_files_are_read_into_one_config(tmp_path):
    (tmp_path / "models.yaml").write_text(
        "model_list:\n- model_name: m\n  litellm_params: {model: gpt-4o, tags: [a]}\n"
    )

    result = imported(tmp_path, "include: [models.yaml]\nlitellm_settings: {num_retries: 7}\n")

    assert result.endpoints("m")
    assert result.settings["num_retries"] == 7
    assert result.finding("model_list[0].litellm_params.tags").file.endswith("models.yaml")


def test_a_config_with_our_name_for_the_list_and_theirs_for_the_rest_is_read(tmp_path):
    text = "model_groups:\n- model_name: m\n  litellm_params: {model: azure/gpt, api_base: 'https://e.openai.azure.com'}\n"

    assert imported(tmp_path, text).endpoints("m")[0]["model"] == "gpt"


PARTLY_WEIGHED = """
model_list:
  - {model_name: m, litellm_params: {model: gpt-a, rpm: 60}}
  - {model_name: m, litellm_params: {model: gpt-b}}
  - {model_name: alone, litellm_params: {model: gpt-c}}
"""


def test_an_endpoint_without_a_share_is_the_last_resort_and_the_report_says_so(tmp_path):
    result = imported(tmp_path, PARTLY_WEIGHED)

    assert [endpoint["weight"] for endpoint in result.endpoints("m")] == [1, 0]
    found = result.finding("model_list[1].litellm_params")
    assert found.kind.name == "CHANGED"
    assert "last resort" in found.text
    assert "`rpm`" in found.text
    assert "model_list[2].litellm_params" not in result.changed


def test_weights_count_only_for_the_strategy_that_looks_at_them(tmp_path):
    text = PARTLY_WEIGHED + "router_settings: {routing_strategy: least-busy}\n"

    result = imported(tmp_path, text)

    assert [endpoint.get("weight", 1) for endpoint in result.endpoints("m")] == [1, 1]
    assert "model_list[1].litellm_params" not in result.changed
