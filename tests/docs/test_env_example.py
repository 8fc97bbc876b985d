"""env.example names every variable that the program reads, each with what it is for."""

import ast
import re

from tests.docs.pages import ROOT

# Modules with names of variables that they only speak of, in messages or for other programs.
SPOKEN_OF = ("batteries/config_file/accidents.py", "tools/importing/", "tools/init/")
VARIABLE = re.compile(
    r"LLMPROXY_[A-Z_]+|LISTEN_[A-Z]+|[A-Z]+_DIRECTORY|XDG_[A-Z_]+|NO_(COLOR|PROXY)|HTTPS?_PROXY"
    r"|[A-Z_]+_(API_KEY|API_VERSION|TOKEN|REGION|ENDPOINT|BASE_URL|ORG_ID|PROJECT_ID)"
    r"|AWS_[A-Z_]+"
)
NONE_OF_THE_ENVIRONMENT = {"START_TOKEN"}  # a name in Python


def read_by_the_program():
    """The string constants of the program that are names of variables."""
    found = set()
    for path in (ROOT / "llmproxy").rglob("*.py"):
        if any(part in path.as_posix() for part in SPOKEN_OF):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
            if is_text and VARIABLE.fullmatch(node.value):
                found.add(node.value)
    return found - NONE_OF_THE_ENVIRONMENT


def test_it_names_each_variable_and_no_other():
    lines = (ROOT / "env.example").read_text().splitlines()
    named = re.findall(r"^# ([A-Z][A-Z0-9_]+)=", "\n".join(lines), re.MULTILINE)

    assert len(named) == len(set(named)), "each once"
    assert set(named) == read_by_the_program()


def test_each_says_what_it_is_for():
    """A comment stands above each block of variables."""
    above = ""
    for line in (ROOT / "env.example").read_text().splitlines():
        if re.match(r"# [A-Z][A-Z0-9_]+=", line):
            assert above, line
        elif not line:
            above = ""
        elif not line.startswith("# ---"):
            above = line


def test_nothing_is_set_by_it():
    lines = (ROOT / "env.example").read_text().splitlines()

    assert all(not line or line.startswith("# ") for line in lines)
