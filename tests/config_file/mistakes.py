"""Invalid configs for tests, and their problems."""

import pytest

from llmproxy.batteries.config_file import parse_config
from llmproxy.errors import ConfigError

GROUP = """\
model_groups:
  - model_group: m
    models:
      - model: m
"""


def problems(text, **environ):
    """(line, found and remedy) of every problem in a config text."""
    with pytest.raises(ConfigError) as raised:
        parse_config(text, environ, file="f.yaml")
    return [
        (problem.line, f"{problem.found} {problem.remedy}") for problem in raised.value.problems
    ]


def told_once(line, text, said):
    """Return whether a text has one problem, on this line, with this in its message."""
    found = problems(text)
    assert [at for at, what in found if said in what] == [line], found
    return len(found) == 1


def entry(*lines):
    """A config whose one endpoint has these lines; the first of them is line 4."""
    text = "model_groups:\n  - model_group: m\n    models:\n"
    return text + "".join(f"      {'  ' if i else '- '}{line}\n" for i, line in enumerate(lines))


def settings(*lines):
    """A config with these general settings; the first of them is line 6."""
    return GROUP + "general_settings:\n" + "".join(f"  {line}\n" for line in lines)
