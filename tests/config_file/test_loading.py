"""load_config reports every problem of an invalid file, with line and remedy."""

import os
from pathlib import Path

import pytest
import yaml

from llmproxy.batteries.config_file import json_schema, load_config, parse_config
from llmproxy.errors import ConfigError
from tests.config_file.mistakes import GROUP, entry, problems, settings, told_once

# line, text, part of the message
SAID = [
    # the shape of the file
    (1, "", "the file is empty"),
    (1, "# only a comment\n", "the file is empty"),
    (1, "- a\n- b\n", "expected key: value lines"),
    (1, "just a text\n", "expected key: value lines"),
    (2, "model_groups:\n\t- model_group: x\n", "Indent with spaces, not with tabs"),
    (3, "model_groups:\n  - model_group: x\n   models: []\n", "not valid YAML"),
    (1, "a: 'never closed\n", "not valid YAML"),
    (2, "a: 1\nb: @x\n", "Put quotes around a value that begins with @"),
    (2, "a: 1\nb: {api_key: ${KEY}, x: 1}\n", "Put quotes around the ${...}"),
    (2, "--- 1\n--- 2\n", "Keep one document"),
    (2, "a: 1\nb: \x07\n", "control character #x07"),
    (2, "a: 1\r\nb: \u2028\n", "the invisible line separator U+2028"),
    (1, "a: *nowhere\n", "undefined alias"),
    (4, entry("params: &x {default_query: *x}"), "an alias that contains itself"),
    (5, entry("model: m", "model: m"), "the key 'model' twice, first on line 4"),
    (5, GROUP + "? [a]\n: b\n", "a key that is not a string"),
    (4, entry("model: !!python/object:os.system x"), "found a YAML tag"),
    (4, entry("params: !mine {}"), "found a YAML tag"),
    (4, entry("<<: 5"), "<< with something other than a mapping"),
    (1, "[" * 100_000, "more than 50 levels"),
    # keys
    (1, "general_settings: {}\n", "model_groups is missing"),
    (1, "model_groups: []\n", "Add a group"),
    (
        1,
        "model_groups:\n",
        "model_groups: expected a list (lines that begin with -), found nothing",
    ),
    (1, "model_groups: {a: 1}\n", "found a mapping"),
    (2, "model_groups:\n  - models: [{}]\n", "model_groups[0]: model_group is missing"),
    (2, "model_groups:\n  - model_group: m\n", "models is missing"),
    (3, "model_groups:\n  - model_group: m\n    models: []\n", "Add an endpoint"),
    (5, entry("model: m", "wieght: 2"), "unknown key 'wieght'. Did you mean weight?"),
    (4, entry("api_key: x"), "It belongs in params of an endpoint"),
    (5, entry("params:", "  api_base: x"), "Write base_url, its name here"),
    (4, entry("api_base: x"), "It is called base_url here, and belongs in params of an endpoint."),
    (4, entry("port: 1"), "unknown key 'port'. Remove it; known here: model, name, weight"),
    (4, entry("rpm: 600"), "unknown key 'rpm'. It belongs in limits of an endpoint or a caller."),
    (4, entry("params: {tpm: 1}"), "It belongs in limits of an endpoint or a caller."),
    (4, entry("max_parallel_requests: 4"), "It is called concurrent here, and belongs in limits"),
    (
        4,
        entry("limits: {requests_per_minute: 4}"),
        "Write rpm, its name here.",
    ),
    (4, entry("limits: {rps: 4}"), "unknown key 'rps'. Did you mean"),
    (4, entry("queue: {}"), "It belongs in general_settings."),
    (4, entry("input: 1"), "It belongs in price of an endpoint."),
    (
        4,
        entry("params: {input_cost_per_token: 0.000002}"),
        "Write price: {input: ...} at the endpoint, in US dollars per million tokens: this number "
        "times 1,000,000.",
    ),
    (4, entry("output_cost_per_token: 0.000002"), "Write price: {output: ...}"),
    (4, entry("cache_read_input_token_cost: 1"), "Write price: {cached_input: ...}"),
    (6, settings("max_wait_s: 1"), "It belongs in general_settings.queue."),
    (
        6,
        settings("queue: {max_waitng: 1}"),
        "general_settings.queue: unknown key 'max_waitng'. Did",
    ),
    (6, settings("master_key: x"), "Write callers: a list in general_settings"),
    (6, settings("redis_hots: h"), "unknown key 'redis_hots'. Did you mean redis_host?"),
    (6, settings("tls_cert: x"), "unknown key 'tls_cert'. Did you mean tls?"),
    (
        6,
        settings("tls: {cert: a, key: b, certificate: x}"),
        "unknown key 'certificate'. Did you mean cert?",
    ),
    (6, settings("hedge_budgte: 1"), "Did you mean hedge_budget?"),
    (6, settings("zzz: 1"), "Remove it; known here: see docs/reference/configuration.md."),
    (6, settings("redis_tls: true"), "Write redis_ssl, its name here."),
    (5, GROUP + "callers: []\n", "It belongs in general_settings."),
    (5, GROUP + "fallbacks: []\n", "It belongs in a group of model_groups."),
    (5, GROUP + "model_list: []\n", "Write model_groups"),
    (5, GROUP + "zzz: 1\n", "Remove it; known here: model_groups, general_settings."),
    (6, settings("connect_s: 5"), "It belongs in general_settings.timeouts"),
    (6, settings("bind_prt: 5"), "Did you mean bind_port?"),
    (7, settings("timeouts:", "  conect_s: 5"), "Did you mean connect_s?"),
    (6, settings("cache_params: {type: redis}"), "found type: redis without a server."),
    (6, settings("cache_params: {type: disk}"), "found type: disk without a file."),
    (6, settings("cache_params: {path: /a}"), "found a path without type: disk."),
    (
        6,
        settings("cache_params: {across_instances: true}"),
        "found across_instances without type: redis.",
    ),
    (6, settings("cache_params: {type: files}"), "expected 'memory', 'redis' or 'disk'"),
    (5, GROUP + "    cache: sometimes\n", "expected 'deterministic', 'all' or 'off'"),
    (6, settings("cache_params: {time_to_live: 5}"), "unknown key 'time_to_live'"),
    (6, settings("admin_key: 1"), "admin_key: expected a string, found a number (not shown)."),
    # types and bounds
    (4, entry("model: 4.1"), "expected a string, found 4.1. Put quotes around it."),
    (4, entry("weight: true"), "expected a number, found true"),
    (4, entry("weight: -1"), "weight: expected at least 0, found -1."),
    (4, entry("weight: 1.5"), "expected a whole number, found 1.5"),
    (4, entry("weight: many"), "expected a whole number, found 'many'"),
    (4, entry("weight:"), "expected a whole number, found nothing"),
    (4, entry("weight: [1]"), "expected a whole number, found a list"),
    (4, entry("tier: 100000"), "expected at most 1000, found 100000"),
    (4, "model_groups:\n  - model_group: m\n    models:\n      - x\n", "expected a mapping"),
    (6, settings("bind_port: 70000"), "expected at most 65535, found 70000"),
    (6, settings("access_log: maybe"), "expected true or false, found 'maybe'"),
    (6, settings("log_format: jsn"), "'auto', 'json' or 'text', found 'jsn'. Did you mean json?"),
    (
        6,
        settings("strategy: 7"),
        "'least_busy', 'latency' or 'cheapest', found 7. Write one of these.",
    ),
    (6, settings("strategy: [x]"), "found a list. Write one of these."),
    (
        6,
        settings("strategy: simple-shuffle"),
        "found 'simple-shuffle'. Write weighted, its name here",
    ),
    (6, settings("strategy: cost-based-routing"), "Write cheapest, its name here"),
    (4, entry("limits: 600"), "limits: expected a mapping (key: value lines), found 600"),
    (4, entry("limits: {rpm: 0}"), "limits.rpm: expected at least 1, found 0."),
    (4, entry("limits: {tpm: 1.5}"), "limits.tpm: expected a whole number, found 1.5"),
    (4, entry("limits: {tpm: 100k}"), "limits.tpm: expected a whole number, found '100k'"),
    (4, entry("limits: {concurrent: true}"), "limits.concurrent: expected a number, found true"),
    (4, entry("price: 2"), "price: expected a mapping (key: value lines), found 2"),
    (4, entry("price: {input: 2}"), "price: output is missing. Add output: US dollars per million"),
    (4, entry("price: {output: 2}"), "price: input is missing. Add input: US dollars per million"),
    (4, entry("price: {input: -1, output: 2}"), "price.input: expected at least 0, found -1."),
    (4, entry("price: {input: free, output: 2}"), "price.input: expected a number, found 'free'"),
    (4, entry("price: {input: 1, output: 1e999}"), "price.output: expected a finite number"),
    (6, settings("queue: 1"), "queue: expected a mapping (key: value lines), found 1"),
    (6, settings("queue: {max_waiting: -1}"), "max_waiting: expected at least 0, found -1."),
    (6, settings("queue: {max_wait_s: -1}"), "max_wait_s: expected at least 0, found -1."),
    (6, settings("queue: {spill_wait_s: x}"), "spill_wait_s: expected a number, found 'x'"),
    (6, settings("queue: {heartbeat_s: 0}"), "heartbeat_s: expected more than 0, found 0."),
    (6, settings("timeouts: {connect_s: 0}"), "expected more than 0, found 0"),
    (6, settings("timeouts: {connect_s: 1e999}"), "expected a finite number"),
    (6, settings("cooldown_time: soon"), "expected a number, found 'soon'"),
    (5, GROUP + "general_settings: 5\n", "general_settings: expected a mapping"),
    (6, settings('bind_address: ""'), "found an empty string"),
    (6, settings('bind_address: "a\\nb"'), "a string with a control character"),
    # names
    (2, "model_groups:\n  - model_group: gpt-**\n    models: [{}]\n", "more than one star"),
    (4, entry("name: a b"), "cannot stand in a response header"),
    (4, entry('name: "a\\r\\nx: y"'), "cannot stand in a response header"),
    (4, entry("name: ''"), "cannot stand in a response header"),
    (5, entry("name: x\n      - name: x"), "named 'x' in this group; the first is on line 4."),
    (
        5,
        GROUP + "  - model_group: m\n    models: [{}]\n",
        "model_group 'm'; the first is on line 2",
    ),
    # endpoints
    (4, entry('params: {api_key: ""}'), "found an empty key. Is the variable behind it set?"),
    (4, entry('params: {api_key: "a b"}'), "found a key with a space"),
    (4, entry('params: {api_key: "a\\n"}'), "a line break often comes from the file"),
    (4, entry("params: {base_url: ftp://x/}"), "found 'ftp://x/'. Begin the URL with https://"),
    (4, entry("params: {base_url: api.openai.com}"), "Begin the URL with https://"),
    (4, entry('params: {base_url: "https:///v1"}'), "has no host"),
    (4, entry('params: {base_url: "https://h/v1?a=b"}'), "Move query parameters to default_query"),
    (4, entry('params: {base_url: "https://h/v1?"}'), "a query or a fragment"),
    (4, entry('params: {base_url: "https://h/v1#a"}'), "a query or a fragment"),
    (4, entry('params: {base_url: "https://u:p@h/v1"}'), "Move the credential to api_key"),
    (4, entry('params: {base_url: "https://h:99999/"}'), "an impossible host or port"),
    (4, entry('params: {base_url: "https://[::/"}'), "an impossible host or port"),
    (4, entry('params: {base_url: "https://h/a b"}'), "has a space"),
    (4, entry("params: {timeout: 0}"), "params.timeout: expected more than 0"),
    (4, entry("params: {default_headers: 5}"), "default_headers: expected a mapping"),
    (4, entry('params: {default_headers: {"a b": x}}'), "found an impossible header name"),
    (4, entry('params: {default_headers: {x-a: "v\\r\\n"}}'), "default_headers.x-a: found a value"),
    (4, entry('params: {default_headers: {x-a: "v\\0"}}'), "default_headers.x-a: found a value"),
    (4, entry("params: {default_headers: {Host: x}}"), "a header that the proxy sets itself"),
    (4, entry("params: {default_headers: {a: x, A: y}}"), "found this header twice"),
    (6, entry("params:", "  default_headers:", "    te: x"), "a header that the proxy sets itself"),
    (4, entry("params: {default_query: {n: 5}}"), "expected a string, found a number (not shown)"),
    # Azure
    (
        6,
        entry("model: m", "params:", "  azure_endpoint: https://r.openai.azure.com"),
        "found azure_endpoint without api_version. Add api_version",
    ),
    (
        4,
        entry("params: {azure_endpoint: https://r.openai.azure.com, api_version: v}"),
        "found azure_endpoint without a deployment. Add model",
    ),
    (4, entry("params: {azure_deployment: d}"), "azure_deployment without azure_endpoint"),
    (
        4,
        entry(
            "params: {azure_endpoint: https://r, api_version: v, base_url: https://r}", "model: m"
        ),
        "found both base_url and azure_endpoint",
    ),
    (
        4,
        entry("params: {azure_endpoint: https://r/openai/v1/, api_version: v}", "model: m"),
        "the v1 style. Write it as base_url",
    ),
    (
        4,
        entry(
            "params: {azure_endpoint: https://r/openai/deployments/d, api_version: v}", "model: m"
        ),
        "Write the resource only",
    ),
    (
        4,
        entry("params: {base_url: https://r, azure_ad_token_provider: cli, api_key: k}"),
        "found both api_key and azure_ad_token_provider",
    ),
    (
        4,
        entry("params: {base_url: https://r, credentials: aws, api_key: k}"),
        "found both api_key and credentials",
    ),
    (
        4,
        entry("params: {azure_ad_token_provider: cli}"),
        "a token for Azure would go to another vendor",
    ),
    (
        4,
        entry("params: {base_url: https://r, azure_ad_token_provider: manged_identity}"),
        "found 'manged_identity'. Did you mean managed_identity?",
    ),
    # the environment
    (4, entry("model: os.environ/NOT_SET"), "the environment variable NOT_SET is not set. Set it"),
    (4, entry("model: x-${NOT_SET}"), "the environment variable NOT_SET is not set"),
    (4, entry("model: ${A B}"), "a reference without a valid variable name"),
    (4, entry("model: os.environ/"), "a reference without a valid variable name"),
    (4, entry("model: a${B"), "found '${' without '}'"),
    (4, entry("model: ${A:-${B}}"), "a reference inside the default of another"),
    (6, settings("bind_port: ${PORT:-x}"), "a whole number, found '${PORT:-x}' from the environ"),
]


