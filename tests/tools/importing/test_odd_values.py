# ruff: noqa: E501 - rows of configs
"""Values that LiteLLM takes in several forms, and values that make no sense."""

import pytest

from tests.tools.importing.imported import imported

WHOLE = """\
model_list:
- model_name: m
  litellm_params: {{model: azure/d, api_version: v1, {params}}}
  model_info: {{{info}}}
- model_name: other
  litellm_params: {{model: openai/o, api_key: os.environ/K}}
router_settings: {{{router}}}
litellm_settings: {{{litellm}}}
general_settings: {{{general}}}
"""
ODD = ("[]", "[null]", "[a, 1]", "{}", "{a: 1}", "abc", "''", "true", "-1", "1.5", ".inf", ".nan")
PLACES = [
    *(("params", key) for key in ("rpm", "tpm", "weight", "order", "timeout", "api_base")),
    *(("params", key) for key in ("api_key", "headers", "extra_headers", "extra_body")),
    *(("params", key) for key in ("max_parallel_requests", "input_cost_per_token")),
    *(("params", key) for key in ("additional_drop_params", "litellm_credential_name")),
    *(("info", key) for key in ("id", "order", "output_cost_per_token", "mode")),
    *(("router", key) for key in ("num_retries", "allowed_fails", "cooldown_time", "timeout")),
    *(("router", key) for key in ("routing_strategy", "model_group_alias", "fallbacks")),
    *(("router", key) for key in ("redis_host", "redis_port", "stream_timeout")),
    *(("litellm", key) for key in ("max_budget", "callbacks", "request_timeout", "cache_params")),
    *(("general", key) for key in ("master_key", "max_request_size_mb", "alerting")),
    *(("general", key) for key in ("global_max_parallel_requests", "coordination_redis")),
]


def config(**sections):
    empty = dict.fromkeys(("params", "info", "router", "litellm", "general"), "")
    return WHOLE.format(**empty | sections)


@pytest.mark.parametrize(("section", "key"), PLACES)
def test_a_value_of_another_form_does_not_hinder_the_rest(tmp_path, section, key):
    for odd in ODD:
        result = imported(tmp_path, config(**{section: f"{key}: {odd}"}))

        assert result.endpoints("other"), odd


@pytest.mark.parametrize(
    "key", ["rpm", "headers", "additional_drop_params", "input_cost_per_token"]
)
def test_a_value_of_another_form_is_reported(tmp_path, key):
    result = imported(tmp_path, config(params=f"{key}: [{{a: 1}}]"))

    assert f"model_list[0].litellm_params.{key}" in result.left_out


@pytest.mark.parametrize("cache_key", ["sentinel_nodes", "redis_startup_nodes"])
@pytest.mark.parametrize("odd", ["[a]", "[[a]]", "[null]", "[{port: 1}]", "7", "[[a, b]]"])
def test_a_list_of_servers_in_another_form_is_left_out(tmp_path, cache_key, odd):
    cache = f"cache: true, cache_params: {{type: redis, host: h, {cache_key}: {odd}}}"

    result = imported(tmp_path, config(litellm=cache))

    assert f"litellm_settings.cache_params.{cache_key}" in result.left_out
    assert result.settings["redis_host"] == "h"


def test_sentinels_take_the_place_of_a_host(tmp_path):
    cache = "cache: true, cache_params: {type: redis, host: h, port: 1, sentinel_nodes: [[s, 26379]], service_name: m}"

    result = imported(tmp_path, config(litellm=cache))

    assert result.settings["redis_sentinels"] == ["s:26379"]
    assert result.report.problems == []


def test_numbers_in_quotes_are_numbers(tmp_path):
    params = "rpm: '600', weight: '2', order: '1', timeout: '30', input_cost_per_token: 1e-6, output_cost_per_token: '2e-6'"

    result = imported(tmp_path, config(params=params, router="num_retries: '3'"))

    (endpoint,) = result.endpoints("m")
    assert endpoint["limits"] == {"rpm": 600}
    assert endpoint["price"] == {"input": 1.0, "output": 2.0}
    assert result.settings["num_retries"] == 3
    assert result.report.problems == []


