"""The package to install is `llmproxy-gateway`: `llmproxy` in the registry is somebody else's."""

import re
import subprocess
import tomllib

import pytest

from tests.docs.pages import ROOT

EXTRA = re.compile(r"(?<![\w./-])([a-z-]*llmproxy[a-z-]*)\[(\w+)\]")
INSTALLED = re.compile(
    r"(?:pipx? install|uv tool install|uvx --from|uv pip install)(?: -\S+)* '?(llmproxy[\w-]*)"
)
# Extras of earlier versions, which the changelog and withdrawn decisions tell of.
FORMER = {"exact"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def our_texts():
    listed = subprocess.run(
        ["git", "ls-files", "*.py", "*.md", "*.toml", "*.yaml", "*.json", "*.sh", "Makefile"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    here = "tests/docs/test_name.py"
    return {
        name: (ROOT / name).read_text(encoding="utf-8")
        for name in listed.stdout.split()
        if name != here and (ROOT / name).is_file()
    }


TEXTS = our_texts()


def test_the_distribution_has_a_name_of_its_own_and_the_command_is_kept():
    assert PROJECT["name"] == "llmproxy-gateway"
    assert PROJECT["scripts"] == {"llmproxy": "llmproxy.cli:main"}


def test_every_mention_of_an_extra_names_the_distribution_and_an_extra_that_exists():
    mentions = {found for text in TEXTS.values() for found in EXTRA.findall(text)}
    assert len(mentions) >= 6
    assert {name for name, _ in mentions} == {"llmproxy-gateway"}
    assert {extra for _, extra in mentions} - FORMER <= set(PROJECT["optional-dependencies"])


def test_nobody_is_told_to_install_the_strangers_package():
    told = {(name, package) for name, text in TEXTS.items() for package in INSTALLED.findall(text)}
    assert told
    assert [name for name, package in sorted(told) if package != "llmproxy-gateway"] == []


@pytest.mark.parametrize(
    ("text", "package"),
    [
        ("pip install 'llmproxy[jwt]'", "llmproxy"),
        ("pipx install llmproxy", "llmproxy"),
        ("uvx --from llmproxy-gateway llmproxy demo", "llmproxy-gateway"),
        ("pip install --no-deps llmproxy-gateway", "llmproxy-gateway"),
    ],
)
def test_commands_that_install_are_recognised(text, package):
    assert INSTALLED.findall(text) == [package]
