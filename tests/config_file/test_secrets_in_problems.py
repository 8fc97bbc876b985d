"""The problems of a config file never repeat a secret."""

import pytest

from llmproxy.batteries.config_file import parse_config
from llmproxy.errors import ConfigError
from tests.config_file.mistakes import entry, settings

SECRET = "sk-tell-nobody"


@pytest.mark.parametrize(
    "text",
    [
        entry(f"params: {{api_key: [{SECRET}]}}"),
        entry(f'params: {{api_key: "{SECRET} x"}}'),
        entry(f'params: {{api_key: "{SECRET}\\n"}}'),
        entry(f'params: {{default_headers: {{a: "{SECRET}\\0"}}}}'),
        entry(f"params: {{default_headers: {SECRET}}}"),
        entry(f"params: {{default_query: [{SECRET}]}}"),
        entry(f"params: {{default_query: {SECRET}}}"),
        entry(f"params: {SECRET}", "params: {}"),
        entry(f"params: {{base_url: 'http://u:{SECRET}@h'}}"),
        entry(f"params: {{base_url: 'http://{SECRET}@h/'}}"),
        entry(f"params: {{base_url: 'ftp://h/?key={SECRET}'}}"),
        entry(f"params: {{base_url: 'http://h/?key={SECRET}'}}"),
        entry(f"api_key: {SECRET}"),
        entry(f"params: {{apikey: {SECRET}}}"),
        entry(f"api_key: '{SECRET}", "x"),
        entry(f"params: {{api_key: {SECRET} {{"),
        entry(f"params: {{api_key: !{SECRET} x}}"),
        settings(f"tracing: {{endpoint: 'http://u:{SECRET}@h'}}"),
        settings(f"tracing: {{endpoint: 'http://h/?key={SECRET}'}}"),
        settings(f"tracing: {{endpoint: 'http://h', headers: {SECRET}}}"),
        settings(f"tracing: {{endpoint: 'http://h', headers: {{a: '{SECRET} '}}}}"),
        settings(f"redis_password: [{SECRET}]"),
        settings(f"redis_password: {SECRET}"),
        settings(f"redis_password: {SECRET}", "redis_url: redis://h"),
        settings(f"redis_url: {SECRET}"),
        settings(f"redis_url: [{SECRET}]"),
        settings(f"redis_url: 'http://u:{SECRET}@h/'"),
        settings(f"redis_url: 'redis://u:{SECRET}/x@h/'"),
        settings(f"redis_url: 'redis://u:{SECRET}@h/'", "redis_host: h"),
        settings(f"redis_host: 'redis://u:{SECRET}@h'"),
        settings(f"redis_port: 'redis://u:{SECRET}@h'"),
        settings(f"redis_sentinels: ['u:{SECRET}@h']", "redis_sentinel_master: m"),
        settings(f"redis_sentinels: 'redis://u:{SECRET}@h'"),
        settings(f"callers: {SECRET}"),
        settings(f"callers: [{SECRET}]"),
        settings(f"callers: [{{name: a, key: '{SECRET} x'}}]"),
        settings(f"callers: [{{name: a, key: [{SECRET}]}}]"),
        settings(f"callers: [{{name: a, key_sha256: {SECRET}}}]"),
        settings(f"callers: [{{name: a, api_key: {SECRET}}}]"),
        settings(f"callers: [{{name: a, key: {SECRET}}}, {{name: b, key: {SECRET}}}]"),
        settings("callers: [{name: a, key: x, groups: ['${KEY}']}]"),
        settings(f"admin_key: [{SECRET}]"),
        settings(f"admin_key: '{SECRET} x'"),
        settings("bind_port: ${KEY}"),
        settings("log_format: ${KEY}"),
        entry("weight: os.environ/KEY"),
        entry("params: {base_url: os.environ/KEY}"),
        entry("params: {azure_endpoint: os.environ/KEY}"),
        entry("name: a ${KEY}"),
        entry("name: ${KEY}\n      - name: ${KEY}"),
    ],
)
def test_a_secret_is_never_shown(text):
    with pytest.raises(ConfigError) as raised:
        parse_config(text, {"KEY": SECRET}, file="f.yaml")

    assert SECRET not in str(raised.value)
    assert SECRET not in repr(raised.value.problems)
    assert "f.yaml:" in str(raised.value)
    assert raised.value.__context__ is None or SECRET not in repr(raised.value.__context__)
