"""Which wildcard a name belongs to, and what its star stands for."""

import pytest

from llmproxy.rules.names import caught, longest_first, wildcard_of


@pytest.mark.parametrize(
    ("wildcard", "name", "star"),
    [
        ("openai/*", "openai/gpt-4.1", "gpt-4.1"),
        ("*-mini", "gpt-4.1-mini", "gpt-4.1"),
        ("ft:*:acme", "ft:gpt-4.1:acme", "gpt-4.1"),
        ("*", "anything", "anything"),
        ("openai/*", "openai/a/b", "a/b"),
        ("openai/*", "openai/", None),
        ("openai/*", "azure/gpt-4.1", None),
        ("*-mini", "-mini", None),
        ("ab*ba", "aba", None),
        ("openai/*", "OpenAI/gpt-4.1", None),
    ],
)
def test_the_star_stands_for_one_character_or_more(wildcard, name, star):
    assert caught(wildcard, name) == star


@pytest.mark.parametrize(
    ("name", "wildcard"),
    [
        ("openai/gpt-4.1", "openai/*"),
        ("openai/gpt-4.1-mini", "openai/*-mini"),
        ("azure/gpt-4.1-mini", "*-mini"),
        ("openai/o3-2025", "*/o3-2025"),
        ("azure/o3-2025", "*/o3-2025"),
        ("llama", "*"),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_the_longest_wildcard_decides_whatever_the_order_of_the_config(name, wildcard, turned):
    names = ["*-mini", "*", "llama-3", "openai/*", "*/o3-2025", "openai/*-mini"]
    wildcards = longest_first(reversed(names) if turned else names)

    assert wildcard_of(name, wildcards) == wildcard


def test_of_two_equally_long_ones_the_one_with_more_before_its_star_decides():
    for names in (["ab*", "*bc"], ["*bc", "ab*"]):
        assert wildcard_of("abbc", longest_first(names)) == "ab*"
