"""What `llmproxy check` says of a `jwt` section that cannot work."""

import pytest
import yaml

from llmproxy.batteries.config_file import parse_config
from llmproxy.errors import ConfigError
from tests.support.proxy import config_for

GOOD = {"issuer": "https://login.example.com", "audience": "llmproxy"}


def problem(**changes):
    section = {key: value for key, value in {**GOOD, **changes}.items() if value is not None}
    config = config_for("http://a/v1", jwt=section)
    with pytest.raises(ConfigError) as caught:
        parse_config(yaml.safe_dump(config), {}, file="c.yaml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"issuer": "http://login.example.com"}, "Write https://"),
        ({"issuer": None}, "issuer"),
        ({"audience": []}, "audience"),
        ({"jwks_url": "http://keys.example.com"}, "Write https://"),
        ({"algorithms": ["HS256"]}, "algorithms"),
        ({"algorithms": ["none"]}, "algorithms"),
        ({"teams": {"g": "search"}}, "Add claims: {team: groups}"),
        ({"leeway_s": 3600}, "300"),
        ({"claims": {"user": "sub"}}, "user"),
        ({"audiance": "x"}, "audience"),
    ],
)
def test_a_section_that_cannot_work_is_refused_with_its_line(changes, says):
    said = problem(**changes)
    assert says in said
    assert "c.yaml:" in said
