# ruff: noqa: E501 - rows of configs
"""Configs of agentgateway, Portkey and Bifrost become ours as well."""

import pytest

from tests.tools.importing.imported import example, imported


def test_agentgateways_models_become_groups():
    result = example("agentgateway.yaml")

    assert [group["model_group"] for group in result.config["model_groups"]] == [
        *("fast", "gemini-*", "anthropic/*", "qwen", "split"),
    ]
    assert result.endpoints("fast")[0]["params"]["api_key"] == "os.environ/OPENAI_API_KEY"
    assert result.endpoints("gemini-*")[0]["model"] == "google/gemini-*"
    assert result.endpoints("anthropic/*")[0]["model"] == "*"
    assert result.settings == {"bind_port": 4000}


def test_its_virtual_models_become_tiers_and_weights():
    result = example("agentgateway.yaml")

    assert [(e["name"], e.get("tier", 0)) for e in result.endpoints("qwen")] == [
        *(("qwen-a", 0), ("qwen-b", 1)),
    ]
    assert [(e["name"], e["weight"]) for e in result.endpoints("split")] == [
        *(("qwen-a", 9), ("qwen-b", 1)),
    ]


def test_its_backends_behind_routes_serve_any_model(tmp_path):
    result = imported(
        tmp_path,
        """\
binds:
- port: 3000
  listeners:
  - routes:
    - policies: {backendAuth: {key: $OPENAI_KEY}, jwtAuth: {issuer: x}}
      backends:
      - ai:
          groups:
          - providers: [{name: one, provider: {openAI: {model: gpt-4o}}}]
          - providers: [{name: two, provider: {anthropic: {}}, policies: {backendAuth: {key: $A}}}]
""",
    )

    first, second = result.endpoints("*")
    assert (first["name"], first["params"]["api_key"]) == ("one", "os.environ/OPENAI_KEY")
    assert (second["name"], second["tier"], second["params"]["api_key"]) == (
        "two",
        1,
        "os.environ/A",
    )
    assert result.left_out == {"binds[0].listeners[0].routes[0].policies.jwtAuth"}


def test_what_agentgateway_has_and_we_have_not_is_named():
    assert example("agentgateway.yaml").left_out == {"llm.models[0].matches", "mcp"}


def test_a_portkey_tree_becomes_tiers_with_weights():
    azure, openai, claude = example("portkey.json").endpoints("*")

    assert [(e["weight"], e.get("tier", 0)) for e in (azure, openai)] == [(7, 0), (3, 0)]
    assert claude["tier"] == 1
    assert azure["params"]["azure_endpoint"] == "https://east.openai.azure.com"
    assert openai["overrides"] == {"temperature": 0}
    assert claude["params"]["timeout"] == 30


def test_what_portkey_has_and_we_have_not_is_named():
    result = example("portkey.json")

    assert result.left_out == {"targets[0].targets[1].virtual_key", "input_guardrails"}
    assert result.changed == {"targets[1].request_timeout"}
    assert result.settings["num_retries"] == 3
    assert result.settings["cache_params"] == {"mode": "all", "ttl": 3600}


def test_bifrosts_keys_become_endpoints_of_their_providers_models():
    result = example("bifrost.json")

    assert [(e["name"], e["weight"]) for e in result.endpoints("openai/gpt-4o")] == [
        *(("a", 7), ("b", 3)),
    ]
    assert result.endpoints("azure/gpt-4o")[0]["model"] == "dep-4o"
    assert result.endpoints("bedrock/*")[0]["params"]["credentials"] == "aws"
    assert result.settings["num_retries"] == 2


def test_its_virtual_keys_become_callers_with_teams_and_limits():
    result = example("bifrost.json")

    assert result.settings["callers"] == [
        {
            **{"name": "app", "key": "os.environ/VK", "team": "search"},
            **{"groups": ["openai/gpt-4o", "openai/gpt-4o-mini"], "limits": {"rpm": 16}},
        }
    ]
    assert result.settings["teams"] == [{"name": "search", "budget": "100/month"}]


def test_what_bifrost_has_and_we_have_not_is_named():
    result = example("bifrost.json")

    assert {"providers.mcpthing", "mcp"} <= result.left_out
    assert "governance.rate_limits[0].request_max_limit" in result.changed
    assert "sk-literal-b" not in result.report.as_text()


def test_a_kind_can_be_named_where_the_file_does_not_tell(tmp_path):
    result = imported(tmp_path, '{"api_key": "env.K"}', kind="portkey", name="c.json")

    assert result.endpoints("*")[0]["params"]["api_key"] == "os.environ/K"


@pytest.mark.parametrize("odd", ["[]", "{}", "abc", "true", "-1", "[1]"])
@pytest.mark.parametrize(
    "text",
    [
        "strategy: {mode: loadbalance}\ntargets: [{provider: openai, api_key: $K, weight: ODD}]\n",
        "provider: openai\napi_key: $K\nrequest_timeout: ODD\nretry: {attempts: ODD}\n",
        "providers: {openai: {keys: [{name: k, value: env.K, weight: ODD}], network_config: {max_retries: ODD}}}\nclient: {log_retention_days: ODD, max_request_body_size_mb: ODD}\n",
        "llm: {port: ODD, models: [{name: m, provider: openAI, params: {apiKey: $K}}], virtualModels: [{name: v, routing: {failover: {targets: [{model: m, priority: ODD}]}}}]}\n",
    ],
)  # fmt: skip
def test_a_number_of_another_form_does_not_hinder_the_rest(tmp_path, text, odd):
    assert imported(tmp_path, text.replace("ODD", odd)).report.endpoints >= 1
