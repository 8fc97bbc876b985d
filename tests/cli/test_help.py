"""The command line explains itself."""

import shlex
import sys

import pytest

import llmproxy
from llmproxy.cli import JOBS, parser
from tests.support.process import command
from tests.support.run import bounded

COMMANDS = [
    *("serve", "demo", "check", "simulate", "schema", "top", "explain", "cache"),
    *("keys", "teams", "spend", "db", "import", "doctor", "init", "completion"),
]
ACTIONS = ["cache purge", "keys create", "keys rotate", "teams change", "db backup"]


@bounded()
async def test_help_says_what_it_is_and_names_every_command():
    said = await command("--help")

    assert (said.status, said.stderr) == (0, "")
    assert max(map(len, said.stdout.splitlines())) <= 80
    assert "speaks the OpenAI API" in " ".join(said.stdout.split())
    for name in COMMANDS:
        (line,) = [line for line in said.stdout.splitlines() if line.split()[:1] == [name]]
        assert len(line.split()) > 2, "each with a word on what it does"


@pytest.mark.parametrize("words", [(), ("help",), ("-h",)], ids=["nothing", "help", "-h"])
@bounded()
async def test_the_same_help_comes_for_nothing_at_all(words):
    said = await command(*words)

    assert (said.status, said.stderr) == (0, "")
    assert said == await command("--help")
    assert "\n  llmproxy demo  " in said.stdout, "an example of how to begin"


@bounded()
async def test_the_list_says_of_each_command_what_its_own_help_says():
    """The list is written apart, so that it needs no module of a command."""
    whole = parser()
    (actions,) = [action for action in whole._actions if action.dest == "command"]
    own = {choice.dest: choice.help for choice in actions._choices_actions}

    assert own == {name: text for commands in JOBS.values() for name, (text, _) in commands.items()}
    assert sorted(own) == sorted(COMMANDS)


@bounded()
async def test_help_comes_at_once():
    """What it imports is what it takes: 0.1 s, where the proxy takes a second."""
    program = ["-X", "importtime", "-m", "llmproxy", "--help"]

    said = await command(*program, program=sys.executable)

    imported = {line.split("|")[-1].strip() for line in said.stderr.splitlines()}
    assert "llmproxy.cli" in imported
    heavy = {"pydantic", "asyncio", "yaml", "rich", "ssl", "http.client", "llmproxy.config"}
    assert not imported & heavy
    assert not [
        name
        for name in imported
        if name.startswith("llmproxy.tools.")
        and "comm" not in name
        and name != "llmproxy.tools.output"
    ], "no command but the one that was asked for"


@pytest.mark.parametrize("name", [*COMMANDS, *ACTIONS])
@bounded()
async def test_each_command_has_a_help_of_its_own_with_an_example(name):
    said = await command(*name.split(), "--help")

    assert (said.status, said.stderr) == (0, "")
    assert said.stdout.startswith(f"usage: llmproxy {name}")
    assert max(map(len, said.stdout.splitlines())) <= 80
    examples = said.stdout.partition("\nexample")[2].splitlines()[1:]
    assert examples
    assert all(f"llmproxy {name}" in example for example in examples)
    assert said == await command("help", *name.split())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_example_is_accepted_by_its_parser(name):
    for example in parser(name).commands()[name].examples:
        words = shlex.split(example.partition(" > ")[0])
        words = words[words.index("llmproxy") + 1 :]
        assert parser(name).parse_args(words).command == name


@bounded()
async def test_the_help_of_serve_tells_what_is_used_when_nothing_is_given():
    said = " ".join((await command("serve", "--help")).stdout.split())

    for default in (
        "else llmproxy.yaml or llmproxy.yml in this folder",
        "OPENAI_API_KEY, AZURE_OPENAI_API_KEY with AZURE_OPENAI_ENDPOINT, or else the key of one",
        "Without keys, it does not start",
        "--host HOST the address to listen on (default:",
        "--port PORT the port to listen on (default:",
        "--workers N how many processes serve, 1 to 100 (default: 1)",
        "redis_url, or through the extra llmproxy-gateway[embedded]",
    ):
        assert default in said


@bounded()
async def test_version():
    for words in ("--version", "version"):
        assert (await command(words)).stdout == f"llmproxy {llmproxy.__version__}\n"


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("srve", "Did you mean serve?"),
        ("chekc", "Did you mean check?"),
        ("reload", "kill -HUP"),
        ("status", "`llmproxy top --once`"),
        ("logs", "stderr"),
        ("start", "`llmproxy serve` starts"),
        ("run", "`llmproxy serve` starts"),
        ("stauts", "`llmproxy top --once`"),
        ("frobnicate", "There are: serve, demo,"),
        ("keys lst", "Did you mean list?"),
        ("db purge", "Did you mean prune?"),
        ("serve --prot 8000", "--prot: did you mean --port?"),
        ("serve --config=a --worker", "expected one argument"),
        ("explain --modle gpt-4.1", "--modle: did you mean --model?"),
        ("keys create --buget 5", "--buget: did you mean --budget?"),
        ("--config a.yaml serve", "options come after the command"),
        ("keys list --state blokced", "Did you mean blocked?"),
        ("keys", "ACTION is one of: create, change, list,"),
        ("cache", "ACTION is one of: stats, purge."),
        ("completion", "shell is one of: bash, zsh, fish."),
        ("check a.yaml --config b.yaml", "not allowed with argument"),
    ],
)
@bounded()
async def test_a_mistake_gets_a_suggestion(words, hint):
    said = await command(*words.split())

    assert (said.status, said.stdout) == (2, "")
    assert said.stderr.startswith("usage: llmproxy")
    assert hint in said.stderr


@pytest.mark.parametrize(
    "words",
    [
        *("check", "explain --model m", "simulate --rate 1", "cache stats", "keys list"),
        *("teams list", "spend", "db prune", "top --once", "serve"),
    ],
)
@bounded()
async def test_the_config_is_named_in_one_way_everywhere(tmp_path, words):
    """The file does not parse, and whoever reads it says so."""
    (tmp_path / "mine.yaml").write_text("model_groups: 7\n")

    by_option = await command(*words.split(), "--config", "mine.yaml", cwd=tmp_path)
    by_variable = await command(
        *words.split(), cwd=tmp_path, environ={"LLMPROXY_CONFIG": "mine.yaml"}
    )

    assert by_option.stderr.startswith("mine.yaml:1: ")
    assert by_option.status == 2
    assert by_variable == by_option


@pytest.mark.parametrize(
    "words", ["check FILE", "explain FILE --model m", "simulate FILE --rate 1"]
)
@bounded()
async def test_three_commands_also_take_the_file_without_an_option(tmp_path, words):
    (tmp_path / "mine.yaml").write_text("model_groups: 7\n")

    said = await command(*words.replace("FILE", "mine.yaml").split(), cwd=tmp_path)

    assert said.stderr.startswith("mine.yaml:1: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("frobnicate",), "'frobnicate'"),
        (("serve", "--port", "many"), "'many'"),
        (("explain",), "--model"),
    ],
    ids=["no such command", "no such port", "no model"],
)
@bounded()
async def test_a_wrong_call_gets_the_usage_and_status_2(arguments, message):
    said = await command(*arguments)

    assert (said.status, said.stdout) == (2, "")
    assert said.stderr.startswith("usage: llmproxy")
    assert message in said.stderr
