"""The README's snippets work as pasted."""

import contextlib
import io

import pytest

import llmproxy
from llmproxy.tools.demo import DEMO_ANNOUNCEMENT, NOTHING_FOUND
from llmproxy.tools.simulator.settings import VendorSettings
from llmproxy.tools.simulator.vendor import serve
from tests.docs.pages import blocks
from tests.support.background import in_background
from tests.support.proxy import config_for, serve_proxy

ADDRESS = "http://127.0.0.1:4000"
SNIPPETS = [block for block in blocks("python") if ADDRESS in block.text and "import" in block.text]


@pytest.fixture(scope="module")
def proxy():
    vendor = serve(VendorSettings(name="vendor"))
    with in_background(lambda: vendor, lambda vendor: serve_proxy(config_for(vendor.base_url))) as (
        _,
        proxy,
    ):
        yield proxy


def test_the_readme_shows_what_the_demo_prints():
    (console,) = [block for block in blocks("console") if block.page == "README.md"]
    prompt, *shown, _ = console.text.splitlines()
    announced = DEMO_ANNOUNCEMENT.replace("{reason}", NOTHING_FOUND)
    announced = announced.format(version=llmproxy.__version__, base=ADDRESS)
    assert prompt == "$ make run"
    assert shown == announced.splitlines()[: len(shown)]


def test_the_readme_shows_how_to_use_it():
    assert len(SNIPPETS) >= 4


@pytest.mark.parametrize("snippet", SNIPPETS, ids=str)
def test_a_python_snippet_gets_an_answer(snippet, proxy):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(snippet.text.replace(ADDRESS, proxy.root), {})
    assert "simulated answer" in printed.getvalue()