@pytest.mark.parametrize(("line", "text", "said"), SAID, ids=[said for _, _, said in SAID])
def test_a_mistake_is_reported_once_with_its_line_and_a_remedy(line, text, said):
    assert told_once(line, text, said)


def test_every_problem_is_reported_at_once_in_the_order_of_lines():
    text = """\
general_settings:
  bind_port: abc
  cache: x
model_groups:
  - model_group: m
    models:
      - model: ${NOT_SET}
        wieght: 1
        wieght: 2
  - model_group: m
    models:
      - name: e
      - name: e
        weight: -1
unknown: 1
"""
    found = problems(text)

    assert [line for line, _ in found] == [2, 3, 7, 8, 9, 10, 13, 14, 15]
    assert "'abc'" in found[0][1]
    assert "Write true or false" in found[1][1]
    assert "NOT_SET" in found[2][1]
    assert "Did you mean weight" in found[3][1]
    assert "twice" in found[4][1]
    assert "second model_group" in found[5][1]
    assert "second endpoint" in found[6][1]


def test_an_unset_variable_is_not_reported_again_as_a_wrong_type():
    found = problems(settings("bind_port: ${NOT_SET}"))

    assert len(found) == 1
    assert "NOT_SET" in found[0][1]


def test_a_group_whose_only_endpoint_is_wrong_is_not_called_empty():
    assert len(problems(entry("weight: x"))) == 1


