"""Each config of `wrong/` is refused at its line, with its cause and its remedy."""

from pathlib import Path

import pytest

from llmproxy.composition import config_file
from llmproxy.errors import ConfigError

FOLDER = Path(__file__).parent / "wrong"
ENVIRON = {"KEY": "sk-secret-of-the-variable", "SECOND": "sk-another"}
# file, line, words of the cause, words of the remedy
WRONG = [
    ("typo_at_the_top", 9, "unknown key 'general_setings'", "Did you mean general_settings?"),
    ("typo_in_an_endpoint", 6, "unknown key 'wieght'", "Did you mean weight?"),
    ("typo_in_params", 8, "unknown key 'api_kee'", "Did you mean api_key?"),
    ("typo_in_a_strategy", 11, "found 'wieghted'", "Did you mean weighted?"),
    ("wrong_indentation", 5, "not valid YAML", "Check indentation"),
    ("tab", 5, "not valid YAML", "Indent with spaces, not with tabs"),
    ("no_colon", 10, "expected a mapping", "key: value"),
    ("open_quote", 5, "not valid YAML", "quotes"),
    ("open_brace", 5, "not valid YAML", "Check"),
    ("two_documents", 11, "not valid YAML", "Keep one document"),
    ("a_duplicate_key", 7, "the key 'weight' twice, first on line 6", "Keep one"),
    ("a_tag", 6, "a YAML tag", "Remove it"),
    ("no_models", 2, "models is missing", "Add models"),
    ("no_groups", 1, "model_groups is missing", "Add model_groups"),
    ("models_is_a_mapping", 3, "expected a list", "beginning with -"),
    ("params_is_a_list", 6, "expected a mapping", "key: value"),
    ("groups_is_a_word", 1, "expected a list", "beginning with -"),
    ("a_list_as_the_whole", 1, "expected key: value lines", "llmproxy.example.yaml"),
    ("groups_are_null", 1, "found nothing", "beginning with -"),
    ("empty", 1, "the file is empty", "llmproxy.example.yaml"),
    ("comments_only", 1, "the file is empty", "llmproxy.example.yaml"),
    ("unset_variable", 8, "NOT_SET_ANYWHERE is not set", "Set it"),
    (
        "second_endpoint_of_a_name",
        10,
        "second endpoint named 'a' in this group; the first is on line 5",
        "Rename one",
    ),
    ("second_group_of_a_name", 9, "the first is on line 2", "rename one"),
    ("second_caller_of_a_name", 13, "the first is on line 12", "Rename one"),
    (
        "second_caller_of_a_key",
        13,
        "the key of another caller; the first is on line 12",
        "its own key",
    ),
    ("a_word_for_a_number", 11, "found 'three'", "Write digits"),
    ("a_negative_weight", 6, "at least 0, found -1", "Write a number at least 0"),
    ("a_port_above_65535", 11, "at most 65535", "Write a number"),
    ("seconds_with_a_unit", 11, "found '60s'", "write 60."),
    ("minutes_with_a_unit", 11, "found '10m'", "write 600."),
    ("unknown_provider", 6, "unknown provider 'grok'", "Did you mean xai or groq?"),
    ("azure_without_a_path", 7, "without the API's path", "/openai/v1/"),
    ("azure_without_a_version", 7, "without api_version", "Add api_version"),
    ("url_without_a_scheme", 7, "found 'x.example/v1'", "Begin the URL with https://"),
    ("url_with_a_misspelt_scheme", 7, "found 'htps://x.example/v1'", "Begin the URL with https://"),
    ("url_of_one_operation", 7, "one operation", "Remove /chat/completions"),
    ("key_as_in_a_shell", 8, "looks like the variable KEY", "os.environ/KEY"),
    ("key_as_in_python", 8, "looks like the variable KEY", "os.environ/KEY"),
    ("key_with_a_line_end", 8, "api_key", "Remove"),
    ("key_and_identity", 9, "both api_key and azure_ad_token_provider", "Keep one"),
    ("litellm", 1, "this is a config of LiteLLM", "`llmproxy import "),
    ("litellm_drop_params", 11, "unknown key 'drop_params'", "drop_unsupported"),
    ("litellm_strategy", 11, "found 'simple-shuffle'", "Write weighted"),
    ("litellm_rpm", 6, "unknown key 'rpm'", "limits of an endpoint"),
    ("cache_in_a_folder_that_is_not_there", 14, "directory /not-there does not exist", "Create it"),
    ("cache_in_redis_without_a_server", 12, "without a server", "Add redis_url"),
    ("fallback_to_no_group", 3, "there is no such model group", "another model_group"),
    ("caller_of_no_group", 14, "there is no such model group", "model_group"),
    ("caller_without_a_key", 11, "a caller without a key", "Add key"),
    ("two_addresses_of_redis", 12, "both redis_url and redis_host", "Keep one"),
    ("an_alias_within_itself", 6, "an alias that contains itself", "Write the value out"),
]


def problems_of(name):
    with pytest.raises(ConfigError) as raised:
        config_file(FOLDER / f"{name}.yaml", ENVIRON).load()
    return raised.value.problems


@pytest.mark.parametrize(("name", "line", "cause", "remedy"), WRONG)
def test_a_wrong_config_has_its_line_its_cause_and_its_remedy(name, line, cause, remedy):
    problems = problems_of(name)

    told = [p for p in problems if p.line == line and cause in p.found and remedy in p.remedy]
    assert len(told) == 1, problems
    assert all(problem.line for problem in problems)
    assert "sk-" not in str(problems)


@pytest.mark.parametrize("found", [case[:3] for case in WRONG], ids=lambda case: case[0])
def test_variables_that_are_not_set_hide_no_other_mistake(found):
    name, line, cause = found
    with pytest.raises(ConfigError) as caught:
        config_file(FOLDER / f"{name}.yaml", {}).load()
    assert [p for p in caught.value.problems if p.line == line and cause in p.found]


def test_a_whole_config_of_litellm_is_one_problem():
    """A remedy for each of its keys would contradict the import."""
    assert len(problems_of("litellm")) == 1


def test_what_is_not_known_is_not_judged(tmp_path):
    text = (FOLDER / "unknown_provider.yaml").read_text()
    for value in ("https://east.openai.azure.com/openai/v1/", "gpt-4.1", "grok"):
        text = text.replace(f": {value}", ": os.environ/NOT_SET_ANYWHERE")
    path = tmp_path / "unknown.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        config_file(path, ENVIRON).load()
    assert {problem.found for problem in caught.value.problems} == {
        "the environment variable NOT_SET_ANYWHERE is not set."
    }


def test_every_file_of_the_folder_is_tried():
    assert {path.stem for path in FOLDER.iterdir()} == {name for name, *_ in WRONG}
