"""The command line explains itself."""

import sys

import pytest

import llmproxy
from tests.support.process import command
from tests.support.run import bounded

COMMANDS = ["serve", "demo", "check", "explain", "cache", "spend", "top", "schema", "simulate"]


@bounded()
async def test_help_says_what_it_is_and_names_every_command():
    said = await command("--help")

    assert (said.status, said.stderr) == (0, "")
    assert "speaks the OpenAI API" in " ".join(said.stdout.split())
    for name in COMMANDS:
        (line,) = [line for line in said.stdout.splitlines() if line.split()[:1] == [name]]
        assert len(line.split()) > 2, "each with a word on what it does"


@bounded()
async def test_help_comes_at_once():
    """What it imports is what it takes: 0.1 s, where the proxy takes a second."""
    program = ["-X", "importtime", "-m", "llmproxy", "--help"]

    said = await command(*program, program=sys.executable)

    imported = {line.split("|")[-1].strip() for line in said.stderr.splitlines()}
    assert "llmproxy.cli" in imported
    assert not imported & {"pydantic", "asyncio", "yaml", "rich", "llmproxy.config"}


@pytest.mark.parametrize("name", COMMANDS)
@bounded()
async def test_each_command_has_a_help_of_its_own(name):
    said = await command(name, "--help")

    assert (said.status, said.stderr) == (0, "")
    assert said.stdout.startswith(f"usage: llmproxy {name}")
    assert max(map(len, said.stdout.splitlines())) <= 80


@bounded()
async def test_the_help_of_serve_tells_what_is_used_when_nothing_is_given():
    said = " ".join((await command("serve", "--help")).stdout.split())

    for default in (
        "else llmproxy.yaml or llmproxy.yml in this folder",
        "OPENAI_API_KEY, AZURE_OPENAI_API_KEY with AZURE_OPENAI_ENDPOINT, or else the key of one",
        "Without keys, the demo starts",
        "--host HOST the address to listen on (default:",
        "--port PORT the port to listen on (default:",
        "--workers N how many processes serve, 1 to 100 (default: 1)",
        "redis_url, or through the extra llmproxy-gateway[embedded]",
    ):
        assert default in said


@bounded()
async def test_version():
    assert (await command("--version")).stdout == f"llmproxy {llmproxy.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "COMMAND"),
        (("frobnicate",), "'frobnicate'"),
        (("serve", "--port", "many"), "'many'"),
        (("explain",), "--model"),
    ],
    ids=["nothing", "no such command", "no such port", "no model"],
)
@bounded()
async def test_a_wrong_call_gets_the_usage_and_status_2(arguments, message):
    said = await command(*arguments)

    assert (said.status, said.stdout) == (2, "")
    assert said.stderr.startswith("usage: llmproxy")
    assert message in said.stderr