def test_a_problem_in_an_anchor_stands_where_the_anchor_stands():
    text = """\
x: &base {timeout: soon}
model_groups:
  - model_group: m
    models: [{params: *base}]
"""
    found = problems(text)

    assert [line for line, _ in found] == [1, 1]  # the value, and the unknown key x


def test_a_problem_reads_as_file_line_what_was_found_and_what_to_do():
    with pytest.raises(ConfigError) as raised:
        parse_config(entry("weight: x"), {}, file="conf/f.yaml")

    assert str(raised.value) == (
        "conf/f.yaml:4: model_groups[0].models[0].weight: expected a whole number, found 'x'. "
        "Write digits only."
    )


def test_a_missing_file_is_reported_as_such(tmp_path):
    with pytest.raises(
        ConfigError, match=r"none\.yaml: this file does not exist\. Check the path\."
    ):
        load_config(tmp_path / "none.yaml", {})


def test_a_directory_is_reported_as_such(tmp_path):
    with pytest.raises(ConfigError, match="found a directory"):
        load_config(tmp_path, {})


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_forbidden_file_is_reported_as_such(tmp_path):
    path = tmp_path / "f.yaml"
    path.write_text(GROUP)
    path.chmod(0)

    with pytest.raises(ConfigError, match="may not be read"):
        load_config(path, {})


