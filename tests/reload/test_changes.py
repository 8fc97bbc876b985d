"""The differences between two configs are described in words, without secrets."""

import pytest

from llmproxy.batteries.config_file import parse_config
from llmproxy.batteries.reload.changes import NEEDS_RESTART, differences, kept_until_restart
from llmproxy.batteries.settings import FullSettings

BEFORE = """\
model_groups:
  - model_group: gpt-4.1
    models:
      - {name: east, model: m, weight: 2, params: {api_key: sk-secret-one, base_url: "http://e/v1"}}
      - {name: west, model: m, params: {api_key: sk-secret-two, base_url: "http://w/v1"}}
general_settings:
  callers: [{name: team-a, key: sk-caller-secret-a}]
"""


def changed(*replaced):
    text = BEFORE
    for old, new in replaced:
        assert text.count(old) == 1
        text = text.replace(old, new)
    return parse_config(text, {}, file="c.yaml")


@pytest.mark.parametrize(
    ("replaced", "reported"),
    [
        (("weight: 2", "weight: 3"), ["gpt-4.1/east: weight: 2 -> 3"]),
        (("weight: 2", "weight: 2, tier: 1"), ["gpt-4.1/east: tier: 0 -> 1"]),
        (("name: west", "name: north"), ["gpt-4.1/north: is new", "gpt-4.1/west: is gone"]),
        (("sk-secret-one", "sk-secret-new"), ["gpt-4.1/east: params.api_key: changed"]),
        (
            ("http://w/v1", "http://x/v1"),
            ["gpt-4.1/west: params.base_url: http://w/v1 -> http://x/v1"],
        ),
        (
            ('"http://w/v1"', '"http://w/v1", default_headers: {x-a: b}'),
            ["gpt-4.1/west: params.default_headers: changed"],
        ),
        (
            ("model_group: gpt-4.1", "model_group: gpt-5"),
            ["gpt-5: is new", "gpt-4.1: is gone"],
        ),
        (
            ("general_settings:", "general_settings:\n  strategy: least_busy"),
            ["general_settings.strategy: weighted -> least_busy"],
        ),
        (
            ("general_settings:", "general_settings:\n  cache: true"),
            ["general_settings.cache: false -> true"],
        ),
        (
            ("general_settings:", "general_settings:\n  timeouts: {idle_s: 5}"),
            ["general_settings.timeouts.idle_s: 300.0 -> 5.0"],
        ),
        (
            ("general_settings:", "general_settings:\n  admin_key: sk-admin-secret-key"),
            ["general_settings.admin_key: changed"],
        ),
        (
            ("general_settings:", "general_settings:\n  redis_url: redis://:secret@h/0"),
            ["general_settings.redis_url: changed"],
        ),
        (("sk-caller-secret-a", "sk-caller-secret-b"), ["caller team-a: key: changed"]),
        (("name: team-a", "name: team-b"), ["caller team-b: is new", "caller team-a: is gone"]),
        (
            ("name: team-a,", "name: team-a, limits: {rpm: 5},"),
            ["caller team-a: limits.rpm: nothing -> 5"],
        ),
        (
            ("models:", "strategy: cheapest\n    models:"),
            ["gpt-4.1: strategy: nothing -> cheapest"],
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_each_change_is_reported_by_its_place(replaced, reported):
    found = differences(changed(), changed(replaced))
    assert found == reported
    assert "secret" not in " ".join(found)


def test_what_needs_a_restart_are_settings_that_there_are():
    assert set(NEEDS_RESTART) <= FullSettings.model_fields.keys()


def test_equal_configs_have_no_differences():
    assert differences(changed(), changed()) == []


def test_what_only_a_restart_changes_stays_as_it_is_and_the_rest_is_taken_up():
    written = (
        "general_settings:",
        "general_settings:\n  bind_address: 0.0.0.0\n  access_log: false\n  num_retries: 1",
    )
    old, new = changed(), changed(written)
    effective, waiting = kept_until_restart(old, new)
    assert waiting == [
        "needs a restart: general_settings.bind_address: 127.0.0.1 -> 0.0.0.0",
        "needs a restart: general_settings.access_log: true -> false",
    ]
    assert differences(old, effective) == ["general_settings.num_retries: 3 -> 1"]