def test_references_stay_references_where_numbers_are_expected(tmp_path):
    general = "global_max_parallel_requests: os.environ/MOST"

    result = imported(tmp_path, config(params="rpm: os.environ/RPM", general=general))

    assert result.endpoints("m")[0]["limits"] == {"rpm": "os.environ/RPM"}
    assert result.settings["max_in_flight"] == "os.environ/MOST"
    assert result.report.problems == []


@pytest.mark.parametrize(
    ("info", "price"),
    [
        ("input_cost_per_token: 0.000001", None),
        ("output_cost_per_token: 0.000001", None),
        ("cache_read_input_token_cost: 0.000001", None),
        ("input_cost_per_token: 0.000001, mode: embedding", {"input": 1.0, "output": 0.0}),
        ("output_cost_per_image: 0.04", {"input": 0.0, "output": 0.0, "per_image": 0.04}),
    ],
)
def test_a_price_that_is_not_written_does_not_become_0(tmp_path, info, price):
    result = imported(tmp_path, config(info=info))

    assert result.endpoints("m")[0].get("price") == price
    place = f"model_list[0].model_info.{info.partition(':')[0]}"
    assert (place in result.left_out) == (price is None)
    assert (place in result.changed) == ("image" in info)


def entries(*params, more=""):
    listed = "".join(
        f"- model_name: m\n  litellm_params: {{model: gpt-{number}, {given}}}\n"
        for number, given in enumerate(params)
    )
    return f"model_list:\n{listed}{more}"


def ranks(result):
    return [(e.get("tier", 0), e.get("weight", 1)) for e in result.endpoints("m")]


def test_endpoints_are_weighed_within_their_order_as_litellm_does(tmp_path):
    result = imported(tmp_path, entries("weight: 2", "order: 2", "order: 2"))

    assert ranks(result) == [(1, 1), (0, 1), (0, 1)]


def test_an_endpoint_of_weight_0_is_asked_before_the_next_order(tmp_path):
    text = entries("order: 1, weight: 2", "order: 1, weight: 0", "order: 2", "order: 1, weight: 4")

    assert ranks(imported(tmp_path, text)) == [(0, 1), (1, 1), (2, 1), (0, 2)]


def test_weights_count_with_simple_shuffle_alone(tmp_path):
    more = "router_settings: {routing_strategy: usage-based-routing-v2}\n"

    result = imported(tmp_path, entries("weight: 2, rpm: 100", "weight: 1, rpm: 10", more=more))

    assert ranks(result) == [(0, 1), (0, 1)]
    assert "simple-shuffle" in result.finding("model_list[0].litellm_params.weight").text
    # With this strategy LiteLLM bounds by rpm, as is done here.
    assert "model_list[0].litellm_params.rpm" not in result.changed


@pytest.mark.parametrize("odd", ["{m: [other]}", "[m]", "m"])
def test_fallbacks_in_another_form_are_reported(tmp_path, odd):
    result = imported(tmp_path, config(router=f"fallbacks: {odd}"))

    assert "router_settings.fallbacks" in result.left_out


WRAPPED = """\
model_list:
  - {model_name: a, litellm_params: {model: gpt-4o, api_key: os.environ/K, tags: [x]}}
"""


def test_the_values_of_litellms_chart_are_read_with_their_lines(tmp_path):
    inner = WRAPPED.replace("\n", "\n  ").rstrip(" ")

    result = imported(tmp_path, f"replicaCount: 1\nproxy_config:\n  {inner}db: {{}}\n")

    assert [group["model_group"] for group in result.config["model_groups"]] == ["a"]
    assert result.finding("model_list[0].litellm_params.tags").line == 4


def test_a_config_inside_a_configmap_is_read_with_its_lines(tmp_path):
    inner = WRAPPED.replace("\n", "\n    ").rstrip(" ")
    text = f"kind: ConfigMap\ndata:\n  note: x\n  config.yaml: |\n    {inner}"

    result = imported(tmp_path, text)

    assert [group["model_group"] for group in result.config["model_groups"]] == ["a"]
    assert result.finding("model_list[0].litellm_params.tags").line == 6
