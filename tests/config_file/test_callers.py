"""The callers of a config: values, keys, and invalid callers."""

from hashlib import sha256

import pytest
import yaml

from llmproxy.batteries.callers.by_key import digest_of
from llmproxy.batteries.config_file import masked, parse_config
from llmproxy.batteries.settings import Caller
from llmproxy.config import Limits
from tests.config_file.mistakes import problems, settings, told_once

KEY = "sk-team-a"
DIGEST = sha256(KEY.encode()).hexdigest()


def callers(*written, **environ):
    """The callers of a config whose line 7 is the first one."""
    return parse_config(lines(*written), environ, file="f.yaml").general_settings.callers


def lines(*written):
    return settings("callers:", *(f"  - {{{caller}}}" for caller in written))


def test_without_a_word_there_are_no_callers():
    assert parse_config(settings("bind_port: 1"), {}, file="f").general_settings.callers == ()
    assert parse_config(settings("callers: []"), {}, file="f").general_settings.callers == ()


def test_a_caller_with_a_key_may_use_every_group_without_limit():
    (caller,) = callers("name: team-a, key: os.environ/A", A=KEY)

    assert (caller.name, caller.limits, caller.groups) == ("team-a", Limits(), None)


def test_a_caller_may_be_limited_and_bound_to_groups():
    (caller,) = callers(
        f"name: a, key: {KEY}, limits: {{rpm: 60, tpm: 10000, concurrent: 4}}, groups: [m]"
    )

    assert caller.limits == Limits(rpm=60, tpm=10_000, concurrent=4)
    assert caller.groups == ("m",)


@pytest.mark.parametrize(
    "written", [f"key: {KEY}", f"key_sha256: {DIGEST}", f"key_sha256: '{DIGEST.upper()}'"]
)
def test_a_key_and_its_hash_mean_the_same(written):
    (caller,) = callers(f"name: a, {written}")

    assert digest_of(caller) == bytes.fromhex(DIGEST)


def test_a_caller_without_a_key_equals_no_key():
    assert digest_of(Caller(name="nobody")) == b""


@pytest.mark.parametrize(
    ("line", "written", "said"),
    [
        (7, [f"key: {KEY}"], "callers[0]: name is missing. Add name"),
        (7, ["name: a"], "callers[0]: found a caller without a key. Add key: os.environ/NAME, or"),
        (7, ["name: a, key: null"], "found a caller without a key."),
        (7, [f"name: a, key: k, key_sha256: {DIGEST}"], "found both key and key_sha256. Keep one"),
        (8, ["name: a, key: k", "name: a, key: l"], "named 'a'; the first is on line 7. Rename"),
        (
            8,
            ["name: a, key: k", "name: b, key: k"],
            "callers[1].key: found the key of another caller; the first is on line 7. Give each",
        ),
        (
            8,
            [f"name: a, key: {KEY}", f"name: b, key_sha256: {DIGEST.upper()}"],
            "callers[1].key_sha256: found the key of another caller; the first is on line 7.",
        ),
        (7, ["name: a, key: ''"], "callers[0].key: found an empty key. Is the variable behind"),
        (7, ["name: a, key: 'a b'"], "callers[0].key: found a key with a space"),
        (7, ["name: a, key: 5"], "callers[0].key: expected a string, found a number (not shown)"),
        (7, ["name: a, key_sha256: abc"], "expected the 64 hex digits"),
        (7, [f"name: a, key_sha256: {DIGEST}0"], "expected the 64 hex digits"),
        (7, ["name: '', key: k"], "callers[0].name: found an empty string"),
        (7, ["name: a, key: k, groups: [n]"], "groups[0]: found 'n', but there is no such model"),
        (7, ["name: a, key: k, groups: ['*']"], "without groups all may be used."),
        (7, ["name: a, key: k, groups: []"], "groups: expected at least one. Add a group's name"),
        (7, ["name: a, key: k, aliases: {x: n}"], "found 'n', but there is no model group of"),
        (7, ["name: a, key: k, aliases: {m: m}"], "found a name that a group has already."),
        (7, ["name: a, key: k, groups: m"], "groups: expected a list"),
        (7, ["name: a, key: k, limits: {rpm: 0}"], "limits.rpm: expected at least 1, found 0."),
        (7, ["name: a, key: k, limits: {rps: 1}"], "limits: unknown key 'rps'. Did you mean"),
        (
            7,
            ["name: a, key: k, rpm: 1"],
            "It belongs in limits of an endpoint or a caller.",
        ),
        (7, ["name: a, key: k, group: m"], "unknown key 'group'. Did you mean groups?"),
    ],
)
def test_a_mistake_about_a_caller_is_reported_once_with_its_line(line, written, said):
    assert told_once(line, lines(*written), said)


def test_a_list_whose_lines_are_all_commented_out_opens_nothing():
    found = problems(settings("callers:", "  # - {name: a, key: k}"))

    assert [(line, "expected a list" in what) for line, what in found] == [(6, True)]


@pytest.mark.parametrize("show", [repr, str, masked, lambda config: config.model_dump_json()])
def test_no_view_of_a_caller_shows_its_key(show):
    shown = show(parse_config(lines(f"name: team-a, key: {KEY}"), {}, file="f.yaml"))

    assert "team-a" in shown
    assert KEY not in shown


def test_masked_callers_stay_distinct():
    text = lines("name: a, key: sk-a", "name: b, key: sk-b", f"name: c, key_sha256: {DIGEST}")
    shown = masked(parse_config(text, {}, file="f.yaml"))

    assert yaml.safe_load(shown)["general_settings"]["callers"] == [
        {"name": "a", "key": "***1"},
        {"name": "b", "key": "***2"},
        {"name": "c", "key_sha256": DIGEST},
    ]
    assert masked(parse_config(shown, {}, file="again.yaml")) == shown
