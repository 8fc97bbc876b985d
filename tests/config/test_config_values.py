"""The values of a loaded config: defaults, names, references to the environment."""

import pytest
from pydantic import ValidationError

from llmproxy.batteries.config_file import parse_config
from llmproxy.config import Config, Limits, ModelEntry, ModelGroup, Params, Price, Queue
from llmproxy.errors import ConfigError


def load(text, **environ):
    return parse_config(text, environ, file="f.yaml")


def load_entries(*entries, **environ):
    lines = "".join(f"      - {entry}\n" for entry in entries)
    text = f"model_groups:\n  - model_group: m\n    models:\n{lines}"
    return load(text, **environ).model_groups[0].models


def load_settings(text, **environ):
    text = f"model_groups: [{{model_group: m, models: [{{}}]}}]\ngeneral_settings: {text}\n"
    return load(text, **environ).general_settings


def names(*entries):
    return [entry.name for entry in load_entries(*entries)]


def test_the_smallest_config_is_one_group_with_one_empty_endpoint():
    config = load("model_groups: [{model_group: '*', models: [{}]}]")

    (group,) = config.model_groups
    (entry,) = group.models
    assert (group.model_group, group.strategy) == ("*", None)
    assert (entry.model, entry.weight, entry.tier, entry.provider) == (None, 1, 0, None)
    assert (entry.params.api_key, entry.params.base_url) == (None, None)
    assert (entry.limits, entry.price) == (Limits(rpm=None, tpm=None, concurrent=None), None)


def test_the_defaults_are_those_of_the_facts():
    settings = load_settings("{}")

    assert (settings.bind_address, settings.bind_port) == ("127.0.0.1", 4000)
    assert (settings.num_retries, settings.allowed_fails, settings.cooldown_time) == (3, 3, 60)
    assert (settings.strategy, settings.log_format, settings.access_log) == (
        "weighted",
        "auto",
        True,
    )
    assert (settings.max_body_bytes, settings.max_header_bytes) == (32 * 2**20, 64 * 2**10)
    assert (settings.drain_delay_s, settings.drain_timeout_s) == (5, 600)
    assert settings.timeouts.model_dump() == {
        "connect_s": 5,
        "pool_s": 2,
        "first_byte_s": None,
        "unary_first_byte_s": None,
        "idle_s": 300,
        "total_s": 3600,
        "header_s": 10,
        "body_progress_s": 30,
        "keep_alive_s": 75,
        "upstream_idle_s": 15,
    }


def test_a_call_waits_a_second_for_a_cheaper_tier_and_ten_for_any():
    assert load_settings("{}").queue.model_dump() == {
        "max_waiting": 1000,
        "max_wait_s": 10,
        "spill_wait_s": 1,
        "heartbeat_s": 15,
    }


def test_waiting_can_be_turned_off():
    queue = load_settings("{queue: {max_waiting: 0, max_wait_s: 0, spill_wait_s: 0}}").queue

    assert (queue.max_waiting, queue.max_wait_s, queue.spill_wait_s) == (0, 0, 0)


def test_an_endpoint_may_have_limits_and_a_price():
    (entry,) = load_entries(
        "{limits: {rpm: '${RPM:-600}', concurrent: 4}, price: {input: 2, output: 0}}"
    )

    assert entry.limits == Limits(rpm=600, tpm=None, concurrent=4)
    assert entry.price == Price(input=2.0, output=0.0, cached_input=None)


@pytest.mark.parametrize("nothing", ["", "~", "null", "{}"])
def test_a_section_without_content_is_an_empty_section(nothing):
    assert load_settings(nothing).bind_port == 4000
    assert load_settings(f"{{timeouts: {nothing}}}").timeouts.connect_s == 5
    assert load_settings(f"{{queue: {nothing}}}").queue == Queue()
    assert load_entries(f"params: {nothing}")[0].params == Params()
    assert load_entries(f"limits: {nothing}")[0].limits == Limits()


def test_every_weight_may_be_zero():
    assert [entry.weight for entry in load_entries("weight: 0", "weight: 0")] == [0, 0]


def test_an_endpoint_without_a_name_is_called_by_its_host():
    assert names(
        "model: m",
        "params: {base_url: https://h.example/v1}",
        "params: {base_url: 'http://127.0.0.1:8000/v1'}",
        "provider: groq",
    ) == ["api.openai.com", "h.example", "127.0.0.1:8000", "groq"]
    azure = "{model: m, params: {azure_endpoint: https://east.openai.azure.com, api_version: v}}"
    assert names(azure) == ["east.openai.azure.com"]


def test_equal_hosts_are_numbered_and_leave_given_names_alone():
    given = names("model: a", "name: api.openai.com-2", "model: b", "model: c")

    assert given == ["api.openai.com", "api.openai.com-2", "api.openai.com-3", "api.openai.com-4"]


def test_an_endpoint_added_at_the_end_renames_no_other():
    assert names("model: a", "model: b", "model: c")[:2] == names("model: a", "model: b")


def test_endpoints_of_different_groups_may_have_the_same_name():
    group = "{model_group: %s, models: [{name: x}]}"
    config = load(f"model_groups: [{group % 'a'}, {group % 'b'}]")

    assert [group.models[0].name for group in config.model_groups] == ["x", "x"]


def test_a_config_built_in_code_has_names_too():
    config = Config(
        model_groups=(ModelGroup(model_group="m", models=(ModelEntry(), ModelEntry())),)
    )

    assert [e.name for e in config.model_groups[0].models] == ["api.openai.com", "api.openai.com-2"]


