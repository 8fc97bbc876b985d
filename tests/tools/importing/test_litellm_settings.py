"""LiteLLM's settings become ours, or a line of the report."""

import pytest

from llmproxy.tools.importing.report import ImportOutcome
from tests.tools.importing.imported import example, imported

MODELS = """\
model_list:
  - {model_name: a, litellm_params: {model: gpt-a}}
  - {model_name: b, litellm_params: {model: gpt-b}}
  - {model_name: c, litellm_params: {model: gpt-c}}
  - {model_name: "any/*", litellm_params: {model: "openai/*"}}
"""


def with_settings(folder, text):
    return imported(folder, MODELS + text)


def test_a_chain_of_fallbacks_is_written_out_in_the_order_of_litellm(tmp_path):
    result = with_settings(tmp_path, "litellm_settings: {fallbacks: [{a: [b]}, {b: [c]}]}\n")

    assert result.group("a")["fallbacks"] == ["b", "c"]
    assert result.group("b")["fallbacks"] == ["c"]
    assert "fallbacks" not in result.group("c")


def test_a_refused_prompt_takes_the_ordinary_fallbacks_where_it_has_none_of_its_own(tmp_path):
    settings = "{fallbacks: [{a: [b]}, {b: [c]}], content_policy_fallbacks: [{a: [c]}]}"

    result = with_settings(tmp_path, f"litellm_settings: {settings}\n")

    assert result.group("a")["context_window_fallbacks"] == ["b", "c"]
    assert result.group("a")["content_filter_fallbacks"] == ["c"]
    assert result.group("b")["content_filter_fallbacks"] == ["c"]
    assert "content_filter_fallbacks" not in result.group("c")


def test_default_fallbacks_are_those_of_every_group_without_its_own():
    result = example("fallbacks.yaml")

    assert result.group("zephyr-beta")["fallbacks"] == ["gpt-4o", "claude"]
    assert result.group("claude")["fallbacks"] == ["gpt-4o-large"]
    assert "fallbacks" not in result.group("gpt-4o-large")
    assert result.group("gpt-4o")["context_window_fallbacks"] == ["gpt-4o-large"]
    assert result.group("gpt-4o")["content_filter_fallbacks"] == ["claude"]


def test_a_fallback_that_a_wildcard_serves_gets_a_group_of_its_own(tmp_path):
    result = with_settings(tmp_path, "router_settings: {fallbacks: [{a: [any/gpt-z]}]}\n")

    assert result.group("a")["fallbacks"] == ["any/gpt-z"]
    assert result.endpoints("any/gpt-z")[0]["model"] == "gpt-z"


def test_a_fallback_that_is_nowhere_is_reported():
    result = example("thirty_keys.yaml")

    assert result.group("smart")["fallbacks"] == ["claude"]
    assert "'nowhere'" in result.finding("router_settings.fallbacks").text


def test_aliases_lead_to_their_groups_and_hidden_ones_are_not_listed():
    result = example("azure.yaml")

    assert result.group("team-2")["aliases"] == ["gpt-4"]
    assert result.group("team-1")["hidden_aliases"] == ["old"]


@pytest.mark.parametrize(
    ("written", "strategy"),
    [
        ("simple-shuffle", None),
        ("least-busy", "least_busy"),
        ("latency-based-routing", "latency"),
        ("cost-based-routing", "cheapest"),
        ("usage-based-routing-v2", None),
    ],
)
def test_each_strategy_has_its_counterpart(tmp_path, written, strategy):
    result = with_settings(tmp_path, f"router_settings: {{routing_strategy: {written}}}\n")

    assert result.settings.get("strategy") == strategy
    assert not result.left_out


def test_what_the_router_says_wins_over_what_litellm_says(tmp_path):
    text = (
        "litellm_settings: {num_retries: 1, cooldown_time: 9}\nrouter_settings: {num_retries: 6}\n"
    )

    settings = with_settings(tmp_path, text).settings

    assert (settings["num_retries"], settings["cooldown_time"]) == (6, 9)


