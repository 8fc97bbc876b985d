"""Fallbacks: which are refused."""

import pytest

from llmproxy.batteries.config_file import parse_config
from tests.config_file.mistakes import problems

KEYS = ["fallbacks", "context_window_fallbacks", "content_filter_fallbacks"]


def groups(*written, key="fallbacks"):
    """A config with these groups and fallbacks, `name: other, other`; one line for each."""
    lines = []
    for line in written:
        name, _, others = line.partition(":")
        fallbacks = f", {key}: [{others}]" if others else ""
        lines.append(f"  - {{model_group: {name}, models: [{{}}]{fallbacks}}}\n")
    return "model_groups:\n" + "".join(lines)


def test_by_default_a_group_has_no_fallbacks():
    (group,) = parse_config(groups("a"), {}, file="f.yaml").model_groups

    assert (group.fallbacks, group.context_window_fallbacks) == ((), ())


@pytest.mark.parametrize(
    "key", ["fallbacks", "context_window_fallbacks", "content_filter_fallbacks"]
)
def test_groups_to_fall_back_on_keep_their_order(key):
    config = parse_config(groups("a: c, b, '*'", "b", "c: b", "'*'", key=key), {}, file="f.yaml")

    assert getattr(config.model_groups[0], key) == ("c", "b", "*")


@pytest.mark.parametrize(
    "key", ["fallbacks", "context_window_fallbacks", "content_filter_fallbacks"]
)
@pytest.mark.parametrize(
    ("line", "written", "said"),
    [
        (2, ["a: b"], "found 'b', but there is no such model group. Write the name of another"),
        (2, ["a: A", "b"], "found 'A', but there is no such model group."),
        (2, ["a: '*'", "b"], "found '*', but there is no such model group."),
        (2, ["a: a"], "found the group's own name. Name another group, or remove this one."),
        (2, ["a: b, b", "b"], "found 'b' a second time; the first is on line 2. Keep one."),
        (2, ["a: ''", "b"], "found an empty string"),
        (2, ["a: 5", "b"], "expected a string, found 5"),
    ],
)
def test_an_unknown_fallback_is_reported_with_its_line(line, written, said, key):
    found = [(at, what) for at, what in problems(groups(*written, key=key)) if said in what]

    assert [at for at, _ in found] == [line]
    assert f".{key}[" in found[0][1]


def test_groups_may_fall_back_on_each_other():
    config = parse_config(groups("a: b, c", "b: a", "c: a, b"), {}, file="f.yaml")

    assert [group.fallbacks for group in config.model_groups] == [("b", "c"), ("a",), ("a", "b")]


def test_a_longer_prompt_and_an_outage_may_go_opposite_ways():
    text = """\
model_groups:
  - {model_group: short, models: [{}], context_window_fallbacks: [long]}
  - {model_group: long, models: [{}], fallbacks: [short]}
"""
    assert parse_config(text, {}, file="f.yaml").model_groups[1].fallbacks == ("short",)


def test_a_fallback_to_a_duplicate_group_is_reported_once():
    found = problems(groups("a: b", "a: b", "b"))

    assert [line for line, _ in found] == [3]
