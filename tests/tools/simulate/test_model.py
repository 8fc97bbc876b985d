"""Reading the model file, and the messages for mistakes in it."""

import pytest

from llmproxy.errors import ConfigError
from llmproxy.tools.simulate.model import load_model

KNOWN = [("g", "east"), ("g", "west"), ("h", "east")]
GOOD = """\
latency_s: {median: 2, p95: 5}
endpoints:
  east:
    outages: [{from_s: 10, to_s: 20, status: 503}]
  h/east:
    limits: {rpm: 100}
"""


def load(tmp_path, text):
    file = tmp_path / "model.yaml"
    file.write_text(text)
    return load_model(file, KNOWN)


def problems(tmp_path, text):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    return [(problem.line, problem.found) for problem in caught.value.problems]


def test_an_endpoint_is_named_alone_or_with_its_group(tmp_path):
    model = load(tmp_path, GOOD)

    assert model.latency_s.median == 2
    assert model.of("g", "east").outages[0].status == 503
    assert model.of("h", "east").limits.rpm == 100
    assert not model.of("h", "east").outages
    assert model.of("g", "west").latency_s is None


def test_an_empty_file_is_a_model_with_every_default(tmp_path):
    assert load(tmp_path, "# nothing yet\n").latency_s.p95 == 3


def test_every_mistake_is_reported_with_its_line(tmp_path):
    text = GOOD.replace("status: 503", "status: 200").replace("rpm: 100", "rpn: 100")

    assert problems(tmp_path, text) == [
        (4, "endpoints.east.outages.0.status: Input should be greater than or equal to 400."),
        (6, "endpoints.h/east.limits.rpn: unknown key."),
    ]


def test_an_endpoint_that_is_not_in_the_config_is_an_error(tmp_path):
    assert problems(tmp_path, GOOD.replace("h/east", "h/west")) == [
        (5, "unknown endpoint 'h/west'.")
    ]


def test_contradictory_values_are_errors(tmp_path):
    text = GOOD.replace("to_s: 20", "to_s: 5").replace("p95: 5", "p95: 1")

    assert problems(tmp_path, text) == [
        (1, "latency_s: p95 must be at least the median."),
        (4, "endpoints.east.outages.0: to_s must be greater than from_s."),
    ]


def test_a_file_that_is_not_a_yaml_mapping_is_an_error(tmp_path):
    assert problems(tmp_path, "endpoints: [\n")[0][0] > 0
    assert problems(tmp_path, "- a list\n")[0][0] == 1
    with pytest.raises(ConfigError, match="cannot be read"):
        load_model(tmp_path / "missing", KNOWN)