def test_an_impossible_path_is_a_problem_too():
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(Path("a\0b"), {})


def test_bytes_that_are_not_utf8_are_reported_with_their_line(tmp_path):
    path = tmp_path / "f.yaml"
    path.write_bytes(b"a: 1\nb: \xff\n")

    with pytest.raises(ConfigError, match=r"f\.yaml:2: found bytes that are not UTF-8"):
        load_config(path, {})


def test_a_file_with_a_byte_order_mark_and_windows_line_ends_is_read(tmp_path):
    path = tmp_path / "f.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + GROUP.replace("\n", "\r\n").encode())

    assert load_config(path, {}).model_groups[0].model_group == "m"


def wrong_value(kind, sections):
    """A value of a type of the schema; in every section of it there is an unknown key."""
    if "$ref" in kind:
        section = sections[kind["$ref"].removeprefix("#/$defs/")]
        if "properties" not in section:
            return None
        within = {key: wrong_value(field, sections) for key, field in section["properties"].items()}
        return {"wrong_key": 1, **{key: value for key, value in within.items() if value}}
    if "anyOf" in kind:
        return next(filter(None, (wrong_value(option, sections) for option in kind["anyOf"])), None)
    if kind.get("type") == "array":
        found = wrong_value(kind["items"], sections)
        return None if found is None else [found]
    inner = kind.get("additionalProperties")
    if isinstance(inner, dict) and (found := wrong_value(inner, sections)):
        return {"name": found}
    return None


def test_an_unknown_key_is_told_in_every_section():
    schema = json_schema()
    config = wrong_value({"$ref": "#"}, {"#": schema, **schema["$defs"]})
    text = yaml.safe_dump(config)
    told = [what for _, what in problems(text) if "unknown key 'wrong_key'" in what]
    assert len(told) == text.count("wrong_key") > 20
