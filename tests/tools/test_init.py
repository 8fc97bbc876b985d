"""`llmproxy init`: four answers make a config that passes the check, or nothing is written."""

import re
import stat

import pytest

from llmproxy.cli import parser
from llmproxy.tools.init.command import run
from tests.support.process import command
from tests.support.run import bounded
from tests.tools.top.terminal import Terminal

VENDORS = ["openai", "azure", "anthropic", "bedrock", "gemini", "mistral", "groq", "cohere"]


def variables_in(folder):
    """The variables that a shell would have after reading the file."""
    text = (folder / "llmproxy.env").read_text()
    return dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))


def init(folder, *words, answers=(), environ=None):
    """Run it in this process; return its status and the questions that it asked."""
    options = parser("init").parse_args(["init", "--config", str(folder / "llmproxy.yaml"), *words])
    left, asked = list(answers), []

    def ask(question):
        asked.append(question)
        if not left:
            raise EOFError
        return left.pop(0)

    return run(options, environ or {}, ask), asked


async def checked(folder):
    return await command("check", cwd=folder, environ=variables_in(folder))


@pytest.mark.parametrize("vendor", VENDORS)
@bounded()
async def test_the_proposals_for_each_vendor_pass_the_check(tmp_path, vendor):
    made = await command("init", "--yes", "--vendors", vendor, cwd=tmp_path)
    assert (made.status, made.stderr) == (0, "")
    assert "llmproxy serve" in made.stdout

    said = await checked(tmp_path)

    assert said.status == 0
    assert said.stdout.startswith("llmproxy.yaml: ok, 1 model group with 1 endpoint.")


@bounded()
async def test_several_vendors_and_an_open_address_pass_it_as_well(tmp_path):
    words = ("--vendors", "azure,openai", "--models", "gpt-4.1,azure/*", "--listen", "0.0.0.0:8080")
    assert init(tmp_path, "--yes", *words)[0] == 0

    said = await checked(tmp_path)

    assert said.status == 0
    assert said.stdout.startswith("llmproxy.yaml: ok, 2 model groups with 3 endpoints.")
    assert "WARNING" not in said.stderr, "with a key for callers and one for /admin"
    made = variables_in(tmp_path)
    assert made["LLMPROXY_CLIENT_KEY"] != made["LLMPROXY_ADMIN_KEY"]


def test_enter_takes_the_proposals_and_four_questions_are_asked(tmp_path):
    status, asked = init(tmp_path, answers=["", "", "", ""], environ={"GROQ_API_KEY": "sk-found"})

    assert status == 0
    assert [question[0] for question in asked] == ["1", "2", "3", "4"]
    assert "Keys in the environment: groq." in asked[0]
    text = (tmp_path / "llmproxy.yaml").read_text()
    assert "provider: groq" in text
    assert "os.environ/GROQ_API_KEY" in text
    assert "GROQ_API_KEY" not in variables_in(tmp_path), "it is set, and stays where it is"
    assert "sk-found" not in text + (tmp_path / "llmproxy.env").read_text()


def test_a_wrong_answer_is_asked_again(tmp_path, capsys):
    answers = ["opnai", "openai, anthropic", "*", "gpt-4.1", "127.0.0.1:no", "4100", "all", "key"]

    status, asked = init(tmp_path, answers=answers)

    assert status == 0
    assert len(asked) == len(answers)
    said = capsys.readouterr().err
    assert "There is no vendor 'opnai' here. There are: openai, azure," in said
    assert "* with several vendors does not say which model is whose" in said
    assert "Expected HOST:PORT such as 127.0.0.1:4000, found '127.0.0.1:no'" in said
    assert "Expected anyone or key, found 'all'" in said
    assert "bind_port: 4100" in (tmp_path / "llmproxy.yaml").read_text()


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("--vendors", "nobody"), "There is no vendor 'nobody'"),
        (("--models", "a b"), "is no name of a model"),
        (("--listen", "localhost:0"), "Expected HOST:PORT"),
    ],
)
def test_a_wrong_option_writes_nothing(tmp_path, capsys, words, hint):
    assert init(tmp_path, "--yes", *words)[0] == 2
    assert hint in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["llmproxy.yaml", "llmproxy.env"])
def test_a_file_that_exists_is_replaced_only_with_force(tmp_path, capsys, name):
    (tmp_path / name).write_text("mine")

    assert init(tmp_path, "--yes")[0] == 2
    assert f"{name}: this file exists. --force replaces it" in capsys.readouterr().err
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(name, "mine")]
    assert init(tmp_path, "--yes", "--force")[0] == 0
    assert (tmp_path / name).read_text() != "mine"


def test_only_the_owner_reads_the_variables(tmp_path):
    init(tmp_path, "--yes")

    assert stat.S_IMODE((tmp_path / "llmproxy.env").stat().st_mode) == 0o600


def test_an_end_of_the_input_writes_nothing(tmp_path, capsys):
    assert init(tmp_path, answers=["openai"])[0] == 2
    assert "Nothing was written." in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_writes_nothing(tmp_path):
    with Terminal("init", "--config", str(tmp_path / "llmproxy.yaml")) as terminal:
        terminal.until_written("[openai]")
        terminal.press("\r")
        terminal.until_written("2. Which models?")
        assert terminal.ended_by("\x03") == 130
    assert "Traceback" not in terminal.written
    assert list(tmp_path.iterdir()) == []


@bounded()
async def test_without_a_terminal_the_options_are_named(tmp_path):
    said = await command("init", cwd=tmp_path)

    assert said.status == 2
    assert "--yes takes every proposal" in said.stderr
    assert list(tmp_path.iterdir()) == []
