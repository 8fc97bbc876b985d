"""`general_settings.tracing`: valid values, and the problems of invalid ones."""

import pytest

from llmproxy.batteries.config_file import masked, parse_config
from tests.config_file.mistakes import GROUP, settings, told_once


def tracing(*lines):
    """A config with this section; the first of the lines is line 7."""
    return settings("tracing:", *(f"  {line}" for line in lines))


def test_without_the_section_nothing_is_traced():
    assert parse_config(GROUP, {}, file="f.yaml").general_settings.tracing is None


def test_an_address_is_enough():
    text = tracing("endpoint: http://127.0.0.1:4318")
    section = parse_config(text, {}, file="f.yaml").general_settings.tracing
    assert (section.service_name, section.sample_ratio) == ("llmproxy", 1.0)
    assert section.headers == {}


def test_headers_may_come_from_the_environment_and_are_never_shown():
    text = tracing("endpoint: https://h/otlp/v1/traces", "headers: {x-key: os.environ/KEY}")
    config = parse_config(text, {"KEY": "sk-collector"}, file="f.yaml")
    (header,) = config.general_settings.tracing.headers.items()
    assert (header[0], header[1].get_secret_value()) == ("x-key", "sk-collector")
    assert "sk-collector" not in masked(config) + repr(config)


@pytest.mark.parametrize(
    ("lines", "line", "said"),
    [
        (["service_name: x"], 6, "tracing: endpoint is missing. Add endpoint: where spans are"),
        (["endpoint: ftp://h"], 7, "found 'ftp://h'. Write http:// or https:// and a host"),
        (["endpoint: 'http:///v1'"], 7, "Write http:// or https:// and a host"),
        (["endpoint: http://k@h"], 7, "put a key into headers"),
        (["endpoint: 'http://h/?a=b'"], 7, "put a key into headers"),
        (["endpoint: http://h", "sample_ratio: 1.5"], 8, "expected at most 1, found 1.5."),
        (["endpoint: http://h", "sample_ratio: -1"], 8, "expected at least 0, found -1."),
        (["endpoint: http://h", "service_name: ''"], 8, "found an empty string."),
        (["endpoint: http://h", "headers: [a]"], 8, "expected a mapping"),
        (["endpoint: http://h", "sampling: 1"], 8, "Did you mean sample_ratio?"),
    ],
)
def test_a_mistake_is_reported_with_its_line_and_remedy(lines, line, said):
    assert told_once(line, tracing(*lines), said)
