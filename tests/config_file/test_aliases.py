"""Aliases of model groups: which are refused, and what an endpoint without a model gets."""

import pytest

from llmproxy.batteries.config_file import parse_config
from llmproxy.batteries.settings import FullConfig
from llmproxy.errors import ConfigError
from llmproxy.providers import endpoints_of
from tests.config_file.mistakes import problems


def groups(*written):
    return "model_groups:\n" + "".join(f"  - {{{line}, models: [{{}}]}}\n" for line in written)


@pytest.mark.parametrize(
    ("line", "written", "said"),
    [
        (3, ["model_group: a", "model_group: b, aliases: [a]"], "found 'a', which is a name"),
        (2, ["model_group: a, aliases: [b]", "model_group: b"], "the first is on line 3. Rename"),
        (2, ["model_group: a, aliases: [a]"], "aliases[0]: found 'a', which is a name already"),
        (2, ["model_group: a, aliases: [x, x]"], "aliases[1]: found 'x', which is a name already"),
        (
            3,
            ["model_group: a, aliases: [x]", "model_group: b, hidden_aliases: [x]"],
            "hidden_aliases[0]: found 'x', which is a name already; the first is on line 2.",
        ),
        (2, ["model_group: '*', aliases: [x]"], "found an alias of a wildcard"),
        (2, ["model_group: a, aliases: ['x*']"], "found a pattern as an alias. Write a whole"),
        (2, ["model_group: 'a*b*'"], "found 'a*b*', which has more than one star."),
        (3, ["model_group: 'a*'", "model_group: 'a*'"], "found a second model_group 'a*'"),
        (2, ["model_group: a, aliases: ['']"], "found an empty string"),
        (2, ["model_group: a, aliases: [5]"], "expected a string, found 5"),
        (
            3,
            ["model_group: a, aliases: [x]", "model_group: b, fallbacks: [x]"],
            "found 'x', but there is no such model group. It is an alias: write 'a'.",
        ),
    ],
)
def test_a_wrong_alias_is_reported_with_its_line(line, written, said):
    found = [(at, what) for at, what in problems(groups(*written)) if said in what]

    assert [at for at, _ in found] == [line]


@pytest.mark.parametrize(
    "written",
    [
        [{"model_group": "a", "aliases": ["b"]}, {"model_group": "b"}],
        [{"model_group": "a", "aliases": ["x"], "hidden_aliases": ["x"]}],
        [{"model_group": "*", "aliases": ["x"]}],
    ],
)
def test_a_config_made_by_a_program_is_refused_for_the_same(written):
    with pytest.raises(ValueError, match="alias"):
        FullConfig.model_validate(
            {"model_groups": [{**entry, "models": [{}]} for entry in written]}
        )


def test_where_clients_may_use_an_alias_an_endpoint_without_a_model_gets_the_groups_name():
    text = groups("model_group: a", "model_group: b, aliases: [x]")
    made = endpoints_of(parse_config(text, {}, file="f.yaml"))

    assert [made[name][0].model for name in ("a", "b")] == [None, "b"]


def test_a_star_in_a_model_needs_one_in_the_name_of_its_group():
    text = "model_groups:\n  - model_group: {}\n    models: [{{model: 'x-*'}}]\n"
    made = endpoints_of(parse_config(text.format("'a/*'"), {}, file="f.yaml"))
    with pytest.raises(ConfigError) as caught:
        endpoints_of(parse_config(text.format("a"), {}, file="f.yaml"))

    assert (made["a/*"][0].model, made["a/*"][0].model_pattern) == (None, "x-*")
    assert "model 'x-*' in the group 'a', whose name has no star." in str(caught.value)


@pytest.mark.parametrize(
    ("caller", "said"),
    [
        ("aliases: {x: a}", "found 'a', a group with an endpoint that has no model"),
        ("aliases: {x: b}, groups: [a]", "found 'b', which is not among the groups of this"),
        ("aliases: {y: b}", "found a name that a group has already."),
        ("aliases: {x: 'c/*'}", "found 'c/*', but there is no model group of that name."),
    ],
)
def test_a_callers_own_name_leads_to_a_group_of_its_own_that_names_its_models(caller, said):
    text = groups("model_group: a", "model_group: 'c/*'")
    text += "  - {model_group: b, aliases: [y], models: [{model: m}]}\n"
    text += f"general_settings:\n  callers:\n    - {{name: n, key: k, {caller}}}\n"
    (found,) = problems(text)

    assert found[0] == 7
    assert said in found[1]


def test_a_list_as_the_name_of_a_group_is_a_problem_also_where_callers_have_names_of_their_own():
    text = "model_groups:\n  - {model_group: [a], models: [{}]}\n"
    text += "general_settings:\n  callers:\n    - {name: n, key: k, aliases: {x: a}}\n"

    found = problems(text)

    assert [line for line, _ in found] == [2, 5]
    assert "expected a string" in found[0][1]
    assert "found 'a', but there is no model group of that name." in found[1][1]
