"""An output that cannot be written ends a command quietly, with the status of its kind.

Each command runs as a process of its own: what Python does at its very end belongs to it.
"""

import io
import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from llmproxy.cli import JOBS
from llmproxy.tools.output import wants_colour
from tests.support.process import BARE, LLMPROXY, running
from tests.support.run import bounded

CONFIG = """\
model_groups:
  - model_group: grüße
    models: [{model: gpt-4.1, name: larger, params: {api_key: k, base_url: "https://vendor.example/v1"}}]
"""
OTHER = """\
model_list:
  - {model_name: größe, litellm_params: {model: openai/gpt-4.1, api_key: os.environ/K}}
"""
ALONE = [
    ("completion", "bash"),
    ("init", "--yes", "--force", "--config", "made.yaml"),
    ("import", "other.yaml"),
    ("schema",),
    ("check", "llmproxy.yaml"),
    ("check", "--show"),
    ("doctor",),
    ("doctor", "--json"),
    ("explain", "--model", "grüße"),
    ("simulate", "--rate", "1", "--seconds", "5"),
    ("simulate", "--rate", "1", "--seconds", "5", "--json"),
]
WITH_A_PROXY = [
    ("top", "--once"),
    ("explain", "--model", "gpt-4.1"),
    ("cache", "stats"),
    ("cache", "purge"),
    ("keys", "list"),
    ("keys", "create", "--json"),
    ("teams", "list"),
    ("spend", "--by", "model"),
    ("spend", "--csv"),
    ("spend", "--json"),
]
OF_THE_DATABASE = [("db", "upgrade")]
OTHERS = {"serve", "demo"}  # what they write to stdout is the access log

READER_LEFT, CANNOT_WRITE = 141, 1


@contextmanager
def without_a_reader():
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


@contextmanager
def full_disk():
    with Path("/dev/full").open("wb") as disk:
        yield disk.fileno()


def run(words, folder, stdout, **environ):
    environ = {**BARE, "XDG_STATE_HOME": str(folder / "state"), **environ}
    return subprocess.run(
        [LLMPROXY, *words],
        cwd=folder,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )


def check_both(words, folder, **environ):
    with without_a_reader() as closed:
        said = run(words, folder, closed, **environ)
    assert (said.returncode, b"Traceback" in said.stderr) == (READER_LEFT, False), said
    assert b"Exception ignored" not in said.stderr
    with full_disk() as full:
        said = run(words, folder, full, **environ)
    assert said.returncode == CANNOT_WRITE
    assert said.stderr.endswith(b"llmproxy: the output: No space left on device.\n")
    assert b"Traceback" not in said.stderr


def test_every_command_is_tried_here():
    tried = {words[0] for words in (*ALONE, *WITH_A_PROXY, *OF_THE_DATABASE)}

    assert tried | OTHERS == {name for commands in JOBS.values() for name in commands}


@pytest.mark.parametrize("words", [("--help",), ("--version",), ("serve", "--help")], ids=" ".join)
def test_a_help_that_nobody_reads(tmp_path, words):
    check_both(words, tmp_path)


@pytest.mark.parametrize("words", [*ALONE, *OF_THE_DATABASE], ids=" ".join)
def test_a_result_that_nobody_reads(tmp_path, words):
    (tmp_path / "llmproxy.yaml").write_text(CONFIG, encoding="utf-8")
    (tmp_path / "other.yaml").write_text(OTHER, encoding="utf-8")

    check_both(words, tmp_path)


def test_the_same_without_buffers(tmp_path):
    """Containers set it; then nothing is kept that could fail again."""
    check_both(("schema",), tmp_path, PYTHONUNBUFFERED="1")


@bounded()
async def test_an_answer_of_a_running_proxy_that_nobody_reads(tmp_path):
    async with running(tmp_path / "demo", "demo", "--port", "0") as proxy:
        for words in WITH_A_PROXY:
            check_both((*words, "--url", proxy.base), tmp_path)


@bounded()
async def test_a_proxy_serves_on_when_nobody_reads_its_log(tmp_path):
    with without_a_reader() as closed:
        async with running(tmp_path, "demo", "--port", "0", stdout=closed) as proxy:
            said = run(("explain", "--model", "gpt-4.1", "--url", proxy.base), tmp_path, -1)

    assert said.returncode == 0
    assert "Traceback" not in proxy.stderr


@pytest.mark.parametrize("words", ALONE, ids=" ".join)
def test_characters_that_the_output_lacks_are_escaped(tmp_path, words):
    (tmp_path / "llmproxy.yaml").write_text(CONFIG, encoding="utf-8")

    (tmp_path / "other.yaml").write_text(OTHER, encoding="utf-8")

    said = run(words, tmp_path, subprocess.PIPE, PYTHONIOENCODING="ascii", PYTHONUTF8="1")

    status = 1 if words[0] == "doctor" else 0  # it warns of the lone endpoint
    assert (said.returncode, b"Traceback" in said.stderr) == (status, False), said
    assert said.stdout.isascii()
    if "--json" in words:
        assert "grüße" in str(json.loads(said.stdout))


def test_a_file_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "llmproxy.yaml").write_text(CONFIG, encoding="utf-8")

    said = run(("simulate", "--rate", "1", "--plot", "no/where.svg"), tmp_path, subprocess.PIPE)

    assert said.returncode == CANNOT_WRITE
    assert said.stderr.endswith(b"llmproxy: no/where.svg: No such file or directory.\n")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed_already(tmp_path, closed):
    script = f'"{LLMPROXY}" schema {closed}; echo "status $?" > status'

    subprocess.run(["sh", "-c", script], cwd=tmp_path, env=BARE, check=True, timeout=60)

    assert (tmp_path / "status").read_text() == "status 0\n"


def test_ctrl_c_says_nothing(tmp_path):
    """It comes while the simulation runs."""
    (tmp_path / "llmproxy.yaml").write_text(CONFIG, encoding="utf-8")
    program = (
        "import signal, sys, threading\n"
        "from llmproxy.cli import main\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a background job ignores it
        "threading.Timer(1.5, lambda: signal.raise_signal(signal.SIGINT)).start()\n"
        "sys.exit(main(['simulate', '--rate', '50', '--seconds', '100000']))\n"
    )

    said = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=BARE,
        capture_output=True,
        timeout=60,
        check=False,
    )

    assert (said.returncode, said.stdout) == (130, b"")
    assert b"Traceback" not in said.stderr


@pytest.mark.parametrize(
    ("is_terminal", "environ", "coloured"),
    [
        (True, {"TERM": "xterm"}, True),
        (True, {}, True),
        (True, {"NO_COLOR": ""}, True),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"TERM": "dumb"}, False),
        (False, {"TERM": "xterm"}, False),
    ],
)
def test_colours_are_for_terminals_that_want_them(is_terminal, environ, coloured):
    class Stream(io.StringIO):
        def isatty(self):
            return is_terminal

    assert wants_colour(Stream(), environ) is coloured