def test_reliability_redis_cache_budget_and_admission_are_carried_over():
    settings = example("thirty_keys.yaml").settings

    assert settings["timeouts"] == {"unary_first_byte_s": 120, "first_byte_s": 20}
    assert (settings["redis_host"], settings["redis_port"]) == ("os.environ/REDIS_HOST", 6380)
    assert settings["cache_params"] == {"type": "memory", "mode": "all", "ttl": 300}
    assert settings["budgets"] == [{"for": "all", "usd": 100.0, "per": "month"}]
    assert settings["alerts"] == [{"url": "os.environ/SLACK_WEBHOOK_URL", "format": "slack"}]
    assert settings["callers"] == [{"name": "master", "key": "sk-the-master-key"}]
    assert settings["admin_key"] == "sk-the-master-key"
    assert settings["call_keep_s"] == 30 * 86400
    assert settings["max_body_bytes"] == 10 * 1024 * 1024
    assert settings["max_in_flight"] == 500
    assert settings["log_format"] == "json"
    assert settings["on_untranslatable"] == "drop"


def test_a_cache_on_redis_without_an_address_takes_litellms_variables(tmp_path):
    text = "litellm_settings: {cache: true, cache_params: {type: redis}}\n"

    settings = with_settings(tmp_path, text).settings

    assert settings["redis_host"] == "os.environ/REDIS_HOST"
    assert settings["cache_params"]["type"] == "redis"


def test_every_key_without_a_counterpart_is_reported_with_line_and_remedy():
    result = example("thirty_keys.yaml")

    expected = {
        "environment_variables": (2, "AZURE_API_VERSION"),
        "model_list[0].model_info.base_model": (19, "price"),
        "model_list[1].model_info.access_groups": (27, "groups"),
        "router_settings.retry_policy": (56, "attempt"),
        "router_settings.allowed_fails_policy": (57, "failures"),
        "litellm_settings.cache_params.supported_call_types": (67, "cache"),
        "litellm_settings.callbacks": (68, "langfuse"),
        "general_settings.database_url": (74, "--keys"),
        "general_settings.store_model_in_db": (76, "database"),
        "general_settings.invented_by_nobody": (80, "documented"),
        "mcp_servers": (81, "MCP"),
    }
    for path, (line, word) in expected.items():
        found = result.finding(path)
        assert (found.kind, found.line) == (ImportOutcome.LEFT_OUT, line), path
        assert word in found.text, path
    others = {"model_list[6]", "router_settings.fallbacks"}
    assert result.left_out == set(expected) | others


def test_every_leaf_of_a_config_is_carried_over_or_reported(tmp_path):
    text = "".join(
        f"{section}: {{made_up_{number}: {{deep: [1]}}}}\n"
        for number, section in enumerate(
            ("router_settings", "litellm_settings", "general_settings", "nonsense")
        )
    )

    result = with_settings(tmp_path, text)

    assert result.left_out == {
        *("router_settings.made_up_0", "litellm_settings.made_up_1"),
        *("general_settings.made_up_2", "nonsense"),
    }


@pytest.mark.parametrize("section", ["router_settings", "general_settings", "model_list"])
def test_a_section_of_the_wrong_type_is_reported_and_not_a_traceback(tmp_path, section):
    text = MODELS + f"{section}: 3\n" if section != "model_list" else MODELS + "  - 3\n"

    result = with_settings(tmp_path, "") if section == "model_list" else imported(tmp_path, text)

    assert section == "model_list" or section in result.left_out


def test_litellms_habits_are_proposed_where_there_was_a_master_key(tmp_path):
    models = "model_list: [{model_name: m, litellm_params: {model: gpt-4.1}}]\n"
    with_key = models + "general_settings: {master_key: os.environ/MASTER}\n"

    assert "litellm_habits: true" in imported(tmp_path, with_key).report.as_text()
    assert "litellm_habits" in imported(tmp_path, with_key).report.as_json()
    assert "litellm_habits" not in imported(tmp_path, models).report.as_text()
