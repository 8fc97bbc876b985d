"""The completion scripts, in the shells themselves."""

import shutil
import subprocess

import pytest

from llmproxy.cli import parser
from llmproxy.tools.completion import bash, fish, zsh
from llmproxy.tools.completion.words import places_of
from tests.support.process import BARE, command
from tests.support.run import bounded
from tests.tools.top.terminal import Terminal

LINES = [
    ("llmproxy ser", {"serve"}, {"schema", "llmproxy.yaml"}),
    ("llmproxy ", {"serve", "keys", "completion"}, {"create"}),
    ("llmproxy keys ro", {"rotate"}, {"serve"}),
    ("llmproxy keys list --st", {"--state"}, {"--tag"}),
    ("llmproxy keys list --state ", {"active", "blocked", "expired"}, {"create"}),
    ("llmproxy serve --po", {"--port"}, {"--once"}),
    ("llmproxy check --config llm", {"llmproxy.yaml"}, {"--show"}),
    ("llmproxy completion f", {"fish"}, {"bash"}),
]
each_line = pytest.mark.parametrize(
    ("line", "there", "not_there"), LINES, ids=[x[0] for x in LINES]
)


def needs(shell):
    return pytest.mark.skipif(shutil.which(shell) is None, reason=f"{shell} is not installed")


@pytest.fixture
def folder(tmp_path):
    places = list(places_of(parser()))
    for shell in (bash, zsh, fish):
        name = shell.__name__.rpartition(".")[2]
        (tmp_path / f"script.{name}").write_text(shell.script(places))
    (tmp_path / "llmproxy.yaml").touch()
    return tmp_path


def run(folder, *words):
    done = subprocess.run(
        words, cwd=folder, env=BARE, capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@needs("bash")
@each_line
def test_bash(folder, line, there, not_there):
    """Where the script has no word, bash completes files (`-o default`)."""
    program = f"""
        source script.bash
        COMP_WORDS=({line}{" ''" if line.endswith(" ") else ""})
        COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
        _llmproxy
        (( ${{#COMPREPLY[@]}} )) || COMPREPLY=($(compgen -f -- "${{COMP_WORDS[COMP_CWORD]}}"))
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    words = set(run(folder, "bash", "--norc", "-c", program).split())

    assert there <= words
    assert not words & not_there


@needs("fish")
@each_line
def test_fish(folder, line, there, not_there):
    said = run(folder, "fish", "-N", "-c", f"source script.fish; complete -C '{line}'")

    words = {row.split("\t")[0] for row in said.splitlines()}
    assert there <= words
    assert not words & not_there


@needs("zsh")
@each_line
def test_zsh(folder, line, there, not_there):
    start = "autoload -U compinit; compinit -u -D; source script.zsh; PS1='ready> '; LISTMAX=0\r"
    with Terminal("-f", "-i", program=shutil.which("zsh"), cwd=folder, columns=200) as shell:
        shell.press(start)
        shell.until_written("ready> ")
        shell.press(line + "\t\t")
        for word in there:
            shell.until_written(word)
        shown = shell.written.rpartition("ready> ")[2].split()
    assert not set(shown) & not_there


@bounded()
async def test_the_command_prints_the_script(folder):
    for shell in ("bash", "zsh", "fish"):
        said = await command("completion", shell)

        assert (said.status, said.stderr) == (0, "")
        assert said.stdout == (folder / f"script.{shell}").read_text()


@bounded()
async def test_another_shell_is_refused():
    said = await command("completion", "bsh")

    assert said.status == 2
    assert "there is no value 'bsh'. Did you mean bash?" in said.stderr
