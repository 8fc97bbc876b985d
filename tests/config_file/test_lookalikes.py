"""Values that only look like variables: refused, because they would be sent as they stand."""

import pytest

from llmproxy.batteries.config_file import parse_config
from tests.config_file.mistakes import entry, problems

LOOKALIKES = [
    *("$U2KEY", "os.environ.U2KEY", 'os.environ["U2KEY"]', "os.environ['U2KEY']"),
    *("os.environ.get('U2KEY')", "os.getenv('U2KEY')", "os.environ:U2KEY", "environ/U2KEY"),
    *(
        "process.env.U2KEY",
        "env.U2KEY",
        "env:U2KEY",
        "env(U2KEY)",
        "$(U2KEY)",
        "%U2KEY%",
        "{{ U2KEY }}",
        "{{env.U2KEY}}",
    ),
    "Bearer $U2KEY",
]
NONE = ["sk-$U2KEY", "a$b", "environment", "os.environ", "100%", "$", "$1", "env", "{}"]


def with_key(key):
    return entry(
        f"params: {{api_key: {key!r}}}" if "'" not in key else f'params: {{api_key: "{key}"}}'
    )


def key_of(text, **environ):
    config = parse_config(text, environ, file="f.yaml")
    return config.model_groups[0].models[0].params.api_key.get_secret_value()


@pytest.mark.parametrize("text", LOOKALIKES)
def test_what_looks_like_a_variable_is_no_key(text):
    ((line, said),) = problems(with_key(text), U2KEY="sk-of-the-variable")

    assert line == 4
    assert "looks like the variable U2KEY" in said
    assert "Write os.environ/U2KEY" in said
    assert "sk-of" not in said


@pytest.mark.parametrize("text", NONE)
def test_other_texts_with_such_characters_are_what_they_are(text):
    assert key_of(with_key(text)) == text


def test_two_dollars_write_a_plain_one():
    assert key_of(with_key("$$U2KEY")) == "$U2KEY"


def test_a_variable_within_an_address_is_told_too():
    ((line, said),) = problems(entry("model: m", "params: {base_url: 'https://$MY_HOST/v1'}"))

    assert line == 5
    assert "variable MY_HOST" in said


@pytest.mark.parametrize("key", ["redis_password", "admin_key", "redis_namespace"])
def test_it_holds_for_every_value(key):
    text = f"{entry('model: m')}general_settings:\n  {key}: $SOMETHING\n"

    assert (6, True) in [(line, "variable SOMETHING" in said) for line, said in problems(text)]