@pytest.mark.parametrize(
    "groups",
    [
        [{"model_group": "m", "models": [{}]}, {"model_group": "m", "models": [{}]}],
        [{"model_group": "m", "models": [{"name": "e"}, {"name": "e"}]}],
        [{"model_group": "m", "models": [{}], "fallbacks": ["n"]}],
    ],
)
def test_a_config_built_in_code_cannot_contradict_itself(groups):
    with pytest.raises(ValidationError, match=r"groups of|endpoints of|no model group"):
        Config.model_validate({"model_groups": groups})


def test_a_config_cannot_be_changed():
    config = load("model_groups: [{model_group: m, models: [{}]}]")

    with pytest.raises(ValidationError, match="frozen"):
        config.general_settings.bind_port = 1


CONTRACT = """\
model_groups:
  - model_group: gpt-4.1
    models:
      - model: gpt-4.1
        name: azure-east
        weight: 2
        tier: 0
        params:
          api_key: os.environ/AZURE_KEY_EAST
          base_url: https://east.openai.azure.com/openai/v1/
          default_query: {api-version: preview}
        limits: {rpm: 600, tpm: 200000}
      - model: gpt-4.1
        weight: 0
        params: {api_key: os.environ/OPENAI_API_KEY}
  - model_group: "*"
    models:
      - params: {api_key: os.environ/OPENAI_API_KEY}
general_settings:
  bind_address: 127.0.0.1
  bind_port: 4000
  num_retries: 3
  allowed_fails: 1
  cooldown_time: 60
  redis_host: h
  redis_port: 6379
  redis_password: os.environ/OPENAI_API_KEY
"""


def test_the_config_of_the_public_contract_loads():
    config = load(CONTRACT, AZURE_KEY_EAST="a", OPENAI_API_KEY="o")

    east, openai = config.model_groups[0].models
    assert (east.limits, openai.limits) == (Limits(rpm=600, tpm=200_000), Limits())
    assert config.general_settings.redis_host == "h"


# YAML


@pytest.mark.parametrize(
    "written", ["no", "on", "2024-10-21", "1:30", "0x10", "1_0", "=", "y", "'4'", '"4"', "!!str 4"]
)
def test_what_looks_like_a_text_is_a_text(written):
    (entry,) = load_entries(f"model: {written}")

    assert entry.model == written.removeprefix("!!str ").strip("'\"")


def test_numbers_are_decimal():
    assert load_entries("weight: 010")[0].weight == 10
    assert load_settings("{cooldown_time: 1.5e1}").cooldown_time == 15
    assert load_settings("{drain_delay_s: .5}").drain_delay_s == 0.5


@pytest.mark.parametrize(
    ("written", "meant"), [("true", True), ("no", False), ("False", False), ("'on'", True)]
)
def test_booleans_follow_yaml_1_2(written, meant):
    assert load_settings(f"{{access_log: {written}}}").access_log is meant


def test_aliases_and_merge_keys_spare_repetition_and_own_keys_win():
    text = """\
model_groups:
  - model_group: a
    models:
      - &east
        model: m
        weight: 3
        params: &params {api_key: k, timeout: 5}
  - model_group: b
    models:
      - <<: *east
        weight: 1
      - model: n
        params:
          <<: [{timeout: 7}, *params]
"""
    first, second = load(text).model_groups[1].models

    assert (first.model, first.weight, first.params.timeout) == ("m", 1, 5)
    assert second.params.timeout == 7
    assert second.params.api_key.get_secret_value() == "k"


def test_a_block_text_and_an_escape_are_what_yaml_says():
    (entry,) = load_entries('model: "\\u00e9"')

    assert entry.model == "é"


# References to the environment


@pytest.mark.parametrize(
    ("written", "environ", "meant"),
    [
        ("os.environ/A", {"A": "x"}, "x"),
        ("${A}", {"A": "x"}, "x"),
        ("${A:-d}", {"A": "x"}, "x"),
        ("${A:-d}", {}, "d"),
        ("${A:-d}", {"A": ""}, "d"),
        ("${A:-a:-b}", {}, "a:-b"),
        ("p-${A}-${B:-y}-s", {"A": "x"}, "p-x-y-s"),
        ("p/os.environ/A/s", {"A": "x"}, "p/x/s"),
        ("'${A}'", {"A": "x"}, "x"),
        ("$${A}", {"A": "x"}, "${A}"),
        ("$$A", {"A": "x"}, "$A"),
        ("cost$", {}, "cost$"),
        ("${A}", {"A": "${B}", "B": "no"}, "${B}"),
        ("${A}", {"A": "os.environ/B", "B": "no"}, "os.environ/B"),
        ("${A}", {"A": "123"}, "123"),
    ],
)
def test_references_are_replaced_once(written, environ, meant):
    assert load_entries(f"model: {written}", **environ)[0].model == meant


def test_numbers_choices_and_truth_may_come_from_the_environment():
    settings = load_settings(
        '{bind_port: "${PORT:-4001}", access_log: "${LOG}", log_format: os.environ/FORMAT,'
        ' cooldown_time: "${COOL:-1.5}"}',
        LOG="false",
        FORMAT="json",
    )

    assert (settings.bind_port, settings.access_log) == (4001, False)
    assert (settings.log_format, settings.cooldown_time) == ("json", 1.5)


def test_keys_are_no_place_for_references():
    (entry,) = load_entries('params: {default_query: {"$A": x}}', A="b")

    assert list(entry.params.default_query) == ["$A"]


def test_a_variable_that_is_set_but_empty_counts_as_an_empty_text():
    with pytest.raises(ConfigError, match="found an empty key"):
        load_entries("params: {api_key: os.environ/A}", A="")
