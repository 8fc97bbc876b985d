"""What a start imports: only what it uses. What is slow to import comes when it is needed."""

import subprocess
import sys

import pytest

# Modules that take long to import, most of them with all that they import in turn.
HEAVY = {
    *("alembic", "asyncio", "difflib", "fastapi", "genai_prices", "http.client", "msgspec"),
    *("opentelemetry", "prometheus_client", "pydantic", "redis", "rich", "sqlalchemy", "ssl"),
    *("starlette", "urllib.request", "uvicorn", "websockets", "yaml"),
    "llmproxy.batteries.translation.languages",
}
# What a process needs to serve its first call.
TO_SERVE = {"asyncio", "msgspec", "pydantic", "ssl", "uvicorn", "yaml"}
# What a thread imports soon after, because a later call would wait for it.
FOR_CALLS = {"llmproxy.batteries.translation.languages", "websockets"}
SERVING = """
import asyncio, sys
from pathlib import Path
from llmproxy.batteries.config_file import parse_config
from llmproxy.composition import installed
from llmproxy.serving import open_app

config = '''
model_groups:
  - model_group: m
    models:
      - params: {base_url: "http://127.0.0.1:1/v1", api_key: none}
general_settings: {database_url: DATABASE}
'''.replace("DATABASE", sys.argv[1])

async def main():
    opening = open_app(parse_config(config, {}, file="f"), environ={}, batteries=installed())
    async with opening:
        waited = 0.0
        while not set(sys.argv[2:]) <= set(sys.modules) and waited < 20:
            await asyncio.sleep(0.05)
            waited += 0.05
        print(*sys.modules, sep="\\n")

asyncio.run(main())
"""


def imported_by(*arguments):
    """Return which of the heavy modules a run of Python has imported when it prints them."""
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=True, timeout=60
    )
    return HEAVY & set(done.stdout.split())


def imported_for(command):
    """Return which heavy modules a command has imported when it ends."""
    script = (
        "import atexit, sys; atexit.register(lambda: print(*sys.modules, sep='\\n'));"
        f"sys.argv = ['llmproxy', *{command!r}]; from llmproxy.cli import main; sys.exit(main())"
    )
    return imported_by("-c", script)


@pytest.mark.parametrize(
    "command",
    [["--version"], ["check", "--help"], ["simulate", "--help"]],
    ids=" ".join,
)
def test_help_imports_nothing_heavy(command):
    assert imported_for(command) == set()


def test_the_list_of_heavy_modules_is_found_where_they_are_imported():
    assert imported_for(["schema"]) >= {"pydantic", "yaml"}
    script = "import sys, llmproxy.batteries.without_redirects; print(*sys.modules, sep='\\n')"
    assert imported_by("-c", script) >= {"http.client", "urllib.request"}


def test_a_process_that_begins_to_serve_has_imported_what_a_call_needs():
    assert imported_by("-c", SERVING, '"off"') <= TO_SERVE


def test_soon_after_a_thread_imports_what_a_later_call_would_wait_for():
    assert imported_by("-c", SERVING, '"off"', *FOR_CALLS) >= FOR_CALLS


def test_with_a_store_it_imports_no_more_neither_at_once_nor_soon_after(tmp_path):
    file = str(tmp_path / "new.sqlite")
    assert imported_by("-c", SERVING, file) <= TO_SERVE
    assert imported_by("-c", SERVING, file, *FOR_CALLS) <= TO_SERVE | FOR_CALLS


PRELOADING = """
import sys
from llmproxy.batteries.settings import FullSettings
from llmproxy.composition import import_slow_modules
import_slow_modules(FullSettings(database_url=sys.argv[1]), {})
print(*sys.modules, sep="\\n")
"""


@pytest.mark.parametrize(
    ("url", "needed"),
    [("off", False), ("/nowhere/x.sqlite", False), ("postgresql://nowhere/x", True)],
)
def test_workers_share_sqlalchemy_if_they_all_need_it(url, needed):
    imported = imported_by("-c", PRELOADING, url)
    assert imported >= {"fastapi", "redis", *FOR_CALLS}
    assert ("sqlalchemy" in imported) == needed


def config_without_store(folder):
    """Write a config file; return its path."""
    config = folder / "llmproxy.yaml"
    model = '{params: {base_url: "http://127.0.0.1:1/v1", api_key: none}}'
    config.write_text(
        f"model_groups: [{{model_group: m, models: [{model}]}}]\n"
        'general_settings: {database_url: "off"}\n'
    )
    return config


def test_the_collector_is_off_during_a_start_and_on_when_calls_are_accepted(tmp_path):
    config = config_without_store(tmp_path)
    script = f"""
import gc, os, signal, sys

class Stderr:
    def write(self, text):  # the first text is the announcement that calls are accepted
        print("serving", gc.isenabled(), gc.get_freeze_count() > 0)
        sys.stderr = sys.__stderr__
        os.kill(os.getpid(), signal.SIGTERM)

    def flush(self):
        pass

def watch_imports(event, arguments):
    if event == "import" and arguments[0] == "uvicorn":
        print("starting", gc.isenabled())

sys.addaudithook(watch_imports)
sys.stderr = Stderr()
from llmproxy.cli import main
sys.exit(main(["serve", "--config", {str(config)!r}, "--port", "0"]))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines()[:2] == ["starting False", "serving True True"]


def test_the_admin_application_comes_when_it_is_asked_and_a_probe_does_not_ask_it(tmp_path):
    config = config_without_store(tmp_path)
    script = f"""
import os, signal, sys, threading
from urllib.request import urlopen

class Stderr:
    def write(self, text):  # the first text is the announcement that calls are accepted
        sys.stderr = sys.__stderr__
        address = text.partition(" on ")[2].partition(",")[0]
        threading.Thread(target=ask, args=(address,), daemon=True).start()

    def flush(self):
        pass

def ask(address):
    for path in "/livez", "/readyz", "/health":
        status = urlopen(address + path, timeout=30).status
        print(path, status, "fastapi" in sys.modules, flush=True)
    os.kill(os.getpid(), signal.SIGTERM)

sys.stderr = Stderr()
from llmproxy.cli import main
sys.exit(main(["serve", "--config", {str(config)!r}, "--port", "0"]))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split("\n")[:3] == [
        *("/livez 200 False", "/readyz 200 False", "/health 200 True")
    ]
